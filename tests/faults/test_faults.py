"""The fault campaign in a short form, and proof that it would notice a careless writer.

The long form is `python -m tests.faults.campaign`.
"""

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faults import process
from tests.faults.case import Case
from tests.faults.commands import JOBS, stand_in
from tests.faults.faults import FAULTS, Fault
from tests.faults.state import judge, visible

TRIES = {"kill-step": 4, "kill-replace": 2, "ctrl-c-step": 2, "folder": 2, "lock": 2, "close": 3}
OF_WORKERS = {"worker", "hung", "poison", "store"}
COMMANDS = ("data folders", "color histogram", "convert jigsaw")


@functools.cache
def may_mount() -> bool:
    return process.may_mount()


def attempt(fault: Fault, case: Case, tries: int) -> list[str]:
    if fault.mounts and not may_mount():
        pytest.skip("no right to mount a small disk")
    return fault.try_it(case, tries).problems


@pytest.fixture(scope="module")
def careful(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(stand_in("careful"), tmp_path_factory.mktemp("careful"))


@pytest.fixture(scope="module")
def careless(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(stand_in("careless"), tmp_path_factory.mktemp("careless"))


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Case]:
    """Make a command's inputs, and run it undisturbed, once."""

    @functools.cache
    def of(name: str) -> Case:
        job = next(job for job in JOBS if job.name == name)
        return Case(job, tmp_path_factory.mktemp("command"))

    return of


@pytest.fixture(params=COMMANDS)
def command(request: pytest.FixtureRequest, cases: Callable[[str], Case]) -> Case:
    return cases(request.param)


@pytest.mark.parametrize("name", [name for name in FAULTS if name not in OF_WORKERS])
def test_an_output_set_stands_every_fault(careful: Case, name: str) -> None:
    assert attempt(FAULTS[name], careful, TRIES.get(name, 1)) == []


@pytest.mark.parametrize("name", ["kill-step", "full", "manifest", "close"])
def test_the_campaign_notices_a_careless_writer(careless: Case, name: str) -> None:
    assert attempt(FAULTS[name], careless, 3)


def test_commands_stand_a_kill(command: Case) -> None:
    assert attempt(FAULTS["kill-step"], command, 2) == []


def test_commands_stand_a_full_disk(command: Case) -> None:
    assert attempt(FAULTS["full"], command, 1) == []


def test_commands_stand_ctrl_c(command: Case) -> None:
    assert attempt(FAULTS["ctrl-c"], command, 1) == []


@pytest.mark.parametrize(
    ("name", "fault"), [("color histogram", "poison"), ("color histogram slow://…", "store")]
)
def test_a_pass_over_images_goes_on_where_it_can(
    cases: Callable[[str], Case], name: str, fault: str
) -> None:
    assert attempt(FAULTS[fault], cases(name), 1) == []


def test_every_writing_command_is_in_the_campaign() -> None:
    from sslprep.cli import COMMANDS as all_commands

    reading = {"verify", "inspect", "lowshot verify", "lowshot identify", "evaluate scores"}
    assert {job.command for job in JOBS} == set(all_commands) - reading - {"demo"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a").write_text("half")
    (tmp_path / ".x.part").write_text("half")
    return tmp_path


def test_a_half_file_under_a_final_name_is_a_problem(folder: Path) -> None:
    whole = {**visible(folder), "a": "0" * 64}
    state, problems = judge(folder, {}, whole)
    assert state == "window"
    assert "neither the old nor the new" in problems[0]
    (folder / ".m.commit").write_text('["a"]')
    assert judge(folder, {}, {**visible(folder), "b": "0" * 64}) == ("window", [])
