"""What the parameters of a command may be: one check for Python and the command line.

`command` reads a function's own annotations. `Literal` choices may be written in any case, a
whole number must be one, `Annotated[int, Meta(ge=1)]` gives a range, `str` stands for a `Path`,
and a bare value for a tuple of one.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import os
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, ParamSpec, TypeVar

import msgspec
from msgspec import Meta

from sslprep.errors import ArgumentError

P = ParamSpec("P")
R = TypeVar("R")

Positive = Annotated[int, Meta(ge=1)]
NotNegative = Annotated[int, Meta(ge=0)]
Fraction = Annotated[float, Meta(gt=0, lt=1)]


class Parameter(inspect.Parameter):
    """One parameter of a command, with its annotation, `Annotated` and all."""

    @property
    def flag(self) -> str:
        """The name on the command line."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def required(self) -> bool:
        """Whether there is no default."""
        return self.default is self.empty

    @property
    def positional(self) -> bool:
        """Whether its place alone may say what it is."""
        return self.kind is self.POSITIONAL_OR_KEYWORD

    @property
    def form(self) -> str:
        """How it is written on the command line: switch, list, pairs or value."""
        kinds = map(_kind, (self.annotation, *typing.get_args(self.annotation)))
        return next((_FORMS[kind] for kind in kinds if kind in _FORMS), "value")


@functools.cache
def parameters_of(function: Callable[..., Any]) -> tuple[Parameter, ...]:
    """Read the parameters of a command from its signature."""
    parameters = inspect.signature(function, eval_str=True).parameters.values()
    return tuple(
        Parameter(p.name, p.kind, default=p.default, annotation=p.annotation) for p in parameters
    )


def command(
    *, renamed: Mapping[str, str] = types.MappingProxyType({})
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function check its arguments against its annotations, before it does anything.

    Args:
        renamed: Former names of parameters that stay valid, and today's name of each.

    Example:
        >>> @command(renamed={"number": "n"})
        ... def tiles(n: Positive = 9, *, grid: Literal["square", "row"] = "square"):
        ...     return n, grid
        >>> tiles(number=4, grid="ROW")
        (4, 'row')
        >>> tiles(2.5)
        Traceback (most recent call last):
        sslprep.errors.ArgumentError: --n is 2.5; expected a whole number, 1 or more
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def checked(*args: P.args, **given: P.kwargs) -> R:
            named = dict(given)
            for old in renamed.keys() & named.keys():
                if renamed[old] in named:
                    raise ArgumentError(f"{old} and {renamed[old]} are both given; they are one")
                named[renamed[old]] = named.pop(old)
            bound = signature.bind(*args, **named)
            for parameter in parameters_of(function):
                if parameter.name in bound.arguments:
                    value = bound.arguments[parameter.name]
                    bound.arguments[parameter.name] = check(value, parameter)
            return function(*bound.args, **bound.kwargs)

        checked.renamed = dict(renamed)  # type: ignore[attr-defined]
        return checked

    return decorate


def check(value: Any, parameter: Parameter) -> Any:
    """Return a value as its annotation wants it.

    Raises:
        ArgumentError: It is of another type, none of the choices, or out of range.
    """
    words = [word for leaf in _leaves(parameter.annotation) for word in typing.get_args(leaf)]
    choices = {_folded(word): word for word in words if isinstance(word, str)}
    try:
        plain = _plain(value, choices)
        if parameter.form == "list" and plain is not None and not isinstance(plain, list):
            plain = [plain]
        if plain == []:
            raise ValueError(value)
        hint = _AS_TEXT.get(parameter.annotation, parameter.annotation)
        return msgspec.convert(plain, hint, dec_hook=_path)
    except (ValueError, TypeError, RuntimeError, msgspec.ValidationError):  # `~user` is not there
        shown = repr(value) if isinstance(value, str) else str(value)
        raise ArgumentError(
            f"{parameter.flag} is {shown if len(shown) <= 80 else f'{shown[:77]}…'}",
            expected=wanted(parameter.annotation),
            remedy=None if shown.strip("' ") else "Is a shell variable empty?",
        ) from None


def _plain(value: Any, choices: Mapping[str, str]) -> Any:
    """Return a value as msgspec takes it: paths are text, NumPy's numbers and arrays Python's."""
    if isinstance(value, Mapping):
        return {key: _plain(item, choices) for key, item in value.items()}
    if isinstance(value, str | os.PathLike):
        text = os.fspath(value)
        if "\0" in text or not (text.strip() or "" in choices):
            raise ValueError(text)
        return choices.get(_folded(text), text)
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return [_plain(item, choices) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(value)
    return value


def _folded(word: str) -> str:
    return word.strip().casefold().replace("-", "_")


def _path(_: type, text: str) -> Path:
    path = Path(text).expanduser()
    if any(len(os.fsencode(part)) > _LONGEST_NAME for part in path.parts):
        raise ValueError(text)
    return path


def from_text(text: str, hint: Any) -> Any:
    """Read a word of the command line as the Python value that it looks like; `check` judges it."""
    if text.lower() == "none" and type(None) in typing.get_args(hint):
        return None
    numbers = {int, float}.intersection(_kind(leaf) for leaf in _leaves(hint))
    for kind in (int, float) if numbers else ():
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def wanted(hint: Any) -> str:
    """Say in words what a value may be.

    Example:
        >>> wanted(tuple[Positive, ...]), wanted(Literal["npy", "csv"])
        ('a whole number, 1 or more', 'npy or csv')
    """
    return " or ".join(filter(None, map(_words, _leaves(hint))))


def _words(leaf: Any) -> str:
    inner = typing.get_args(leaf)
    if typing.get_origin(leaf) is Literal:
        return " or ".join(filter(None, [", ".join(inner[:-1]), inner[-1]]))
    meta = inner[1] if typing.get_origin(leaf) is Annotated else Meta()
    said = [
        form.format(getattr(meta, bound))
        for bound, form in _LIMITS.items()
        if getattr(meta, bound) is not None
    ]
    words = meta.description or _WORDS[_kind(leaf)]
    return f"{words}, {' and '.join(said)}" if said else words


def _leaves(hint: Any) -> list[Any]:
    """Take unions and tuples apart: what one value may be."""
    if typing.get_origin(hint) not in (typing.Union, types.UnionType, tuple):
        return [hint]
    arms = [arm for arm in typing.get_args(hint) if arm not in (type(None), Ellipsis)]
    return [leaf for arm in arms for leaf in _leaves(arm)]


def _kind(leaf: Any) -> Any:
    origin = typing.get_origin(leaf)
    return typing.get_args(leaf)[0] if origin is Annotated else origin or leaf


_FORMS = {bool: "switch", tuple: "list", dict: "pairs"}
_WORDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    dict: "pairs such as name=value",
}
_AS_TEXT: dict[Any, Any] = {str | Path: str, str | Path | None: str | None}
"""What may be a URL stays text; msgspec knows no union of text and a path."""
_LONGEST_NAME = 255
"""Bytes of a file's name, on every file system there is."""
_LIMITS = {
    "ge": "{:,} or more",
    "gt": "more than {:,}",
    "le": "at most {:,}",
    "lt": "less than {:,}",
}
