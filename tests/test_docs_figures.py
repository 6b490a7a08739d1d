"""Figures in README and docs that a cheap command gives: they are counted anew."""

import re
from pathlib import Path

from benchmarks import dependencies

from sslprep.cli import COMMANDS
from sslprep.demo import walk
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
