"""One check of arguments, from Python and the command line."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest
from msgspec import Meta

from sslprep import parameters
from sslprep.errors import ArgumentError
from sslprep.parameters import Fraction, NotNegative, Positive, command


@command(renamed={"output_dir": "output"})
def make(
    source: Path,
    output: Path = Path("out"),
    *,
    k: tuple[Positive, ...] = (1,),
    n: Positive | None = None,
    seed: NotNegative = 0,
    share: Fraction = 0.5,
    cost: Annotated[float, Meta(gt=0)] = 1.0,
    method: Literal["code", "max_avg"] = "code",
    size: int | Literal["all"] = "all",
    formats: tuple[Literal["npy", "csv"], ...] = ("npy",),
    name: str | None = None,
    overwrite: bool = False,
    files: dict[str, Path] | None = None,
) -> dict[str, object]:
    """Return what came through the check."""
    return {key: value for key, value in locals().items() if not key.startswith("_")}


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ({"output": "x"}, {"output": Path("x")}),
        ({"output_dir": "~/x"}, {"output": Path.home() / "x"}),
        ({"output": "é" * 127 + "x/y"}, {"output": Path("é" * 127 + "x/y")}),
        ({"k": 4}, {"k": (4,)}),
        ({"k": [1, 2]}, {"k": (1, 2)}),
        ({"k": np.array([1, 2])}, {"k": (1, 2)}),
        ({"k": range(1, 3)}, {"k": (1, 2)}),
        ({"n": np.int64(3)}, {"n": 3}),
        ({"share": np.float32(0.25)}, {"share": 0.25}),
        ({"cost": 2}, {"cost": 2.0}),
        ({"method": "MAX-AVG"}, {"method": "max_avg"}),
        ({"size": 7}, {"size": 7}),
        ({"size": "ALL"}, {"size": "all"}),
        ({"formats": "CSV"}, {"formats": ("csv",)}),
        ({"files": {"train": "a"}}, {"files": {"train": Path("a")}}),
    ],
)
def test_what_is_meant_comes_through(given: dict, seen: dict) -> None:
    result = make("src", **given)
    assert result["source"] == Path("src")
    for name, value in seen.items():
        assert result[name] == value
        assert type(result[name]) is type(value)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"k": 1.5}, "--k is 1.5; expected a whole number, 1 or more"),
        ({"k": (1, 2.5)}, "--k is (1, 2.5); expected a whole number, 1 or more"),
        ({"k": ()}, "--k is (); expected a whole number, 1 or more"),
        ({"k": b"4"}, "--k is b'4'; expected a whole number, 1 or more"),
        ({"k": "4"}, "--k is '4'; expected a whole number, 1 or more"),
        ({"n": 0}, "--n is 0; expected a whole number, 1 or more"),
        ({"n": True}, "--n is True; expected a whole number, 1 or more"),
        ({"n": 2.0}, "--n is 2.0; expected a whole number, 1 or more"),
        ({"seed": -1}, "--seed is -1; expected a whole number, 0 or more"),
        ({"seed": None}, "--seed is None; expected a whole number, 0 or more"),
        ({"share": 1}, "--share is 1; expected a number, more than 0 and less than 1"),
        ({"cost": float("nan")}, "--cost is nan; expected a number, more than 0"),
        ({"cost": float("inf")}, "--cost is inf; expected a number, more than 0"),
        ({"cost": "1"}, "--cost is '1'; expected a number, more than 0"),
        ({"method": "foo"}, "--method is 'foo'; expected code or max_avg"),
        ({"size": "some"}, "--size is 'some'; expected a whole number or all"),
        ({"formats": ("npy", "xml")}, "--formats is ('npy', 'xml'); expected npy or csv"),
        ({"name": " "}, "--name is ' '; expected text. Is a shell variable empty?"),
        ({"name": 3}, "--name is 3; expected text"),
        ({"overwrite": 1}, "--overwrite is 1; expected True or False"),
        ({"overwrite": "yes"}, "--overwrite is 'yes'; expected True or False"),
        ({"output": ""}, "--output is ''; expected a path. Is a shell variable empty?"),
        ({"output": "a\0b"}, r"--output is 'a\x00b'; expected a path"),
        ({"output": 3}, "--output is 3; expected a path"),
        ({"output": "é" * 128}, f"--output is '{'é' * 76}…; expected a path"),
        ({"output": "~nobody-at-all/x"}, "--output is '~nobody-at-all/x'; expected a path"),
        ({"files": 3}, "--files is 3; expected pairs such as name=value"),
        ({"output": "a", "output_dir": "b"}, "output_dir and output are both given; they are one"),
    ],
)
def test_what_cannot_be_meant_is_refused(given: dict, text: str) -> None:
    with pytest.raises(ArgumentError) as refused:
        make("src", **given)
    assert str(refused.value) == text


@pytest.mark.parametrize(
    ("value", "shown"),
    [("x" * 1000, f"'{'x' * 76}…"), ("x" * 79, f"'{'x' * 76}…"), ("x" * 78, f"'{'x' * 78}'")],
)
def test_a_value_of_more_than_80_characters_is_shortened_to_78(value: str, shown: str) -> None:
    with pytest.raises(ArgumentError) as refused:
        make("src", method=value)
    assert str(refused.value) == f"--method is {shown}; expected code or max_avg"


def test_text_may_have_a_pattern() -> None:
    @command()
    def name(word: Annotated[str, Meta(pattern=r"\A[a-z]+\Z")], *, path: Path = Path("a")) -> str:
        return word

    assert name("abc") == "abc"
    with pytest.raises(ArgumentError, match="--word is 'a/b'; expected text"):
        name("a/b")


def test_python_and_the_command_line_use_the_same_words(tmp_path: Path) -> None:
    from sslprep import generate_permutations

    with pytest.raises(ArgumentError) as refused:
        generate_permutations(n=99.5, output_dir=tmp_path)  # type: ignore[arg-type]
    words = ["jigsaw", "generate", "--n", "99.5", "--output-dir", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "sslprep", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == f"sslprep: error: {refused.value}\n"
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_name_is_pythons_own_error() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'sauce'"):
        make("src", sauce=1)


def test_every_command_is_checked() -> None:
    from sslprep.cli import COMMANDS, load

    for path in COMMANDS:
        function = load(path)
        assert hasattr(function, "renamed"), path
        for parameter in parameters.parameters_of(function):
            assert parameters.wanted(parameter.annotation), (path, parameter)
