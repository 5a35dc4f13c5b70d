"""What `mner train` was asked for, checked before anything is read or trained."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from core.errors import UserError
from model.checkpoint import NAME, VISION
from model.design import CONTEXT, TEXT, Design

if TYPE_CHECKING:
    from model.checkpoint import CheckpointInfo
    from model.training.material import Material

DEVICES = ("auto", "cpu", "cuda")
MOST = 2.0
"""Temperature of the alignment where none is given: ITA's for Twitter-2017."""


def design_of(views: tuple[str, ...], **others: object) -> Design:
    """Raises `UserError`."""
    try:
        return Design.model_validate({"views": views} | others)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False)[0]
        option = str(problem["loc"][0]) if problem["loc"] else "views"
        given = ",".join(views) if option == "views" else others[option]
        told = problem["msg"].removeprefix("Value error, ").removeprefix("views: ")
        raise UserError(f"--{option} {given}: {told}") from None


def device_of(wanted: str) -> str:
    """Raises `UserError`."""
    import torch

    if wanted not in DEVICES:
        raise UserError(f"--device {wanted}: wanted one of {', '.join(DEVICES)}")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda, but torch sees no GPU: choose auto or cpu")
    return ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted


def check_rates(rates: dict[str, float]) -> None:
    """Raises `UserError`."""
    for option, rate in rates.items():
        if not 0 < rate < math.inf:
            raise UserError(f"{option} {rate}: wanted a number above 0")


def check_matching(weight: float, views: tuple[str, ...], evidence: bool, drop_context: float) -> None:
    """Raises `UserError`."""
    if weight and not (evidence and CONTEXT in views):
        raise UserError(f"--matching {weight:g}: wanted a view {CONTEXT} and evidence, which it discounts")
    if weight and drop_context == 1:
        raise UserError(f"--matching {weight:g}: wanted a --drop-context below 1, which leaves captions to match")


def checkpoint_name(given: str | None, encoder: str) -> str:
    """Raises `UserError`."""
    name = given if given is not None else re.sub(r"[^A-Za-z0-9_.-]", "-", encoder)[:50] + "-evidential"
    if not re.fullmatch(NAME, name):
        raise UserError(f"--name {name!r}: wanted 1 to 64 letters, digits, dots, dashes or underscores")
    return name


def check_material(read: Material, design: Design, temperatures: Iterable[str], auxiliary: bool) -> None:
    """`temperatures`: the data sets that have one of their own; `auxiliary`: whether others were given. Raises
    `UserError`."""
    from model.training.reading import ways

    data = sorted({name for name, _ in read.held_out})
    if unknown := set(temperatures) - set(data):
        raise UserError(f"--alignment-temperature {min(unknown)}: wanted a data set of {', '.join(data)}")
    if not any(ways(design, examples) for examples in read.validation.values()):
        raise UserError(f"--views {','.join(design.views)}: no validation tweet has such a view; give --captions")
    if auxiliary and TEXT not in design.views:
        raise UserError(f"--auxiliary: its tweets are read as text alone: wanted a view {TEXT}")
    if auxiliary and not read.auxiliary:
        raise UserError("--auxiliary: all of its tweets also stand in --data, or in a validation or test set")
    if design.discount and len({one.caption for one in read.labelled if one.caption}) < 2:
        raise UserError("--matching: wanted --captions, with two different ones at least, to tell one from the other")


def temperatures_of(given: list[str]) -> tuple[float, dict[str, float]]:
    """Of the alignment: that of most data sets, and of those that have their own. Raises `UserError`."""
    most, own = MOST, dict[str, float]()
    for one in given:
        name, equals, number = one.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not 0.1 <= value < math.inf or (equals and not name):
            raise UserError(f"--alignment-temperature {one}: wanted a number of 0.1 or more, or DATASET=NUMBER")
        if equals:
            own[name] = value
        else:
            most = value
    return most, own


def vision_name(vision: str) -> str:
    """What to call it: a hub name, or of a folder its last part, of a checkpoint's own the last two."""
    folder = Path(vision)
    if not folder.is_dir():
        return vision
    folder = folder.resolve()
    return f"{folder.parent.name}/{folder.name}" if folder.name == VISION else folder.name


def same_vision(info: CheckpointInfo, vision: str) -> bool:
    """Whether a checkpoint sees by this model: by the copy that it holds, or by what this was copied from."""
    own = info.vision
    return own is not None and (
        own == vision
        or Path(own).resolve() == Path(vision).resolve()
        or info.provenance.get("vision") == vision_name(vision)
    )
