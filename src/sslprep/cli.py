"""The command line: a table of commands, and what is the same for all of them.

A command is a typed function, imported only when it is called. Parsing, help and "did you mean"
are cyclopts'; `arrange` first brings the ways in which people write flags to one form.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

from sslprep import __version__, console
from sslprep.errors import SslprepError

Function = Callable[..., Any]


@dataclass(frozen=True)
class Command:
    """Where a command lives, its one-line help, and the parameter that may come without a flag."""

    target: str
    help: str
    positional: str | None = None

    def load(self) -> Function:
        """Import the function."""
        module, name = self.target.split(":")
        function: Function = getattr(importlib.import_module(module), name)
        return function


GROUPS = {
    "data": "Data files of COCO2014, VOC2007/2012, ImageNet-1K and Places-205.",
    "lowshot": "Low-shot samples of any partition.",
    "jigsaw": "Jigsaw permutation sets.",
    "color": "Colorization: colour histogram, bins and priors.",
    "evaluate": "Features, linear SVMs, average precision and the low-shot curve.",
    "convert": "Checkpoints: Caffe2, Detectron, Detectron2, PyTorch, safetensors.",
}

COMMANDS: Mapping[str, Command] = {
    "data coco": Command(
        "sslprep.data.coco:write_coco",
        "Write image and label files of COCO2014 from its instance annotations.",
    ),
    "data voc": Command(
        "sslprep.data.voc:write_voc",
        "Write image and label files of VOC2007 or VOC2012 from its class lists.",
    ),
    "data folders": Command(
        "sslprep.data.folders:write_folders",
        "Write image and label files of ImageNet, Places or any other set of class folders.",
    ),
    "data check": Command(
        "sslprep.data.check:check",
        "Read every image of finished partitions and report those that are missing or damaged.",
        positional="folder",
    ),
    "data relocate": Command(
        "sslprep.data.relocate:relocate",
        "Rewrite the path prefix of finished partitions, without touching the data set.",
        positional="folder",
    ),
    "lowshot voc": Command(
        "sslprep.lowshot.multilabel:draw_multilabel_samples",
        "Draw low-shot samples of a multi-label set such as VOC2007.",
    ),
    "lowshot places": Command(
        "sslprep.lowshot.singlelabel:draw_singlelabel_samples",
        "Draw low-shot samples of a single-label set such as Places-205.",
    ),
    "lowshot verify": Command(
        "sslprep.lowshot.verify:verify_samples",
        "Prove that low-shot samples are what their names say.",
        positional="folder",
    ),
    "jigsaw generate": Command(
        "sslprep.jigsaw.generate:generate",
        "Generate a set of Jigsaw permutations that are far apart.",
    ),
    "jigsaw stats": Command(
        "sslprep.jigsaw.stats:stats",
        "Show distances, bounds and duplicates of any permutation file.",
        positional="file",
    ),
    "color generate": Command(
        "sslprep.color.generate:generate",
        "Count the colours of all images and make bins and priors of every size, in one run.",
    ),
    "color histogram": Command(
        "sslprep.color.histogram:histogram",
        "Count the colours of all images into one table, from which bins of every size follow.",
    ),
    "color bins": Command(
        "sslprep.color.bins:bins",
        "Make colour bins and their priors from finished histograms, for any number of sizes.",
    ),
    "color plot": Command(
        "sslprep.color.plot:plot",
        "Draw colour bins as they look at L = 50, and the logarithm of their priors beside them.",
    ),
    "convert jigsaw": Command(
        "sslprep.checkpoints.jigsaw:convert_jigsaw",
        "Take one tower of a Jigsaw model and give its blobs the names of an ordinary model.",
    ),
    "convert detectron": Command(
        "sslprep.checkpoints.detectron:convert_detectron",
        "Convert a Caffe2 model to a pickle that Detectron or Detectron2 takes.",
    ),
    "convert pytorch": Command(
        "sslprep.checkpoints.pytorch:convert_pytorch",
        "Convert a Caffe2 model to a PyTorch state dict or a safetensors file.",
    ),
    "convert caffe2": Command(
        "sslprep.checkpoints.caffe2:convert_caffe2",
        "Convert a PyTorch state dict or a safetensors file back to a Caffe2 pickle.",
    ),
    "evaluate scores": Command(
        "sslprep.evaluate.scores:scores",
        "Measure average precision of predictions, by each definition in use.",
    ),
    "inspect": Command(
        "sslprep.checkpoints.inspect:inspect",
        "Show what is in a checkpoint, a `.npy` file or a manifest, without running any of it.",
        positional="file",
    ),
    "verify": Command(
        "sslprep.manifest:verify",
        "Compare every file under a folder with the manifest that describes it.",
        positional="folder",
    ),
    "report": Command(
        "sslprep.report.page:report",
        "Write one HTML page that shows everything made under a folder.",
        positional="folder",
    ),
    "demo": Command(
        "sslprep.demo.walk:demo",
        "Walk through every command of the user's document on small data sets.",
        positional="folder",
    ),
}

_TRUE, _FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}
_COMMON = """Every command also takes --json (print the result record on standard output),
--quiet and --verbose. Flags may be written with hyphens or underscores, lists as 1,2,4 or 1 2 4."""


def arrange(tokens: Sequence[str], function: Function, positional: str | None = None) -> list[str]:
    """Bring a command's tokens to the one form that the parser takes.

    Flags become lower case with hyphens; a switch followed by a word (`True`, `0`…) takes that
    word; lists are split at commas and lose their brackets; a leading value gets the flag of the
    positional parameter.

    Example:
        >>> def f(*, k_values: tuple[int, ...], nested: bool = False, folder: str = ""): ...
        >>> arrange(["here", "--K_values=1,2", "--nested", "False"], f, "folder")
        ['--folder', 'here', '--k-values', '1', '2', '--nested=False']
    """
    kinds = {f"--{name.replace('_', '-')}": kind for name, kind in _kinds(function)}
    result: list[str] = []
    values = [*tokens]
    if positional and values and not values[0].startswith("-"):
        values.insert(0, f"--{positional}")
    while values:
        token = values.pop(0)
        if not token.startswith("--") or len(token) == 2:
            result.append(token)
            continue
        name, equals, value = token.partition("=")
        name = name.lower().replace("_", "-")
        if name == "--json" and "--generate-json" in kinds:
            result.append("--generate-json=true")
            continue
        kind = kinds.get(name)
        if kind == "bool":
            if not equals and values and values[0].lower() in _TRUE | _FALSE:
                equals, value = "=", values.pop(0)
            result.append(f"{name}{equals}{value}")
        elif kind == "list":
            given = [value] if equals else []
            while values and not _is_flag(values[0]):
                given.append(values.pop(0))
            parts = [part for text in given for part in text.strip("[]()").split(",")]
            result += [name, *(part.strip() for part in parts if part.strip())]
        elif equals:
            result.append(f"{name}={value}")
        else:
            # A value may begin with hyphens: it belongs to the flag before it, as given.
            result.append(name)
            if kind == "value" and values and not values[0].startswith("-"):
                result.append(values.pop(0))
    return result


def _is_flag(token: str) -> bool:
    return token.startswith("-") and not token[1:2].isdigit()


def _kinds(function: Function) -> Iterator[tuple[str, Literal["bool", "list", "value"]]]:
    """Yield each parameter of a function and how it is written on the command line."""
    hints = typing.get_type_hints(function)
    for name in inspect.signature(function).parameters:
        arms = _arms(hints.get(name, str))
        if bool in arms:
            yield name, "bool"
        elif any(typing.get_origin(a) is tuple and Path not in typing.get_args(a) for a in arms):
            yield name, "list"
        else:
            yield name, "value"


def _arms(hint: Any) -> tuple[Any, ...]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return typing.get_args(hint)
    return (hint,)


def build_app(*, flowing: bool = False) -> Any:
    """Build the parser; no command's module is imported.

    Args:
        flowing: For the help of one command, whose lines are those of a docstring.
    """
    from cyclopts import App

    app = _app(
        "sslprep",
        "The input side of a self-supervised-learning benchmark.",
        flowing=flowing,
    )
    groups = {name: _app(name, text, flowing=flowing) for name, text in GROUPS.items()}
    for group in groups.values():
        app.command(group)
    for path, command in COMMANDS.items():
        first, _, second = path.partition(" ")
        parent: App = groups[first] if second else app
        parent.command(command.target, name=second or first, help=command.help)
    return app


def build_script_app(name: str, modern: str, command: Command) -> Any:
    """Build the parser of one old script."""
    app = _app(name, f"{command.help}\n\nToday's command is `sslprep {modern}`.", flowing=True)
    app.default(command.load())
    return app


def _app(name: str, text: str, *, flowing: bool = False) -> Any:
    from cyclopts import App, Parameter

    return App(
        name=name,
        help=text,
        help_epilogue=_COMMON,
        # Markdown flows a docstring's lines together; it costs 0.1 s of imports, which the
        # lists of commands need not pay.
        help_format="markdown" if flowing else "plaintext",
        version=__version__,
        result_action="return_value",
        suppress_keyboard_interrupt=False,
        default_parameter=Parameter(consume_multiple=True, negative_iterable=()),
    )


def main(tokens: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 1 input at fault, 2 command line, 130 interrupted."""
    given = list(sys.argv[1:] if tokens is None else tokens)
    for length in (1, 2):
        command = COMMANDS.get(" ".join(given[:length]))
        if command is not None:
            run_command(lambda: build_app(flowing=True), given[:length], given[length:], command)
    _exit_with(lambda: _parse_and_run(build_app(), given))


def run_command(
    build: Callable[[], Any], prefix: Sequence[str], tokens: Sequence[str], command: Command
) -> NoReturn:
    """Run one command of the parser that `build` makes, show its result, and exit."""
    options = {flag: flag in tokens for flag in ("--json", "--quiet", "--verbose")}
    console.configure(quiet=options["--quiet"], verbose=options["--verbose"])

    def call() -> int:
        rest = arrange(tokens, command.load(), command.positional)
        result = _parse_and_run(build(), [*prefix, *(t for t in rest if t not in options)])
        if result is None:  # --help
            return 0
        if not options["--quiet"]:
            console.show(result, verbose=options["--verbose"])
        if options["--json"]:
            import msgspec

            text = msgspec.json.format(msgspec.json.encode(result, enc_hook=str), indent=2)
            print(text.decode(), flush=True)
        return 0 if getattr(result, "ok", True) else 1

    _exit_with(call)


def _parse_and_run(app: Any, tokens: Sequence[str]) -> Any:
    return app(tokens, exit_on_error=False, print_error=False)


def _exit_with(call: Callable[[], int | None]) -> NoReturn:
    """Exit with what `call` returns, or with one line and the code for its exception."""
    try:
        sys.exit(_checked(call) or 0)
    except SslprepError as error:
        _stop(f"error: {error}", 1)
    except MemoryError as error:
        reason = f" ({error})" if str(error) else ""
        _stop(f"error: not enough memory{reason}; nothing was left half-written", 1)
    except BrokenExecutor:
        _stop(
            "error: a worker process was killed; nothing was left half-written. "
            "If memory ran out, use fewer --jobs.",
            1,
        )
    except KeyboardInterrupt:
        _stop("interrupted; nothing was left half-written", 130)
    except BrokenPipeError:
        # Whoever read our output has gone; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _stop(f"error: {place}{error.strerror or error}", 1)


def _checked(call: Callable[[], int | None]) -> int | None:
    """Call, and exit with code 2 where the command line is at fault."""
    from cyclopts import CycloptsError

    try:
        return call()
    except CycloptsError as error:
        _stop(f"error: {' '.join(str(error).split())}", 2)


def _stop(message: str, code: int) -> NoReturn:
    print(f"sslprep: {message}", file=sys.stderr)
    sys.exit(code)
