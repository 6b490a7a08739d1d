"""A picture as the benchmark's networks take it (Goyal et al. 2019).

Values become float32 before any resizing, so nothing is rounded between the two resizes: shorter
side to 256 (bilinear, no antialias; skipped where it is 256 already), then the whole picture to a
square without regard to aspect. No crop, no flip.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslprep.checkpoints.preprocessing import Preprocessing
from sslprep.color.decoding import UnreadableError, decode_image, opencv

SHORTER_SIDE = 256
_LONGEST = 1 << 16
"""The longer side beside it, 200 MB: ImageNet's and Places' are below 5,000."""
Input = NDArray[np.float32]


def fit_shorter_side(height: int, width: int) -> tuple[int, int]:
    """Return (height, width) with the shorter side 256, the longer rounded down.

    A picture 256 times as long as it is wide is an UnreadableError: it would take gigabytes.

    Example:
        >>> fit_shorter_side(375, 500), fit_shorter_side(500, 333)
        ((256, 341), (384, 256))
    """
    short, long = min(height, width), max(height, width)
    long = long * SHORTER_SIDE // short
    if long > _LONGEST:
        raise UnreadableError(f"{height} × {width} pixels are too narrow to be brought to 256")
    return (SHORTER_SIDE, long) if height <= width else (long, SHORTER_SIDE)


def make_input(picture: NDArray[np.uint8], taken: Preprocessing, size: int) -> Input:
    """Bring a picture to a network's input.

    Args:
        picture: (height, width, 3) BGR.
        taken: What the network takes.
        size: Side of the square.

    Returns:
        (channels, size, size) float32.
    """
    cv2 = opencv()
    if taken.order == "L":  # lightness of the picture at its full size
        picture = cv2.cvtColor(picture, cv2.COLOR_BGR2LAB)[:, :, 0]
    elif taken.order == "RGB":
        picture = picture[:, :, ::-1]
    pixels = np.ascontiguousarray(picture, np.float32)
    height, width = pixels.shape[:2]
    if min(height, width) != SHORTER_SIDE:
        height, width = fit_shorter_side(height, width)
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
    pixels = cv2.resize(pixels, (size, size), interpolation=cv2.INTER_LINEAR)
    planes = pixels.reshape(size, size, -1).transpose(2, 0, 1)
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (taken.mean, taken.std))
    return np.ascontiguousarray((planes - mean) / std)


@dataclass(frozen=True)
class Chunk:
    """Pictures of one batch."""

    first: int  #: row of the first
    paths: tuple[str, ...]  #: where they are
    taken: Preprocessing  #: what the network takes
    size: int  #: side of the square


def read_chunk(chunk: Chunk) -> tuple[Input, list[str]]:
    """Read the pictures of a chunk.

    Returns:
        Inputs (pictures, channels, size, size); and a line for each picture that is none.
    """
    inputs: list[Any] = []
    problems = []
    for number, path in enumerate(chunk.paths):
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would be waited for
                raise UnreadableError("not a regular file")
            picture, _ = decode_image(Path(path).read_bytes(), strict=True)
            inputs.append(make_input(picture, chunk.taken, chunk.size))
        except FileNotFoundError:
            problems.append(f"row {chunk.first + number}, {path}: missing")
        except OSError as error:
            problems.append(f"row {chunk.first + number}, {path}: {error.strerror}")
        except (UnreadableError, ValueError) as error:  # of a null byte in the path
            problems.append(f"row {chunk.first + number}, {path}: {error}")
    return np.stack(inputs) if inputs else np.empty((0,), np.float32), problems
