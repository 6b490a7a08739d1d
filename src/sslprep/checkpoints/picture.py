"""The picture of a proof: what a real photograph is, cut to the size of a network."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sslprep.errors import MissingExtraError, ParameterError


def check_choice(*, check: bool, picture: Path | None) -> None:
    """Check before any work that a proof can be made, if one is wanted."""
    if not check:
        if picture is not None:
            raise ParameterError("--picture is given without --check", remedy="Add --check.")
        return
    if picture is not None and not picture.is_file():
        raise ParameterError(f"no picture {picture}", remedy="Check the path.")
    if find_spec("torch") is None:
        raise MissingExtraError(
            "--check computes with PyTorch", remedy="Install it: pip install torch."
        )
    if picture is None and find_spec("skimage") is None:
        raise MissingExtraError(
            "--check without --picture uses a photograph of scikit-image",
            remedy="Pass --picture FILE, or install it: pip install scikit-image.",
        )


def read_picture(path: Path | None, size: int = 224) -> NDArray[np.uint8]:
    """Read a picture and cut out its middle: (size, size, 3), RGB."""
    from PIL import Image

    if path is None:
        from skimage import data

        image = Image.fromarray(np.asarray(data.astronaut()))  # type: ignore[no-untyped-call]
    else:
        try:
            with Image.open(path) as opened:
                image = opened.convert("RGB")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise ParameterError(
                f"{path} is no readable picture ({error})", expected="a JPEG or PNG file"
            ) from error
    scale = (size + size // 7) / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)))
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return np.asarray(image.crop((left, top, left + size, top + size)), dtype=np.uint8)
