"""Virtual environments for other programs' libraries, made once and kept in the user's cache."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import platformdirs

from core.errors import UserError


def environment(name: str, python: str, installs: Sequence[tuple[Path, Sequence[str]]], needed: str) -> Path:
    """Returns the environment's folder. Makes the environment if necessary, with progress on standard error.

    It is made again when a file of pinned packages has changed, or when it lacks the file `needed`.
    `python`: accepted versions. `installs`: files of pinned packages, each with options of `uv pip install`, in which
    `{home}` stands for the folder.
    Raises `UserError` when `uv` fails.
    """
    home = platformdirs.user_cache_path("mner-streams") / name
    done, pinned = home / "pinned.txt", "".join(file.read_text() for file, _ in installs)
    if done.exists() and done.read_text() == pinned and (home / needed).exists():
        return home
    uv = shutil.which("uv") or str(Path(__file__).resolve().parent.parent / ".uv" / "bin" / "uv")
    into = [uv, "pip", "install", "--python", str(home / "bin" / "python")]
    try:
        subprocess.run([uv, "venv", "--clear", "--python", python, str(home)], check=True, stdout=2)
        for file, options in installs:
            placed = [option.format(home=home) for option in options]
            subprocess.run([*into, *placed, "--requirement", str(file)], check=True, stdout=2)
    except OSError as error:
        raise UserError(f"{uv} cannot be run: {error.strerror}") from None
    except subprocess.CalledProcessError as error:
        raise UserError(f"`{' '.join(error.cmd[:3])}` ended with code {error.returncode}; see above") from None
    done.write_text(pinned)
    return home
