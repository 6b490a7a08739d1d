"""Figures in README and docs that a cheap command gives: they are counted anew."""

import re
import shlex
from pathlib import Path

import pytest
from benchmarks import dependencies

from sslprep.cli import COMMANDS, GROUPS, load, main, named_by, parse
from sslprep.demo import build, walk
from sslprep.legacy import SCRIPTS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}
NUMBERS |= {"nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13}


def numbers_before(words: str) -> list[tuple[str, int]]:
    """Return every number that stands before some words, with its page."""
    found = []
    for page in PAGES:
        for match in re.finditer(rf"([\d,]+|[A-Za-z]+) {words}", page.read_text("utf-8")):
            word = match[1].lower().replace(",", "")
            if word.isdigit() or word in NUMBERS:
                number = int(word) if word.isdigit() else NUMBERS[word]
                found.append((page.name, number))
    return found


def test_scripts_of_2019() -> None:
    assert {path.stem for path in (ROOT / "extra_scripts").iterdir()} == set(SCRIPTS)
    assert numbers_before("scripts stand")
    assert {number for _, number in numbers_before("scripts stand")} == {len(SCRIPTS)}


def test_every_dependency_is_in_the_audit() -> None:
    text = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    table, _, rest = text.partition("## What replaces each")
    assert set(re.findall(r"^\| ([\w-]+) \|", table, re.M)) - {"package"} == set(
        dependencies.direct()
    )
    for name in dependencies.direct():
        assert re.search(rf"\b{re.escape(name)}\b", rest), name


def test_every_command_is_in_the_docs() -> None:
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    missing = [name for name in COMMANDS if not re.search(rf"(sslprep|`){{1}} ?{name}\b", text)]
    assert missing == []


def test_commands_of_the_demo() -> None:
    count = len(walk.DOCUMENT) + len(walk.TODAY)
    assert all(number == count for _, number in numbers_before("commands on five"))


def test_every_fault_is_in_the_table_of_reliability() -> None:
    from tests.faults.commands import JOBS
    from tests.faults.faults import FAULTS

    text = (ROOT / "docs" / "reliability.md").read_text("utf-8")
    header = next(line for line in text.splitlines() if line.startswith("| command | kill"))
    assert header.strip("| ").split(" | ")[1:] == [fault.title for fault in FAULTS.values()]
    rows = re.findall(r"^\| `(.+?)` \| (.+)$", text.partition(header)[2], re.M)
    assert [name for name, _ in rows] == [job.name for job in JOBS]
    assert not [name for name, cells in rows if "wrong" in cells]


def test_the_evaluation_page_reads_what_its_first_line_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asked for train and val apart, and then read a trainval that nothing had written."""
    text = (ROOT / "docs" / "evaluate.md").read_text("utf-8")
    block = re.search(r"```shell\n(sslprep data voc .*?)```", text, re.DOTALL)
    assert block
    monkeypatch.chdir(tmp_path)
    splits = {"train": 20, "val": 20, "test": 20}
    folder = tmp_path / "VOCdevkit" / "VOC2007"
    build.build_voc(folder, build.load_photos(), splits=splits, seed=0, crlf=True)
    program, *arguments = shlex.split(block[1].splitlines()[0])
    assert program == "sslprep"
    with pytest.raises(SystemExit, match="0"):
        main(arguments)
    read = set(re.findall(r"voc/\w+\.npy", block[1]))
    assert read >= {"voc/trainval_images.npy", "voc/test_labels.npy"}
    assert [name for name in sorted(read) if not (tmp_path / name).exists()] == []


def test_every_command_line_of_the_docs_is_understood() -> None:
    lines = []
    for page in PAGES:
        text = re.sub(r"\\\n\s*", "", page.read_text("utf-8"))
        lines += [(page.name, line) for line in re.findall(r"^(?:\$ )?(sslprep .*)$", text, re.M)]
        lines += [(page.name, line) for line in re.findall(r"`(sslprep [^`]+)`", text)]
    count = 0
    for page, line in lines:
        words = shlex.split(line.partition("#")[0])[1:]
        if "…" in line or words[0] in ("help", "version", "completion"):
            continue
        command = named_by(words)
        assert command or (words[0] in GROUPS and len(words) == 1), (page, line)
        rest = words[len(command.split()) :] if command else []
        if command and rest:  # a name alone is no line to type
            parse(f"sslprep {command}", load(command), rest)  # else an error that names the flag
            count += 1
    assert count > 60
