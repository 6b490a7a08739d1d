"""Every error that a user can cause, one class per kind of input.

All texts have one form: *where: what is wrong; expected what. What to do.*
The parts stay on the exception as attributes, so that callers need not parse the text.
"""

from __future__ import annotations

import dataclasses
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Self


@dataclass(eq=False, repr=False)
class SslprepError(Exception):
    """The input is at fault; the command line ends with exit code 1.

    Args:
        problem: What is wrong, in the words of the input, with the value given.
        where: File, line, JSON path or blob where it was found.
        expected: What would have been right.
        remedy: What the user can do, a sentence.

    Example:
        >>> str(ArrayError("got (5011,)", where="targets.npy", expected="shape (images, classes)"))
        'targets.npy: got (5011,); expected shape (images, classes)'
    """

    problem: str
    _: KW_ONLY
    where: str | Path | None = None
    expected: str | None = None
    remedy: str | None = None

    def __post_init__(self) -> None:
        self.args = (self.problem,)  # what pickles are made with
        self.where = None if self.where is None else str(self.where)

    def __str__(self) -> str:
        text = self.problem if self.where is None else f"{self.where}: {self.problem}"
        if self.expected is not None:
            text = f"{text}; expected {self.expected}"
        if self.remedy is not None:
            text = f"{text.rstrip('.')}. {self.remedy}"
        # One error is one line, whatever a file name or a value holds.
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)

    def at(self, where: str | Path) -> Self:
        """Return the same error with the file (or place) put before what it already names."""
        place = where if self.where is None else f"{where}, {self.where}"
        return dataclasses.replace(self, where=place)


class AnnotationError(SslprepError):
    """An annotation file (COCO JSON, VOC lists, csv lists) is malformed."""


class DatasetError(SslprepError):
    """A data set folder does not have the layout that it should."""


class ArrayError(SslprepError):
    """A `.npy` file has the wrong shape, dtype or values, or is damaged."""


class NotEnoughError(SslprepError):
    """A class has too few images for the sample asked for."""


class PermutationError(SslprepError):
    """A permutation set is malformed, or cannot exist."""


class ImagesError(SslprepError):
    """Too many images of a list cannot be read."""


class UnsafeFileError(SslprepError):
    """A file was refused because reading it could run code or exhaust memory."""


class CheckpointError(SslprepError):
    """A checkpoint's blobs do not form the model that was asked for."""


class ManifestError(SslprepError):
    """A manifest is malformed, or does not match the files beside it."""


class OutputError(SslprepError):
    """An output cannot be written: it exists, is being written, or the disk refuses."""


class MissingExtraError(SslprepError):
    """A command needs an optional dependency that is not installed."""


class ParameterError(SslprepError):
    """A parameter's value cannot work."""


class ArgumentError(ParameterError):
    """An argument is of the wrong type, none of the choices, or out of range: exit code 2."""


class WorkersLostError(SslprepError):
    """Worker processes died, hung or could not be started, and the work cannot go on."""
