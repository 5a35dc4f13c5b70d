"""The text in a picture: RapidOCR with the models of its own wheel (PP-OCRv6 small), on the CPU.

    picture ─► detect (longer side 640) ─► crop each line ─► recognise one by one ─► order ─► clean

One by one: on a CPU a line costs as much in a batch as alone, and padding to the batch's widest would make what is read
of one picture depend on the others (docs/vision.md, "Text").
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rapidocr
from numpy.typing import NDArray
from PIL import Image
from rapidocr.main import RapidOCRError

from core.text import plain
from model.vision.channels import rounded
from model.vision.values import Point, TextLine

DETECTOR_SIDE = 640
THRESHOLD = 0.8
"""Most lines of real posts score above 0.95; of what scores less than this, most is ornament taken for letters."""

HEIGHT, MIN_WIDTH, MAX_WIDTH = 48, 320, 1280
"""Of a line as it is recognised, pixels: shorter ones are padded, longer ones squeezed."""

BUDGET = 32_000
"""Pixels of width recognised of one picture, the tallest lines first: what it says loudest. They took 3.4 to 4.0 s of
one core; a screenshot full of text stays just below."""

MAX_TEXT = 256
"""Characters of a line. With the budget's 100 lines at most, no picture says more than 25,600."""

VERTICAL = 1.5
"""Height by width from which RapidOCR takes a line for one turned clockwise, and turns it back."""

Lines = tuple[TextLine, ...]
Crop = NDArray[np.uint8]


@dataclass(frozen=True)
class _Found:
    """A line not read yet: its corners (4, 2) in pixels, clockwise from the text's own top left, and its crop."""

    corners: NDArray[np.float64]
    crop: Crop

    @property
    def centre(self) -> tuple[float, float]:
        return float(self.corners[:, 0].mean()), float(self.corners[:, 1].mean())

    @property
    def height(self) -> float:
        return float(np.linalg.norm(self.corners[3] - self.corners[0]))

    @property
    def cost(self) -> float:
        """Pixels of width that recognising it takes."""
        height, width = self.crop.shape[:2]
        return float(min(MAX_WIDTH, max(MIN_WIDTH, HEIGHT * width / height)))


class Text:
    """`threads`: of the CPU. Raises what RapidOCR raises when its models are missing; it downloads nothing."""

    def __init__(self, threads: int) -> None:
        models = Path(rapidocr.__file__).parent / "models"
        cv2.setNumThreads(threads)
        self._engine: Any = rapidocr.RapidOCR(
            params={
                "Global.log_level": "critical",
                "EngineConfig.onnxruntime.intra_op_num_threads": threads,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
                "Det.limit_type": "max",
                "Det.limit_side_len": DETECTOR_SIDE,
                # with a path of ours it never looks for a model on the network
                "Det.model_path": str(models / "PP-OCRv6_det_small.onnx"),
                "Rec.model_path": str(models / "PP-OCRv6_rec_small.onnx"),
            }
        )
        blank = np.zeros((HEIGHT, HEIGHT, 3), np.uint8)  # both models are loaded at first use
        self._detect(blank)
        self._recognise(blank)

    def read(self, pictures: Sequence[Image.Image]) -> list[Lines]:
        return [self._read(picture) for picture in pictures]

    def _read(self, picture: Image.Image) -> Lines:
        lines = []
        for line in in_reading_order(loudest(self._detect(np.asarray(picture)[:, :, ::-1]))):
            text, score = self._recognise(line.crop)
            text = plain(text, MAX_TEXT)
            if text and score >= THRESHOLD:
                lines.append(TextLine(text=text, score=rounded(score), box=_box(line.corners, picture.size)))
        return tuple(lines)

    def _detect(self, pixels: Crop) -> list[_Found]:
        """`pixels`: (H, W, 3), blue first."""
        done: dict[str, dict[str, float]] = {"preprocess": {"ratio_h": 1.0, "ratio_w": 1.0}}
        try:
            crops, detected = self._engine.detect_and_crop(np.ascontiguousarray(pixels), done)
        except RapidOCRError:  # nothing found
            return []
        margin = done["padding_1"]["top"]  # thin pictures are given one
        return [
            _Found(_upright(corners.astype(float)) - (0, margin), crop)
            for corners, crop in zip(detected.boxes, crops, strict=True)
        ]

    def _recognise(self, crop: Crop) -> tuple[str, float]:
        height, width = crop.shape[:2]
        if width > (most := height * MAX_WIDTH // HEIGHT):
            crop = np.asarray(cv2.resize(crop, (most, height)), np.uint8)
        result = self._engine.recognize_txt([crop])
        return str(result.txts[0]), float(result.scores[0])


def _upright(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corners clockwise from the text's own top left, as RapidOCR turned the crop; it gives them as on the page."""
    width = max(np.linalg.norm(corners[0] - corners[1]), np.linalg.norm(corners[2] - corners[3]))
    height = max(np.linalg.norm(corners[0] - corners[3]), np.linalg.norm(corners[1] - corners[2]))
    return np.roll(corners, -1, axis=0) if int(height) >= VERTICAL * int(width) else corners


def loudest(found: Sequence[_Found]) -> list[_Found]:
    """The tallest lines that the budget pays for."""
    by_height = sorted(found, key=lambda line: -line.height)
    spent = itertools.accumulate(line.cost for line in by_height)
    return [line for line, so_far in zip(by_height, spent, strict=True) if so_far <= BUDGET]


def in_reading_order(found: Sequence[_Found]) -> list[_Found]:
    """Row by row, each from the left. Lines are of one row when their centres are less than half a line apart."""
    rows: list[list[_Found]] = []
    for line in sorted(found, key=lambda line: line.centre[1]):
        if rows and line.centre[1] - rows[-1][0].centre[1] < min(line.height, rows[-1][0].height) / 2:
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda line: line.centre[0])]


def _box(corners: NDArray[np.float64], size: tuple[int, int]) -> tuple[Point, Point, Point, Point]:
    one, two, three, four = ((rounded(x / size[0]), rounded(y / size[1])) for x, y in corners)
    return one, two, three, four
