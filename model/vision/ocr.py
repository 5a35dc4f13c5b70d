"""Reads the text in an image: RapidOCR with the models of its own wheel (PP-OCRv6 small), on the CPU.

    image ─► detect lines (longer side 640) ─► crop each ─► recognise one by one ─► order ─► clean

Lines are not recognised in batches. On a CPU a line costs as much in a batch as alone. Padding to the widest line of a
batch would make the text of one image depend on the others.
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
"""Longer side, in pixels, to which an image is scaled before its lines are detected."""

THRESHOLD = 0.8
"""Lines that score less are dropped, since most are ornaments. Most lines of real posts score above 0.95."""

HEIGHT, MIN_WIDTH, MAX_WIDTH = 48, 320, 1280
"""Size of a line for the recogniser, in pixels. Shorter lines are padded, longer ones squeezed."""

BUDGET = 32_000
"""Largest total width, in pixels, of the lines that are recognised in one image. The tallest lines come first.
The whole budget takes 3.4 to 4.0 s of one core. A screenshot full of text needs a little less."""

MAX_TEXT = 256
"""Longest line, in characters. The budget pays for at most 100 lines, so an image gives at most 25,600 characters."""

VERTICAL = 1.5
"""RapidOCR turns a line upright if its height is at least this multiple of its width."""

Lines = tuple[TextLine, ...]
Crop = NDArray[np.uint8]


@dataclass(frozen=True)
class _DetectedLine:
    """A line before it is recognised."""

    #: (4, 2), in pixels, clockwise from the text's own top left.
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
        """Width in pixels that the recogniser gets."""
        height, width = self.crop.shape[:2]
        return float(min(MAX_WIDTH, max(MIN_WIDTH, HEIGHT * width / height)))


class Text:
    """The channel `ocr`, on `threads` CPU threads.

    Raises what RapidOCR raises if its models are missing. Downloads nothing.
    """

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
                # with explicit paths RapidOCR never looks for a model on the network
                "Det.model_path": str(models / "PP-OCRv6_det_small.onnx"),
                "Rec.model_path": str(models / "PP-OCRv6_rec_small.onnx"),
            }
        )
        blank = np.zeros((HEIGHT, HEIGHT, 3), np.uint8)  # both models are loaded at first use
        self._detect(blank)
        self._recognise(blank)

    def read(self, images: Sequence[Image.Image]) -> list[Lines]:
        return [self._read(image) for image in images]

    def _read(self, image: Image.Image) -> Lines:
        lines = []
        for line in in_reading_order(tallest(self._detect(np.asarray(image)[:, :, ::-1]))):
            text, score = self._recognise(line.crop)
            text = plain(text, MAX_TEXT)
            if text and score >= THRESHOLD:
                lines.append(TextLine(text=text, score=rounded(score), box=_box(line.corners, image.size)))
        return tuple(lines)

    def _detect(self, pixels: Crop) -> list[_DetectedLine]:
        """`pixels`: (H, W, 3), in the order blue, green, red."""
        operations: dict[str, dict[str, float]] = {"preprocess": {"ratio_h": 1.0, "ratio_w": 1.0}}
        try:
            crops, detected = self._engine.detect_and_crop(np.ascontiguousarray(pixels), operations)
        except RapidOCRError:  # RapidOCR raises it when it finds no line
            return []
        margin = operations["padding_1"]["top"]  # RapidOCR adds a margin to thin images
        return [
            _DetectedLine(_upright(corners.astype(float)) - (0, margin), crop)
            for corners, crop in zip(detected.boxes, crops, strict=True)
        ]

    def _recognise(self, crop: Crop) -> tuple[str, float]:
        height, width = crop.shape[:2]
        if width > (most := height * MAX_WIDTH // HEIGHT):
            crop = np.asarray(cv2.resize(crop, (most, height)), np.uint8)
        result = self._engine.recognize_txt([crop])
        return str(result.txts[0]), float(result.scores[0])


def _upright(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the corners clockwise from the text's own top left.

    RapidOCR turns the crop of a vertical line, but gives the corners as they are on the page.
    """
    width = max(np.linalg.norm(corners[0] - corners[1]), np.linalg.norm(corners[2] - corners[3]))
    height = max(np.linalg.norm(corners[0] - corners[3]), np.linalg.norm(corners[1] - corners[2]))
    return np.roll(corners, -1, axis=0) if int(height) >= VERTICAL * int(width) else corners


def tallest(lines: Sequence[_DetectedLine]) -> list[_DetectedLine]:
    """Returns the tallest lines that fit into `BUDGET`."""
    by_height = sorted(lines, key=lambda line: -line.height)
    costs = itertools.accumulate(line.cost for line in by_height)
    return [line for line, total in zip(by_height, costs, strict=True) if total <= BUDGET]


def in_reading_order(lines: Sequence[_DetectedLine]) -> list[_DetectedLine]:
    """Sorts lines by row, and each row from the left.

    Two lines are in the same row if their centres are less than half a line apart.
    """
    rows: list[list[_DetectedLine]] = []
    for line in sorted(lines, key=lambda line: line.centre[1]):
        if rows and line.centre[1] - rows[-1][0].centre[1] < min(line.height, rows[-1][0].height) / 2:
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda line: line.centre[0])]


def _box(corners: NDArray[np.float64], size: tuple[int, int]) -> tuple[Point, Point, Point, Point]:
    first, second, third, fourth = ((rounded(x / size[0]), rounded(y / size[1])) for x, y in corners)
    return first, second, third, fourth
