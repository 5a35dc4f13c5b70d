"""The Java archives (jars) of Kafka and Elasticsearch: pinned in `jars.lock`, fetched once, verified at every start.

`python -m local.jars lock` resolves `ROOTS` again and rewrites the lock. The lock holds the Maven coordinate, size and
SHA-256 of every jar, but no URL. Jars come from Maven Central, or from the repositories in the user's jgo
configuration: `central = URL` under `[repositories]` replaces Maven Central with a mirror.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import platformdirs

from core.errors import UserError
from local.lock import alone

LOCK = Path(__file__).with_name("jars.lock")
ROOTS = {
    "kafka": ("org.apache.kafka:kafka_2.13:4.3.0", "org.slf4j:slf4j-simple:1.7.36"),
    "elasticsearch": ("org.elasticsearch:elasticsearch:9.5.3",),
    "transport-netty4": ("org.elasticsearch.plugin:transport-netty4:9.5.3",),
}
"""Name of a set -> the coordinates of the jars that we need; `_resolve` adds their dependencies. The third set is the
HTTP module of Elasticsearch, which is loaded from its own folder."""

FETCHED_AT_ONCE = 8
TRIES = 3

Progress = Callable[[int, int], None]
"""Receives the bytes fetched and the bytes to fetch, from several threads. If it raises, the fetching ends."""


@dataclass(frozen=True)
class Jar:
    """One pinned jar."""

    #: group:artifact:version
    coordinate: str
    #: bytes
    size: int
    sha256: str

    @property
    def path(self) -> Path:
        """The path of the jar in a Maven repository and in the cache."""
        group, artifact, version = self.coordinate.split(":")
        return Path(*group.split("."), artifact, version, f"{artifact}-{version}.jar")

    def lies_in(self, cache: Path) -> bool:
        """Returns whether the cache has this jar with the right checksum."""
        file = cache / self.path
        return file.exists() and sha256_of(file) == self.sha256


def default_cache() -> Path:
    """Returns the user's cache folder for jars, which all clones share."""
    return platformdirs.user_cache_path("mner-streams") / "jars"


def locked(set_name: str, lock: Path = LOCK) -> list[Jar]:
    """Returns the jars of a set, as the lock pins them."""
    table = tomllib.loads(lock.read_text())[set_name]
    return [Jar(coordinate, entry["size"], entry["sha256"]) for coordinate, entry in table.items()]


def fetch(
    set_name: str, on_progress: Progress | None = None, *, cache: Path | None = None, lock: Path = LOCK
) -> list[Path]:
    """Returns the files of a set, each verified against the lock. Fetches those that the cache lacks.

    Several processes may fetch the same set at once. No network is needed when all jars are cached.

    Raises `UserError` when a jar cannot be fetched, or when its checksum differs from the lock.
    """
    jars, cache = locked(set_name, lock), cache or default_cache()
    if not all(jar.lies_in(cache) for jar in jars):
        with alone(cache / ".lock"):  # other processes wait here, then find the jars in the cache
            for abandoned in cache.glob(".fetching-*"):
                shutil.rmtree(abandoned, ignore_errors=True)
            missing = [jar for jar in jars if not jar.lies_in(cache)]
            _fetch_all(missing, cache, on_progress or (lambda done, total: None))
    return [cache / jar.path for jar in jars]


def _fetch_all(jars: list[Jar], cache: Path, on_progress: Progress) -> None:
    total, done, counting = sum(jar.size for jar in jars), 0, threading.Lock()

    def count(fetched: int) -> None:
        nonlocal done
        with counting:
            done += fetched
            on_progress(min(done, total), total)

    with ThreadPoolExecutor(FETCHED_AT_ONCE) as pool:
        try:
            for _ in pool.map(lambda jar: _fetch_one(jar, cache, count), jars):
                pass
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _fetch_one(jar: Jar, cache: Path, count: Callable[[int], None]) -> None:
    """Fetches a jar into a folder of its own, verifies it, then renames it, so that the cache never has half a jar."""
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=cache) as folder:
        file = _download(jar, Path(folder), count)
        actual = sha256_of(file)
        if actual != jar.sha256:
            raise UserError(
                f"{jar.coordinate}: the fetched jar has SHA-256 {actual}, but the lock has {jar.sha256}. The jar was "
                "discarded; check the Maven repository or mirror"
            )
        (cache / jar.path).parent.mkdir(parents=True, exist_ok=True)
        file.replace(cache / jar.path)


def _download(jar: Jar, folder: Path, count: Callable[[int], None]) -> Path:
    import requests
    from jgo.maven import MavenContext, PythonResolver

    @contextlib.contextmanager
    def report(filename: str, size: int) -> Iterator[Callable[[int], None]]:
        yield count

    group, artifact, version = jar.coordinate.split(":")
    for attempt in range(TRIES):
        context = MavenContext(
            resolver=PythonResolver(progress_callback=report),
            repo_cache=folder / str(attempt),  # jgo does not overwrite the files of a failed attempt
            remote_repos=repositories(),
            timeout=30,
        )
        try:
            return context.project(group, artifact).at_version(version).artifact().resolve()
        except (requests.RequestException, RuntimeError, OSError) as error:  # jgo raises RuntimeError for "not found"
            cause = error
            time.sleep(attempt)
    raise UserError(
        f"cannot fetch {jar.coordinate} from {', '.join(repositories().values())}: {cause}. Check the network, set "
        "`central` under [repositories] in jgo's configuration to a Maven mirror, or set MNER_KAFKA and "
        "MNER_ELASTICSEARCH to other servers"
    )


def repositories() -> dict[str, str]:
    """Returns Maven Central, with the additions and replacements of the user's jgo configuration."""
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL

    return {"central": MAVEN_CENTRAL_URL, **GlobalSettings.load().repositories}


def sha256_of(file: Path) -> str:
    """Returns the SHA-256 of a file, in hex."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def write_lock(lock: Path = LOCK) -> None:
    """Resolves `ROOTS` with their run-time dependencies, fetches every jar and rewrites the lock."""
    lines = ["# Written by `python -m local.jars lock`. Only these jars are ever fetched."]
    with tempfile.TemporaryDirectory() as folder:
        for set_name, roots in ROOTS.items():
            lines.append(f"\n[{set_name}]")
            lines += [
                f'"{coordinate}" = {{ size = {file.stat().st_size}, sha256 = "{sha256_of(file)}" }}'
                for coordinate, file in sorted(_resolve(roots, Path(folder)))
            ]
    lock.write_text("\n".join(lines) + "\n")


def _resolve(roots: tuple[str, ...], folder: Path) -> Iterator[tuple[str, Path]]:
    from jgo.maven import MavenContext
    from jgo.parse import Coordinate

    context = MavenContext(repo_cache=folder, remote_repos=repositories(), timeout=30)
    roots_needed = [context.create_dependency(replace(Coordinate.parse(root), scope="compile")) for root in roots]
    inputs, transitive = context.resolver.resolve(roots_needed)
    for dependency in [*inputs, *(needed for needed in transitive if needed.scope in {"compile", "runtime"})]:
        yield f"{dependency.groupId}:{dependency.artifactId}:{dependency.version}", dependency.artifact.resolve()


if __name__ == "__main__":
    if sys.argv[1:] != ["lock"]:
        raise SystemExit("usage: python -m local.jars lock")
    write_lock()
