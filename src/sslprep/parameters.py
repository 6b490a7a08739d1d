"""What the parameters of a command may be: one check for Python and the command line.

`command` reads a function's own annotations. `Literal` choices may be written in any case, a
whole number must be one, `Annotated[int, Meta(ge=1)]` gives a range, `str` stands for a `Path`,
and a bare value for a tuple of one.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import operator
import os
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, ParamSpec, TypeVar

import msgspec
from msgspec import Meta

from sslprep.errors import ArgumentError

P = ParamSpec("P")
R = TypeVar("R")

Positive = Annotated[int, Meta(ge=1)]
NotNegative = Annotated[int, Meta(ge=0)]
Fraction = Annotated[float, Meta(gt=0, lt=1)]


class Parameter(NamedTuple):
    """One parameter of a command, with its annotation, `Annotated` and all.

    A default of `inspect.Parameter.empty` means that it must be given, `positional` that its place
    alone may say what it is.
    """

    name: str
    hint: Any
    default: Any
    positional: bool

    @property
    def flag(self) -> str:
        """The name on the command line."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def required(self) -> bool:
        """Whether there is no default."""
        return self.default is inspect.Parameter.empty

    @property
    def form(self) -> str:
        """How it is written on the command line: switch, list, pairs or value."""
        kinds = [typing.get_origin(kind) or kind for kind in map(_bare, _arms(self.hint))]
        return next((form for kind, form in _FORMS.items() if kind in kinds), "value")


@functools.cache
def parameters_of(function: Callable[..., Any]) -> tuple[Parameter, ...]:
    """Read the parameters of a command from its signature."""
    parameters = inspect.signature(function, eval_str=True).parameters.values()
    return tuple(
        Parameter(p.name, p.annotation, p.default, p.kind is p.POSITIONAL_OR_KEYWORD)
        for p in parameters
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
    try:
        return _as(value, parameter.hint)
    except _REFUSALS:
        shown = repr(value) if isinstance(value, str) else str(value)
        raise ArgumentError(
            f"{parameter.flag} is {shown if len(shown) <= 80 else f'{shown[:77]}…'}",
            expected=wanted(parameter.hint),
            remedy=None if shown.strip("' ") else "Is a shell variable empty?",
        ) from None


def from_text(text: str, hint: Any) -> Any:
    """Read a word of the command line as the Python value that it looks like; `check` judges it.

    Example:
        >>> from_text("1.5", tuple[int, ...]), from_text("x", float), from_text("7", str)
        (1.5, 'x', '7')
    """
    arms = [_bare(arm) for arm in _arms(hint)]
    if type(None) in arms and text.lower() == "none":
        return None
    items = [item for arm in arms for item in typing.get_args(arm)]
    kinds = {*arms, *(_bare(arm) for item in items for arm in _arms(item))}
    for kind in (int, float) if kinds & {int, float} else ():
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def wanted(hint: Any) -> str:
    """Say in words what a value may be.

    Example:
        >>> wanted(tuple[Positive, ...]), wanted(Literal["npy", "csv"])
        ('a whole number, 1 or more', 'npy or csv')
    """
    arms = [arm for arm in _arms(hint) if arm is not type(None)]
    if len(arms) > 1:
        return " or ".join(map(wanted, arms))
    kind = _bare(arms[0])
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return " or ".join(filter(None, [", ".join(map(str, inner[:-1])), str(inner[-1])]))
    if origin is tuple:
        return wanted(inner[0]) if inner[-1] is Ellipsis else " and ".join(map(wanted, inner))
    words = _WORDS.get(origin or kind, f"a {getattr(kind, '__name__', kind)}")
    limits = [note for note in getattr(arms[0], "__metadata__", ()) if isinstance(note, Meta)]
    words = next((meta.description for meta in limits if meta.description), words)
    said = [
        form.format(getattr(meta, bound))
        for meta in limits
        for bound, form in _LIMITS.items()
        if getattr(meta, bound) is not None
    ]
    return f"{words}, {' and '.join(said)}" if said else words


_FORMS = {bool: "switch", tuple: "list", dict: "pairs"}
_REFUSALS = (ValueError, TypeError, RuntimeError, msgspec.ValidationError)
"""What `_as` raises; RuntimeError is a `~user` that is not there."""
_WORDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    dict: "pairs such as name=value",
}
_LONGEST_NAME = 255
"""Bytes of a file's name, on every file system there is."""
_LIMITS = {
    "ge": "{:,} or more",
    "gt": "more than {:,}",
    "le": "at most {:,}",
    "lt": "less than {:,}",
}


def _as(value: Any, hint: Any) -> Any:
    arms = _arms(hint)
    if len(arms) > 1:
        if value is None and type(None) in arms:
            return None
        for arm in arms:
            with contextlib.suppress(*_REFUSALS):
                if arm is not type(None):
                    return _as(value, arm)
        raise ValueError(value)
    kind = _bare(hint)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        alike = [c for c in inner if type(c) is type(value) and _plain(c) == _plain(value)]
        return alike[0] if alike else _refuse(value)
    if origin is tuple:
        return _items(value, inner)
    if origin is dict:
        return {_as(key, inner[0]): _as(item, inner[1]) for key, item in dict(value).items()}
    if isinstance(value, bool) is not (kind is bool) and kind in (bool, int, float):
        raise TypeError(value)
    if kind is int:
        return msgspec.convert(operator.index(value), hint)
    if kind is float and not isinstance(value, str):
        number = msgspec.convert(float(value), hint)
        return number if number - number == 0 else _refuse(value)  # neither infinite nor NaN
    if isinstance(value, str | Path) and (not str(value).strip() or "\0" in str(value)):
        _refuse(value)
    if kind is Path:
        path = Path(value).expanduser()
        long = any(len(os.fsencode(part)) > _LONGEST_NAME for part in path.parts)
        return _refuse(value) if long else path
    if isinstance(kind, type) and not isinstance(value, kind):
        raise TypeError(value)
    return msgspec.convert(value, hint) if kind is str else value


def _items(value: Any, inner: tuple[Any, ...]) -> tuple[Any, ...]:
    single = isinstance(value, str | bytes | os.PathLike | Mapping)
    items = [value] if single or not isinstance(value, Iterable) else list(value)
    kinds = [inner[0]] * len(items) if inner[-1] is Ellipsis else inner
    return tuple(map(_as, items, kinds)) if len(items) == len(kinds) > 0 else _refuse(value)


def _refuse(value: object) -> Any:
    raise ValueError(value)


def _plain(word: object) -> str:
    return str(word).strip().casefold().replace("-", "_")


def _arms(hint: Any) -> tuple[Any, ...]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return typing.get_args(hint)
    return (hint,)


def _bare(hint: Any) -> Any:
    return typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint
