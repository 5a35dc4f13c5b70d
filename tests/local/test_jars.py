"""Only the jars of the lock are accepted. A real HTTP server plays the Maven mirror of the user."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from core.errors import UserError
from local import jars

CONTENT = {name: f"jar {name} ".encode() * 5000 for name in ("one", "two", "three")}


class Mirror(ThreadingHTTPServer):
    """Serves `files` (path -> bytes). Each path in `cut` breaks off in the middle once."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.files = {f"/org/example/{name}/1.0/{name}-1.0.jar": content for name, content in CONTENT.items()}
        self.cut: set[str] = set()
        self.asked: list[str] = []


class Answer(BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        content = self.server.files.get(self.path)
        self.send_response(404 if content is None else 200)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        if self.path in self.server.cut:
            self.server.cut.remove(self.path)
            content = (content or b"")[:100]
        self.wfile.write(content or b"")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """A mirror that the configuration file of jgo puts in the place of Maven Central."""
    configuration = tmp_path / "jgo.conf"
    monkeypatch.setenv("JGO_CONFIG_FILE", str(configuration))
    monkeypatch.setattr("local.jars.time.sleep", lambda seconds: None)
    with Mirror() as server:
        configuration.write_text(f"[repositories]\ncentral = http://127.0.0.1:{server.server_port}\n")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    file = tmp_path / "jars.lock"
    rows = [
        f'"org.example:{name}:1.0" = {{ size = {len(content)}, sha256 = "{hashlib.sha256(content).hexdigest()}" }}'
        for name, content in CONTENT.items()
    ]
    file.write_text("\n".join(["[set]", *rows]))
    return file


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_a_set_is_fetched_from_the_users_mirror_with_progress(mirror: Mirror, lock: Path, cache: Path) -> None:
    seen: list[tuple[int, int]] = []
    found = jars.fetch("set", lambda done, total: seen.append((done, total)), cache=cache, lock=lock)
    assert [file.read_bytes() for file in found] == list(CONTENT.values())
    total = sum(map(len, CONTENT.values()))
    assert max(seen) == (total, total)
    assert sorted(file.name for file in cache.rglob("*") if file.is_file()) == [
        ".lock",
        "one-1.0.jar",
        "three-1.0.jar",
        "two-1.0.jar",
    ]


def test_once_cached_no_network_is_needed(mirror: Mirror, lock: Path, cache: Path) -> None:
    first = jars.fetch("set", cache=cache, lock=lock)
    mirror.asked.clear()
    assert jars.fetch("set", cache=cache, lock=lock) == first
    assert mirror.asked == []


def test_a_tampered_jar_is_refused_and_discarded(mirror: Mirror, lock: Path, cache: Path) -> None:
    mirror.files["/org/example/two/1.0/two-1.0.jar"] = b"evil" * 100
    with pytest.raises(UserError, match=r"org\.example:two:1\.0: the fetched jar has SHA-256 .*discarded"):
        jars.fetch("set", cache=cache, lock=lock)
    assert not [file for file in cache.rglob("*") if file.is_file() and b"evil" in file.read_bytes()]


def test_a_jar_changed_in_the_cache_is_fetched_again(mirror: Mirror, lock: Path, cache: Path) -> None:
    jar = jars.fetch("set", cache=cache, lock=lock)[0]
    jar.write_bytes(b"evil")
    mirror.asked.clear()
    assert jars.fetch("set", cache=cache, lock=lock)[0].read_bytes() == CONTENT["one"]
    assert {path.rsplit("/", 1)[-1] for path in mirror.asked} == {"one-1.0.jar", "one-1.0.jar.sha1"}


def test_a_download_that_breaks_off_is_tried_again(mirror: Mirror, lock: Path, cache: Path) -> None:
    mirror.cut.add("/org/example/one/1.0/one-1.0.jar")
    assert jars.fetch("set", cache=cache, lock=lock)[0].read_bytes() == CONTENT["one"]


@pytest.mark.parametrize("fault", ["missing", "unreachable"])
def test_a_jar_that_cannot_be_fetched_is_one_error_with_a_remedy(
    mirror: Mirror, lock: Path, cache: Path, fault: str
) -> None:
    if fault == "missing":
        del mirror.files["/org/example/three/1.0/three-1.0.jar"]
    else:
        mirror.shutdown()
        mirror.server_close()
    with pytest.raises(UserError, match=r"cannot fetch org\.example:.* from http://127.0.0.1:.*Check the network"):
        jars.fetch("set", cache=cache, lock=lock)


def test_an_exception_of_the_progress_callback_ends_the_fetching(mirror: Mirror, lock: Path, cache: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        jars.fetch("set", stop, cache=cache, lock=lock)


def test_processes_that_fetch_at_once_fetch_each_jar_once(mirror: Mirror, lock: Path, cache: Path) -> None:
    code = "import sys; from pathlib import Path; from local import jars; cache, lock = map(Path, sys.argv[1:]); "
    command = [sys.executable, "-c", code + "jars.fetch('set', cache=cache, lock=lock)", str(cache), str(lock)]
    fetching = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait() for process in fetching] == [0, 0, 0]
    assert len([path for path in mirror.asked if path.endswith(".jar")]) == len(CONTENT)


def test_the_committed_lock_names_every_root_and_no_address() -> None:
    for set_name, roots in jars.ROOTS.items():
        assert set(roots) <= {jar.coordinate for jar in jars.locked(set_name)}
    assert "://" not in jars.LOCK.read_text()
