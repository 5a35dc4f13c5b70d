"""Makes docs/look.png: a screenshot of the page that `mner look --html` writes about example images.

Needs Chromium:

    python -m examples.look_screenshot
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image, ImageChops

ROOT = Path(__file__).parents[1]
IMAGES = ("astronaut.jpg", "camera.webp", "chelsea.jpg", "coffee.jpg", "horse.gif", "hubble.jpg", "rocket.jpg")
SIZE = (1500, 2000)
"""Width and height of the browser window. The height only has to be large enough; empty space is cut off."""


def main() -> None:
    sources = [str(ROOT / "examples" / "images" / name) for name in IMAGES]
    with TemporaryDirectory() as folder:
        page, shot = Path(folder) / "look.html", Path(folder) / "look.png"
        look = [sys.executable, "-m", "cli.main", "look", *sources, "examples/README.md", "--html", str(page)]
        subprocess.run(look, cwd=ROOT, capture_output=True, check=False)  # exit code 1: README.md is no image
        browser = ["chromium", "--headless", "--no-sandbox", "--hide-scrollbars", f"--screenshot={shot}"]
        window = f"--window-size={SIZE[0]},{SIZE[1]}"
        subprocess.run([*browser, window, page.as_uri()], stderr=subprocess.DEVNULL, check=True)
        with Image.open(shot) as image:
            pixels = image.convert("RGB")
    background = Image.new("RGB", pixels.size, pixels.getpixel((0, 0)))
    box = ImageChops.difference(pixels, background).getbbox()
    assert box is not None, "the page is empty"
    margin = box[1]
    page_pixels = pixels.crop((0, 0, pixels.width, min(pixels.height, box[3] + margin)))
    page_pixels.quantize(256).save(ROOT / "docs" / "look.png", optimize=True)


if __name__ == "__main__":
    main()
