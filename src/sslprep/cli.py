"""The command line: what is the same for all commands.

A command is a typed function, imported only when it is called. Its signature says what may be
given, and `parameters.command` judges the values, as it does for a call from Python.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import re
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

import sslprep
from sslprep import COMMANDS, console, interrupts
from sslprep.errors import ArgumentError, SslprepError
from sslprep.parameters import Parameter, from_text, parameters_of, wanted
from sslprep.results import encode_json, text_of

Function = Callable[..., Any]


GROUPS = {
    "data": "Data files of COCO2014, VOC2007/2012, ImageNet-1K and Places-205.",
    "lowshot": "Low-shot samples of any partition.",
    "jigsaw": "Jigsaw permutation sets.",
    "color": "Colorization: colour histogram, bins and priors.",
    "evaluate": "Features, linear SVMs, average precision and the low-shot curve.",
    "convert": "Checkpoints: Caffe2, Detectron, Detectron2, PyTorch, safetensors.",
}

_ANSWERS = {"data check", "inspect", "jigsaw stats", "lowshot identify", "lowshot verify", "report"}
_ANSWERS |= {"evaluate full", "evaluate lowshot", "evaluate scores", "verify"}
"""Commands whose text is what the user asked for: it goes to standard output."""
_TRUTH = dict.fromkeys(("true", "1", "yes", "on"), True)
_TRUTH |= dict.fromkeys(("false", "0", "no", "off"), False)
_COMMON = {"--json": "json", "--quiet": "quiet", "-q": "quiet", "--verbose": "verbose"}
_COMMON |= {"-v": "verbose", "--help": "help", "-h": "help", "--version": "version"}
_EPILOGUE = """For every command: -q --quiet (only errors), -v --verbose, --json (the result, or the
error, as JSON on standard output), -h --help. Lists are written 1,2,4 or 1 2 4; flags with hyphens
or underscores, in any case."""


def named_by(words: Sequence[str]) -> str | None:
    """Return the command that a line begins with."""
    return next((n for n in (" ".join(words[:2]), *words[:1]) if n in COMMANDS), None)


def load(command: str) -> Function:
    """Import the function of a command."""
    with interrupts.held():  # see `__main__`
        function: Function = getattr(sslprep, COMMANDS[command].rpartition(".")[2])
    return function


def first_line(command: str) -> str:
    """Read the first line of a command's docstring without an import: lists must be quick."""
    module, _, name = COMMANDS[command].rpartition(".")
    file = Path(sslprep.__file__).parent / f"{module.replace('.', '/')}.py"
    start = rf'^def {name}\(.*?\n    """(.*?)$'
    found = re.search(start, file.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return found[1].removesuffix('"""') if found else ""


def common_flags(tokens: Sequence[str]) -> tuple[set[str], list[str]]:
    """Take out the flags that every command has, wherever they stand.

    Example:
        >>> common_flags(["verify", "--quiet", "here", "--json=false"])
        ({'quiet'}, ['verify', 'here'])
    """
    options: dict[str, bool] = {}
    rest = []
    for token in tokens:
        flag, _, value = token.partition("=")
        if flag in _COMMON and (value or "true").lower() in _TRUTH:
            options[_COMMON[flag]] = _TRUTH[(value or "true").lower()]
        else:
            rest.append(token)
    return {name for name, on in options.items() if on}, rest


def help_text(prog: str, function: Function) -> str:
    """Lay out the help of a command from its signature and docstring, as wide as the terminal."""
    import shutil
    import textwrap

    width = shutil.get_terminal_size().columns - 2
    about, explained = _docstring(function)
    lines = [f"usage: {_usage(prog, function)} [options]"]
    for paragraph in [*about.split("\n\n"), "options:"]:
        lines += ["", textwrap.fill(paragraph, width)]
    for p in parameters_of(function):
        notes = [wanted(p.annotation)] if p.form != "switch" else []
        if not p.required and p.default not in (None, False):
            value = ",".join(map(str, p.default)) if p.form == "list" else p.default
            notes.append(f"default: {value}")
        text = explained.get(p.name, "") + (f" [{'; '.join(notes)}]" if notes else "")
        named = f"{p.flag} {_metavar(p)}{' …' * (p.form in ('list', 'pairs'))}"
        if p.form == "switch":
            named = f"{p.flag}, --no-{p.flag[2:]}"
        if len(named) > 20:
            lines.append(f"  {named}")
            named = ""
        start = f"  {named:<22}"
        lines.append(textwrap.fill(text, width, initial_indent=start, subsequent_indent=" " * 24))
    return "\n".join([*lines, "", textwrap.fill(_EPILOGUE, width)])


def _usage(prog: str, function: Function) -> str:
    needed = (p for p in parameters_of(function) if p.required)
    words = (p.name.upper() if p.positional else f"{p.flag} {_metavar(p)}" for p in needed)
    return " ".join([prog, *words])


def _docstring(function: Function) -> tuple[str, dict[str, str]]:
    """Return what a docstring says before its sections, and of each parameter."""
    text = inspect.getdoc(function) or ""
    about = re.split(r"\n(?:Args|Returns):\n", text)[0].strip()
    explained = re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)", text, re.MULTILINE)
    return about, {name: " ".join(words.split()) for name, words in explained}


def _metavar(parameter: Parameter) -> str:
    return parameter.name.upper().split("_")[-1]


def parse(prog: str, function: Function, tokens: Sequence[str]) -> dict[str, Any]:
    """Turn the words behind a command into the arguments of its function.

    Flags may be written in any case, with underscores, by former names, with `=`, before and behind
    what is given by its place; a switch may be followed by a truth word.

    Raises:
        ArgumentError: A blank word, an unknown flag, a missing value, or missing arguments.

    Example:
        >>> from sslprep.parameters import command
        >>> @command(renamed={"out_dir": "output"})
        ... def f(output: str, k: tuple[int, ...] = (), *, nested: bool = False): ...
        >>> parse("f", f, ["--nested", "False", "--k", "1,2", "4", "--Out_Dir=X"])
        {'output': 'X', 'k': (1, 2, 4), 'nested': False}
    """
    parameters = {p.name: p for p in parameters_of(function)}
    switches = [p for p in parameters.values() if p.form == "switch"]
    flags = {f"--no-{p.flag[2:]}": (p, False) for p in switches}
    flags |= {p.flag: (p, True) for p in parameters.values()}
    for old, new in getattr(function, "renamed", {}).items():
        flags[f"--{old.replace('_', '-')}"] = parameters[new], True
    given: dict[str, Any] = {}
    loose: list[str] = []
    words = deque(map(_not_blank, tokens))
    while words:
        word = words.popleft()
        if word == "--":  # what follows is given by its place, whatever it looks like
            loose += words
            break
        if not _is_flag(word):
            loose.append(word)
            continue
        flag, equals, value = word.partition("=")
        p, on = flags.get(flag.lower().replace("_", "-"), (None, True))
        if p is None:
            bare = flag.lower().strip("-").replace("_", "-")
            close = _close(bare, [flag.removeprefix("--") for flag in flags], 0.6)
            remedy = _meant([f"--{name}" for name in close]) or f"See {prog} --help."
            raise ArgumentError(f"unknown option {word}", remedy=remedy)
        if p.form == "switch":
            if not equals:
                value = words.popleft() if words and words[0].lower() in _TRUTH else "true"
            if value.lower() not in _TRUTH:
                raise ArgumentError(f"{p.flag} is {value!r}", expected="True or False")
            given[p.name] = _TRUTH[value.lower()] is on
            continue
        values = [value] if equals else []
        while words and not _is_flag(words[0]) and (p.form != "value" or not values):
            values.append(words.popleft())
        if not values:
            number = "one argument" if p.form == "value" else "an argument"
            raise ArgumentError(f"{p.flag}: expected {number}")
        given[p.name] = values[0] if p.form == "value" else [*given.get(p.name, []), *values]
    for p in parameters.values():
        if p.positional and p.name not in given and loose:
            given[p.name], loose = (loose, []) if p.form == "list" else (loose[0], loose[1:])
    if loose:
        raise ArgumentError(f"{loose[0]!r} is one argument too many", remedy=f"See {prog} --help.")
    if missing := [p.flag for p in parameters.values() if p.required and p.name not in given]:
        raise ArgumentError(
            f"missing {' and '.join(missing)}", remedy=f"For example: {_usage(prog, function)}."
        )
    return {name: _value(given[name], p) for name, p in parameters.items() if name in given}


def _is_flag(word: str) -> bool:
    return word.startswith("-") and not re.fullmatch(r"-(\d[\d.,e+-]*|\.\d.*)?", word)


def _not_blank(word: str) -> str:
    if not word:
        raise ArgumentError("an argument is empty", remedy="Is a shell variable empty?")
    if not word.strip():
        remedy = "A blank behind the backslash at a line's end ends the command there: "
        remedy += "remove it, and what follows is read too."
        raise ArgumentError("an argument is blank", remedy=remedy)
    return word


def _value(word: Any, parameter: Parameter) -> Any:
    if parameter.form == "value":
        return from_text(word, parameter.annotation)
    if parameter.form == "switch":
        return word
    parts = [
        part.strip()
        for text in word
        for part in ([text] if os.path.lexists(text) else text.strip("[]()").split(","))
        if part.strip()
    ]
    if parameter.form == "pairs":
        return dict(part.split("=", 1) if "=" in part else (part, "") for part in parts)
    return tuple(from_text(part, parameter.annotation) for part in parts)


def _close(word: str, known: Sequence[str], cutoff: float) -> list[str]:
    import difflib

    return difflib.get_close_matches(word.lower(), known, 1, cutoff)


def _meant(names: Sequence[str]) -> str | None:
    return f"Did you mean {' or '.join(names)}?" if names else None


def overview(group: str = "") -> str:
    """List the commands of a group, or all of them."""
    lines = [f"usage: sslprep {group or 'COMMAND'} …", ""]
    if not group:
        lines += ["The input and output side of a self-supervised-learning benchmark.", ""]
    for path in COMMANDS:
        first = path.partition(" ")[0]
        if group in ("", first):
            if first in GROUPS and GROUPS[first] not in lines:
                lines.append(GROUPS[first])
            lines.append(f"  {path:<20}{first_line(path)}")
    lines += ["", "  sslprep help COMMAND, version, completion bash|zsh|fish", "", _EPILOGUE]
    return "\n".join(lines)


def main(tokens: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 1 input at fault, 2 command line, 130 interrupted."""
    # NumPy's threads wait for work awake, 50 ms of CPU in every run; 2^20 ticks are enough.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "20")
    options, rest = common_flags(sys.argv[1:] if tokens is None else tokens)
    exit_with(lambda: _dispatch(rest, options), as_json="json" in options)


def _dispatch(rest: list[str], options: set[str]) -> int:
    if rest[:1] == ["help"]:
        rest, options = rest[1:], {*options, "help"}
    if "version" in options or rest[:1] == ["version"]:
        print(sslprep.__version__)
        return 0
    if rest[:1] == ["completion"]:
        print(importlib.import_module("sslprep.completion").completion(rest[1:]))
        return 0
    if name := named_by(rest):
        return run(f"sslprep {name}", name, rest[len(name.split()) :], options)
    if not rest or (rest[0] in GROUPS and not rest[1:]):
        print(overview(*rest))
        return 0
    grouped = rest[0] in GROUPS
    word = " ".join(rest[: 1 + grouped])
    meant = [name for name in COMMANDS if name.endswith(f" {word.lower()}")]
    meant = meant or _close(word, [*COMMANDS, *([] if grouped else GROUPS)], 0.7)
    raise ArgumentError(
        f"unknown {'option' if word.startswith('-') else 'command'} {word}",
        remedy=_meant(meant) or f"See sslprep {f'{rest[0]} ' * grouped}--help.",
    )


def run(
    prog: str,
    command: str,
    tokens: Sequence[str],
    options: set[str],
    defaults: Mapping[str, Any] = MappingProxyType({}),
) -> int:
    """Run one command, show its result, and return the exit code."""
    quiet, to_json = "quiet" in options, "json" in options
    console.configure(quiet=quiet, verbose="verbose" in options)
    function = load(command)
    if "help" in options:
        print(help_text(prog, function))
        return 0
    result = function(**{**defaults, **parse(prog, function, tokens)})
    if to_json:
        sys.stdout.buffer.write(encode_json(result) + b"\n")
    if not quiet:
        answers = command in _ANSWERS and not to_json
        print(text_of(result), file=sys.stdout if answers else sys.stderr, flush=True)
    return 0 if getattr(result, "ok", True) else 1


def exit_with(call: Callable[[], int], *, as_json: bool = False) -> NoReturn:
    """Exit with what `call` returns, or with one line and the code for its exception."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = call()
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has gone; there is nobody left to tell
        code = 0
    except (SslprepError, MemoryError, OSError, KeyboardInterrupt) as error:
        code, text = _told(error)
        with contextlib.suppress(OSError):
            print(f"sslprep: {text}", file=sys.stderr)
            if as_json:
                names = ("problem", "where", "expected", "remedy")
                parts = {name: getattr(error, name, None) for name in names}
                parts |= {"error": text.removeprefix("error: "), "kind": type(error).__name__}
                sys.stdout.buffer.write(encode_json({**parts, "exit_code": code}) + b"\n")
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # Python would try again at its end, and complain
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)


def _told(error: BaseException) -> tuple[int, str]:
    if isinstance(error, KeyboardInterrupt):
        return 130, f"interrupted; {str(error) or 'nothing was left half-written'}"
    text = str(error)
    if isinstance(error, MemoryError):
        text = f"not enough memory{f' ({text})' if text else ''}; nothing was left half-written"
    elif isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        text = f"{place}{error.strerror or text}"
    return 2 if isinstance(error, ArgumentError) else 1, f"error: {text}"
