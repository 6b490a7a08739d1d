"""Results, progress and messages."""

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sslprep import console
from sslprep.results import encode_json, result, table, text_of


@result
class Plain:
    files: int
    names: tuple[str, ...] = ()
    counts: dict[str, int] | None = None
    share: float = 0.5


def test_fields_are_laid_out_where_a_record_says_nothing_itself() -> None:
    assert text_of(Plain(files=12345)) == "files: 12,345\nshare: 0.5"
    one = Plain(files=1, names=("a",), counts={"cat": 1000, "dog": 2})
    assert text_of(one) == "files: 1\nnames: a\ncounts: cat 1,000, dog 2\nshare: 0.5"
    many = text_of(Plain(files=1, names=tuple(f"n{i}" for i in range(23))))
    assert many.splitlines()[1:3] == ["names: ", "  n0"]
    assert many.splitlines()[21:23] == ["  n19", "  … and 3 more"]
    twenty = text_of(Plain(files=1, names=tuple(f"n{i}" for i in range(20))))
    assert "more" not in twenty


def test_a_record_speaks_for_itself(spoken: Any) -> None:
    assert text_of(spoken) == "3 rows"
    assert repr(spoken) == "<Spoken\n3 rows>"


def test_a_record_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Plain(files=3).files = 4  # type: ignore[misc]
    with pytest.raises(TypeError):
        Plain(3)  # type: ignore[call-arg, misc]


def test_a_table_without_rows_and_with_odd_characters() -> None:
    assert table(["a", "b"], []) == "a  b\n-  -"
    assert table(["name"], [["a\nb"], [True]]) == "name\n----\na�b\nTrue"


def test_json_of_a_name_that_is_not_text() -> None:
    assert encode_json({"a": [Path("b\udcff")]}) == b'{\n  "a": [\n    "b\\\\udcff"\n  ]\n}'


def test_long_work_says_so_every_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [500.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    console.configure()
    with console.progress(10_000, "images", done=1000) as advance:
        for _ in range(30):
            now[0] += 6
            advance(100)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "sslprep: 2,000 of 10,000 images, 17/s, 8 min left",
        "sslprep: 3,000 of 10,000 images, 17/s, 7 min left",
        "sslprep: 4,000 of 10,000 images, 17/s, 6 min left",
    ]
    with console.progress(10, "images") as advance:
        now[0] += 60
        advance(0)  # all that came was a shard without images
    assert capsys.readouterr().err == "sslprep: 0 of 10 images, 0/s\n"
    with console.progress(None, "files") as advance:
        now[0] += 60
        advance(120)
    assert capsys.readouterr().err == "sslprep: 120 files, 2/s\n"


def test_a_script_that_calls_the_functions_sees_nothing_of_it() -> None:
    code = "from sslprep import console; console.say('story')\n"
    code += "with console.progress(None, 'images') as advance: advance(1)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_quiet_work_says_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    console.configure(quiet=True)
    with console.progress(None, "images") as advance:
        now[0] += 1000
        advance(1)
    console.say("story")
    logging.getLogger("sslprep.x").warning("careful")
    logging.getLogger("sslprep.x").error("wrong")
    assert capsys.readouterr().err == "sslprep: error: wrong\n"


def test_a_terminal_gets_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    console.configure()
    with console.progress(10, "images", done=5) as advance:
        advance(5)
    assert "10.0/10.0" in capsys.readouterr().err
