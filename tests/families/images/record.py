"""Shows the corpus, the answers and the addresses to Chromium, and keeps what it did in `chromium.json`.

`python -m tests.families.images.record [/usr/bin/chromium]`. The tests read only the record.
"""

from __future__ import annotations

import json
import mimetypes
import subprocess
import sys
import tempfile
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.families.images.answers import ANSWERS, HOSTS, LOCATIONS, TARGETS, answer
from tests.families.images.make_files import CORPUS, FILES

RECORD = Path(__file__).with_name("chromium.json")
POINTS = 4
"""The pixels of a grid of 4 x 4 points are kept."""

PAGE = """<!doctype html><meta charset="utf-8"><script>
async function show(src) {
  const image = new Image();
  const loaded = await new Promise(done => {
    image.onload = () => done(true);
    image.onerror = () => done(false);
    setTimeout(() => done(false), 10000);
    image.src = src;
  });
  if (!loaded || !image.naturalWidth) return {shown: false};
  document.body.append(image);
  const canvas = document.createElement("canvas"), [width, height] = [image.naturalWidth, image.naturalHeight];
  canvas.width = width; canvas.height = height;
  const brush = canvas.getContext("2d");
  brush.fillStyle = "white"; brush.fillRect(0, 0, width, height); brush.drawImage(image, 0, 0);
  const pixels = [];
  const at = (number, side) => Math.floor((number + .5) / POINTS * side);
  for (let y = 0; y < POINTS; y++) for (let x = 0; x < POINTS; x++)
    pixels.push([...brush.getImageData(at(x, width), at(y, height), 1, 1).data].slice(0, 3));
  return {shown: true, width, height, pixels};
}
function read(text) { try { return new URL(text).href } catch { return null } }
onload = async () => {
  const work = await (await fetch("/work")).json(), found = {files: {}, answers: {}};
  for (const name of work.files) found.files[name] = await show("/files/" + name);
  for (const name of work.answers) found.answers[name] = await show("/answers/" + encodeURIComponent(name));
  for (const [index, target] of work.targets.entries()) {
    await fetch("/targets/" + index); await show(location.origin + target); }
  for (let index = 0; index < work.locations; index++) {
    await fetch("/locations/" + index); await show("/folder/start?" + index); }
  found.hosts = Object.fromEntries(work.hosts.map(text => [text, read(text)]));
  await fetch("/done", {method: "POST", body: JSON.stringify(found)});
};
</script><body>""".replace("POINTS", str(POINTS))


class Recorder:
    """What the browser asked for and reported."""

    def __init__(self) -> None:
        self.current: tuple[str, int] | None = None
        self.targets: dict[str, str] = {}
        self.locations: dict[str, str] = {}
        self.headers: dict[str, str] = {}
        self.found: dict[str, Any] = {}
        self.done = threading.Event()


class Handler(BaseHTTPRequestHandler):
    def __init__(self, recorder: Recorder, *arguments: Any) -> None:
        self.recorder = recorder
        super().__init__(*arguments)

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        self.recorder.found = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.wfile.write(answer(b""))
        self.recorder.done.set()

    def do_GET(self) -> None:
        self.close_connection = True
        self.wfile.write(self._answer(self.requestline.split(" ")[1]))

    def _answer(self, target: str) -> bytes:
        recorder = self.recorder
        match target.split("/")[1:]:
            case ["page"]:
                return answer(PAGE.encode(), "Content-Type: text/html")
            case ["work"]:
                work = {"files": [*FILES], "answers": [*ANSWERS], "targets": TARGETS, "hosts": HOSTS}
                return answer(json.dumps(work | {"locations": len(LOCATIONS)}).encode())
            case ["files", name]:
                recorder.headers = {key: self.headers[key] for key in ("Accept", "Accept-Encoding")}
                kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
                return answer((CORPUS / name).read_bytes(), f"Content-Type: {kind}")
            case ["answers", name]:
                return ANSWERS[unquote(name)]
            case ["targets" | "locations" as kind, index]:
                recorder.current = (kind, int(index))
                return answer(b"")
        return self._follow(target)

    def _follow(self, target: str) -> bytes:
        """Answers to an address of `TARGETS` or `LOCATIONS`, and keeps it."""
        if (number := target.removeprefix("/folder/start?")).isdigit():
            location = LOCATIONS[int(number)].replace(b"{authority}", self.headers["Host"].encode())
            return b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n"
        if self.recorder.current and target != "/favicon.ico":
            kind, index = self.recorder.current
            if kind == "targets":
                self.recorder.targets[TARGETS[index]] = target
            else:
                self.recorder.locations[LOCATIONS[index].decode("latin-1")] = target
        return answer(b"", status="404 Not Found")


def record(chromium: str) -> dict[str, Any]:
    recorder = Recorder()
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, recorder)) as server,
        tempfile.TemporaryDirectory() as home,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={home}"]
        browser = subprocess.Popen(
            [chromium, *options, f"http://127.0.0.1:{server.server_port}/page"], stderr=subprocess.DEVNULL
        )
        try:
            if not recorder.done.wait(180):
                raise SystemExit("the browser reported nothing")
        finally:
            browser.terminate()
            browser.wait()
            server.shutdown()
    version = subprocess.run([chromium, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return {
        "browser": version,
        "headers": recorder.headers,
        "targets": recorder.targets,
        "locations": recorder.locations,
        **recorder.found,
    }


if __name__ == "__main__":
    found = record(sys.argv[1] if len(sys.argv) > 1 else "/usr/bin/chromium")
    lines = json.dumps(found, indent=1, ensure_ascii=True)
    RECORD.write_text(lines + "\n")
    print(found["browser"], len(found["files"]), "files,", len(found["answers"]), "answers")
