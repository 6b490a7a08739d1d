"""The picture of the proof, and the form in which each kind of model takes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sslprep.checkpoints.norms import MEAN_BGR, STD_BGR
from sslprep.errors import MissingExtraError, ParameterError

SIZE = 224
_RESIZED = 256

# Written anew for the targets, so that a wrong constant of the source does not prove itself.
_MEAN_RGB = np.array([0.485, 0.456, 0.406])
_STD_RGB = np.array([0.229, 0.224, 0.225])


def check_choice(*, check: bool, picture: Path | None) -> None:
    """Check before any work that a proof can be made, if one is wanted.

    Raises:
        ParameterError: A picture without `--check`, or no such picture.
        MissingExtraError: PyTorch or the default picture is not installed.
    """
    if not check:
        if picture is not None:
            raise ParameterError("--picture is given without --check", remedy="Add --check.")
        return
    if picture is not None and not picture.is_file():
        raise ParameterError(f"no picture {picture}", remedy="Check the path.")
    import importlib.util

    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError(
            "--check computes with PyTorch", remedy='Install it: pip install "sslprep[torch]".'
        )
    if picture is None and importlib.util.find_spec("skimage") is None:
        raise MissingExtraError(
            "--check without --picture uses a photograph of scikit-image",
            remedy='Pass --picture FILE, or install it: pip install "sslprep[demo]".',
        )


def read_picture(path: Path | None) -> NDArray[np.uint8]:
    """Read a picture and cut out its middle: (224, 224, 3), RGB.

    Raises:
        ParameterError: The file is no picture.
    """
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
    scale = _RESIZED / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)))
    left, top = (image.width - SIZE) // 2, (image.height - SIZE) // 2
    return np.asarray(image.crop((left, top, left + SIZE, top + SIZE)), dtype=np.uint8)


def source_input(picture: NDArray[np.uint8], channels: int) -> NDArray[np.float64]:
    """Return a picture as the benchmark's networks take it: (1, C, H, W).

    Three channels are BGR, `(x / 255 - mean) / std`; one is a lightness between -50 and 50.
    """
    if channels == 1:
        luma = picture @ np.array([0.299, 0.587, 0.114])
        return np.ascontiguousarray((luma / 255 * 100 - 50)[None, None])
    bgr = picture[:, :, ::-1] / 255
    return _planes((bgr - np.array(MEAN_BGR)) / np.array(STD_BGR))


def torchvision_input(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return a picture as torchvision's users feed it: RGB, normalised, (1, 3, H, W)."""
    return _planes((picture / 255 - _MEAN_RGB) / _STD_RGB)


def detector_input(picture: NDArray[np.uint8], *, divide: bool) -> NDArray[np.float64]:
    """Return a picture as a detector feeds it: BGR, mean taken off, divided by std or not."""
    centred = picture[:, :, ::-1] - 255 * _MEAN_RGB[::-1]
    return _planes(centred / (255 * _STD_RGB[::-1]) if divide else centred)


def _planes(image: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None])
