"""Take the screenshots of this folder from the report of a demo.

sslprep demo sslprep-demo
python docs/images/take.py sslprep-demo/report.html
"""

import argparse
import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync")

# File name: width and height of the window, colours, and which element comes to its top.
SHOTS = {
    "report-wide": (1600, 1000, "light", "body"),
    "report-dark": (1600, 1000, "dark", "#permutations"),
    "report-lowshot": (1600, 1100, "light", "#lowshot article >> nth=-1"),
    "report-jigsaw": (1600, 760, "light", "#permutations article >> nth=0"),
    "report-colour": (1600, 640, "light", "#colour article >> nth=-1"),
    "report-checkpoint": (1600, 860, "light", "#checkpoints article >> nth=-1"),
    "report-provenance": (1600, 620, "light", "#provenance"),
}
PHONE = (
    "body",
    "#lowshot article >> nth=0",
    "#permutations article >> nth=0",
    "#colour article >> nth=-1",
)


def shot(page: Page, target: str) -> Image.Image:
    """Bring an element to the top of the window and return what is seen."""
    page.locator(target).first.evaluate("node => node.scrollIntoView({block: 'start'})")
    page.evaluate("document.documentElement.style.scrollbarWidth = 'none'")
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def save(image: Image.Image, name: str) -> None:
    """Save with a palette: a quarter of the bytes, and no difference to be seen."""
    reduced = image.quantize(
        256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.FLOYDSTEINBERG
    )
    reduced.save(HERE / f"{name}.png", optimize=True)


def main() -> None:
    """Take all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", type=Path)
    address = parser.parse_args().report.resolve().as_uri()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=list(ARGUMENTS)
        )
        for name, (width, height, colours, target) in SHOTS.items():
            page = browser.new_page(
                viewport={"width": width, "height": height}, color_scheme=colours
            )
            page.goto(address)
            save(shot(page, target), name)
            page.close()
        page = browser.new_page(viewport={"width": 360, "height": 780}, color_scheme="light")
        page.goto(address)
        strip = Image.new("RGB", (len(PHONE) * 380 - 20, 780), "#9aa0a6")
        for i, target in enumerate(PHONE):
            strip.paste(shot(page, target), (i * 380, 0))
        save(strip, "report-phone")
        browser.close()


if __name__ == "__main__":
    main()
