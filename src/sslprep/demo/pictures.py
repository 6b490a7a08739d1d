"""Pictures whose labels are true: photographs of a class, and placards that name theirs.

scikit-image ships a handful of photographs. A class that one of them shows is a piece of it; every
other class is a placard with the class's name. Several classes make a collage.
"""

from __future__ import annotations

import colorsys
import functools
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

Photos = Mapping[str, Sequence[tuple[Image.Image, tuple[int, int, int, int]]]]
"""By what they show: photographs, and the box (left, top, right, bottom) that a piece must hold."""

Box = tuple[int, int, int, int]

_SHOWS = {
    "astronaut.png": ("person", (130, 20, 350, 400)),
    "chelsea.png": ("cat", (60, 20, 330, 280)),
    "coffee.png": ("cup", (160, 60, 480, 350)),
    "motorcycle_left.png": ("motorcycle", (60, 90, 680, 470)),
    "horse.png": ("horse", (20, 20, 380, 310)),
}
_ALSO = {
    "motorbike": "motorcycle",
    "n02123045": "cat",
    "n07920052": "cup",
}
"""What VOC and ImageNet call the same things; n02123045 is tabby, n07920052 espresso."""


def load_photos() -> Photos:
    """Read the photographs that scikit-image ships."""
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    photos: dict[str, list[tuple[Image.Image, Box]]] = {}
    for name, (shows, box) in _SHOWS.items():
        photos.setdefault(shows, []).append((Image.open(folder / name).convert("RGB"), box))
    return {**photos, **{name: photos[shows] for name, shows in _ALSO.items()}}


def picture_of(
    name: str, photos: Photos, rng: np.random.Generator, size: tuple[int, int]
) -> Image.Image:
    """Return a picture of one class: a piece of a photograph of it, else a placard.

    Args:
        name: The class.
        photos: From `load_photos`.
        rng: Chooses the piece and its mirroring, or the ground.
        size: Width and height, pixels.
    """
    if name not in photos:
        return _placard(name, rng, size)
    every = photos[name]
    photo, (left, top, right, bottom) = every[int(rng.integers(len(every)))]
    # Around what is shown, as much of the rest as chance has it.
    edges = rng.uniform(0, 1, 4)
    box = (
        left * edges[0],
        top * edges[1],
        right + (photo.width - right) * edges[2],
        bottom + (photo.height - bottom) * edges[3],
    )
    piece = photo.resize(size, Image.Resampling.BILINEAR, box=box)
    return ImageOps.mirror(piece) if rng.random() < 0.5 else piece


def _placard(name: str, rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Draw a class's name on a plate of the class's own hue, on a ground that varies."""
    image = ground(rng, size)
    hue = zlib.crc32(name.encode()) / 2**32
    plate = tuple(round(255 * v) for v in colorsys.hls_to_rgb(hue, 0.78, 0.75))
    ink = tuple(round(255 * v) for v in colorsys.hls_to_rgb(hue, 0.16, 0.8))
    draw = ImageDraw.Draw(image)
    words = name.replace("_", "\n")
    width, height = size
    font, (left, top, right, bottom) = _fitted(words, size)
    w, h = right - left + 10, bottom - top + 8
    x = round(rng.uniform(1, max(1, width - w - 1)))
    y = round(rng.uniform(1, max(1, height - h - 1)))
    draw.rounded_rectangle((x, y, x + w, y + h), 3, plate, ink)
    draw.multiline_text((x + 5 - left, y + 4 - top), words, ink, font, align="center")
    return image


@functools.cache
def _fitted(words: str, size: tuple[int, int]) -> tuple[Any, tuple[float, float, float, float]]:
    """Return the largest font in which words fit into a picture, and their box."""
    draw = ImageDraw.Draw(Image.new("L", (1, 1)))
    for points in range(max(9, size[1] // 4), 5, -1):
        font: Any = ImageFont.load_default(points)
        box = draw.multiline_textbbox((0, 0), words, font, align="center")
        if box[2] - box[0] <= size[0] - 14 and box[3] - box[1] <= size[1] - 12:
            break
    return font, box


def ground(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Draw a ground without any class: a gradient of two muted colours, with grain."""
    corners = rng.uniform(40, 216, (2, 2, 1)) + rng.uniform(-38, 39, (2, 2, 3))
    smooth = Image.fromarray(corners.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    grain = rng.integers(-18, 19, (size[1], size[0], 1))
    return Image.fromarray(np.clip(np.asarray(smooth) + grain, 0, 255).astype(np.uint8))


def collage(
    names: Sequence[str],
    photos: Photos,
    rng: np.random.Generator,
    size: tuple[int, int],
    *,
    small: Sequence[str] = (),
) -> tuple[Image.Image, list[Box]]:
    """Return one picture of several classes, each in a part of its own.

    Args:
        names: The classes; none gives a ground alone.
        photos: From `load_photos`.
        rng: Chooses everything else.
        size: Width and height, pixels.
        small: Classes that are there but hard to see: in a corner, a fifth as large.

    Returns:
        The picture, and the part (left, top, right, bottom) of each of `names`.
    """
    width, height = size
    image = ground(rng, size)
    parts: list[Box] = []
    for i, name in enumerate(names):
        start, end = i / len(names), (i + 1) / len(names)
        if width > height:  # cut across the longer side
            part = int(start * width), 0, int(end * width), height
        else:
            part = 0, int(start * height), width, int(end * height)
        parts.append(part)
        piece = picture_of(name, photos, rng, (part[2] - part[0], part[3] - part[1]))
        image.paste(piece, part[:2])
    for i, name in enumerate(small):
        corner = picture_of(name, photos, rng, (width // 5, height // 5))
        image.paste(corner, (width - width // 5, i * height // 5))
    return image, parts
