"""A small corpus in the published layout."""

from __future__ import annotations

import json
from pathlib import Path

from tests.model.toys import examples

SIZES = {"train": 32, "valid": 6, "test": 4}


def write(folder: Path) -> Path:
    """Writes a data set, and `captions.jsonl` with a caption for each of its posts beside it."""
    folder.mkdir(parents=True)
    lines = []
    for split, size in SIZES.items():
        text = ""
        for number, example in enumerate(examples(size)):
            rows = [*zip(example.words[:3], example.tags[:3], strict=True), (f"{split}{number}", "O")]
            text += f"IMGID:{split}{number}\n" + "".join(f"{word}\t{tag}\n" for word, tag in rows) + "\n"
            lines.append(json.dumps({"set": folder.name[-4:], "img": f"{split}{number}", "caption": "a city"}))
        (folder / f"{split}.txt").write_text(text, encoding="utf-8")
    (folder.parent / "captions.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder
