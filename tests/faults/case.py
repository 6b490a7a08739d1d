"""One command with its inputs, its undisturbed results, and what is expected after a fault."""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.process import Ended, Event, Running, Trap
from tests.faults.state import Content, State, hidden, judge, visible

NOTES = "notes.txt"
"""A file of the user's own, which no run may touch."""


@dataclass(frozen=True)
class Job:
    """A command and how to build its inputs.

    Attributes:
        name: As typed, such as `data coco`, with the flag that makes it a case of its own.
        build: Builds the inputs in a folder; the seed makes their content.
        arguments: The command's arguments for an input folder and an output folder.
        victim: An input file (below the input folder) that changes during a run; `None` where
            the command has no input file.
        program: What Python runs.
        resumes: Parts of the names of working files that an interrupted run may leave on
            purpose, to go on from.
        parallel: Whether it has workers, one of which can be killed or hang; its images then
            have one named `poison.jpg`.
        again: What replaces older outputs: a flag; blank where the command always does; `None`
            where it never does.
        store: Whether it reads from the store of `traps/slow_store.py`.
        share: By which the number of tries is multiplied, for commands that take long.
    """

    name: str
    build: Callable[[Path, int], None]
    arguments: Callable[[Path, Path], Sequence[object]]
    victim: str | None = None
    program: tuple[str, ...] = ("-m", "sslprep")
    resumes: tuple[str, ...] = ()
    parallel: bool = False
    again: str | None = "--overwrite"
    store: bool = False
    share: float = 1.0

    @property
    def command(self) -> str:
        """The command's name alone."""
        return " ".join(self.name.split()[:2])

    def argv(self, inputs: Path, out: Path, *, overwrite: bool = False) -> list[str]:
        """Return what Python gets."""
        flags = [self.again] if overwrite and self.again else []
        return [
            *self.program,
            *self.command.split(),
            *map(str, self.arguments(inputs, out)),
            *flags,
        ]


@dataclass
class Outcome:
    """What a fault did: how often tried, what was wrong, and in which states it left folders."""

    tries: int = 0
    problems: list[str] = field(default_factory=list)
    states: dict[str, int] = field(default_factory=dict)

    def note(self, state: str) -> None:
        """Count a state."""
        self.states[state] = self.states.get(state, 0) + 1


class Case:
    """A job made ready: inputs in two versions, and what undisturbed runs make of them."""

    def __init__(self, job: Job, folder: Path, *, seed: int = 0) -> None:
        self.job = job
        self.folder = folder
        self.random = random.Random(f"{seed} {job.name}")
        self.a, self.b = folder / "a", folder / "b"
        self.store = folder / "store"
        self._numbers = itertools.count()
        self.store.mkdir(parents=True)
        for number, inputs in enumerate((self.a, self.b)):
            inputs.mkdir()
            job.build(inputs, number)
        first, self.after_a = self.undisturbed(self.a)
        self.events: tuple[Event, ...] = first.events
        second, again = self.undisturbed(self.a)
        self.seconds = min(first.seconds, second.seconds)
        if again != self.after_a:
            raise RuntimeError(f"{job.name}: two undisturbed runs differ")
        self.after_b = self.undisturbed(self.b)[1]

    def undisturbed(self, inputs: Path) -> tuple[Ended, Content]:
        """Run to the end in a new folder; return the run and what it wrote."""
        out = self.new_folder()
        ended = self.run(out, inputs=inputs, trap=Trap(watch=out))
        if ended.code != 0:
            raise RuntimeError(f"{self.job.name}: an undisturbed run fails: {ended.stderr}")
        if left := hidden(out):
            raise RuntimeError(f"{self.job.name}: an undisturbed run leaves {left}")
        content = visible(out)
        self.sizes = [(out / name).stat().st_size for name in content]
        shutil.rmtree(out)
        return ended, content

    @property
    def bytes(self) -> int:
        """Size of all outputs together."""
        return sum(self.sizes)

    def new_folder(self) -> Path:
        """Name a folder for outputs that does not exist yet."""
        return self.folder / f"out{next(self._numbers)}"

    def old_folder(self) -> Path:
        """Make a folder that holds a file of the user's."""
        out = self.new_folder()
        out.mkdir()
        (out / NOTES).write_text("mine")
        return out

    def filled_folder(self) -> Path:
        """Make a folder that holds the results of the other inputs."""
        out = self.old_folder()
        self.run(out, inputs=self.b)
        return out

    def start(
        self, out: Path, *, inputs: Path | None = None, overwrite: bool = False, **how: object
    ) -> Running:
        """Start the command."""
        argv = self.job.argv(inputs or self.a, out, overwrite=overwrite)
        if self.job.store:
            more: dict[str, str] = how.get("environment", {})  # type: ignore[assignment]
            how["environment"] = {**more, "SSLPREP_STORE": str(self.store)}
        return Running(argv, **how)  # type: ignore[arg-type]

    def run(self, out: Path, **how: object) -> Ended:
        """Run the command to its end."""
        return self.start(out, **how).end()  # type: ignore[arg-type]

    def moments(self, count: int) -> list[float]:
        """Draw delays: half over the whole run, half from its first change of the folder on."""
        first = self.events[0].seconds if self.events else 0.0
        whole = [self.random.uniform(0, self.seconds) for _ in range(count - count // 2)]
        return whole + [self.random.uniform(first, self.seconds) for _ in range(count // 2)]

    def spots(self, count: int) -> list[int]:
        """Choose events to act at: up to two thirds of them within the commit, the rest before."""
        total = len(self.events)
        if total <= count:
            return list(range(1, total + 1))
        kinds = [event.kind for event in self.events]
        begin = kinds.index("os.rename") + 1 if "os.rename" in kinds else total
        late = _evenly(range(begin, total + 1), count * 2 // 3)
        return [*_evenly(range(1, begin), count - len(late)), *late]

    def expect(
        self,
        out: Path,
        ended: Ended,
        outcome: Outcome,
        *,
        place: str,
        killed: bool,
        before: Content | None = None,
        overwrite: bool = False,
    ) -> State:
        """Judge the folder after a fault, then restart the command and compare the results."""
        outcome.tries += 1
        before = {} if before is None else before
        after = {**before, **self.after_a}
        state, problems = judge(out, before, after)
        outcome.note(state)
        problems += complaints(ended)
        if not killed:
            problems += self.leftovers(out)
        if state == "window" and killed and not overwrite:
            problems += self.asks(out)
            overwrite = self.job.again is not None
        if state != "complete":
            problems += self.restart(out, after, overwrite=overwrite)
        outcome.problems += [f"{place}: {problem}" for problem in problems]
        shutil.rmtree(out, ignore_errors=True)
        return state

    def leftovers(self, out: Path) -> list[str]:
        """Return what only a killed run may leave."""
        kept = self.job.resumes
        left = [name for name in hidden(out) if not any(part in name for part in kept)]
        return [f"leaves {left}"] if left else []

    def asks(self, out: Path) -> list[str]:
        """Run again over some outputs without a manifest: it goes on, or asks for --overwrite."""
        before = visible(out)
        again = self.run(out)
        if again.code != 0 and "--overwrite" not in again.stderr:
            return [f"the restart does not say what to do: {again.says}"]
        return [] if again.code == 0 or visible(out) == before else ["a refusal changed files"]

    def restart(self, out: Path, after: Content, *, overwrite: bool = False) -> list[str]:
        """Run the same command again; return what is wrong with its results."""
        again = self.run(out, overwrite=overwrite)
        if again.code != 0:
            return [f"the restart fails: {again.says}"]
        now = visible(out)
        problems = [f"the restart leaves {left}"] if (left := hidden(out)) else []
        if now != after:
            names = sorted(n for n in now.keys() | after.keys() if now.get(n) != after.get(n))
            problems.append(f"after the restart these differ from an undisturbed run: {names}")
        return problems


def complaints(ended: Ended) -> list[str]:
    """Return what is wrong with how a run ended: a traceback, a hang, an unknown exit code."""
    problems: list[str] = []
    if interrupted_outside(ended):
        return problems
    # Ctrl-C within a destructor or a callback of the import system: Python prints it and goes on.
    ignored = ended.code == 0 and ended.stderr.startswith("Exception ignored in")
    if "Traceback" in ended.stderr and not ignored:
        problems.append(f"a traceback: {_exception(ended)} … {ended.says}")
    if "hangs" in ended.stderr or "outlived" in ended.stderr:
        problems.append(ended.says)
    if ended.code not in (0, 1, 130, -2, -9):
        problems.append(f"exit code {ended.code}: {ended.says}")
    return problems


def _exception(ended: Ended) -> str:
    lines = ended.stderr.partition("Traceback")[2].splitlines()[1:]
    return next((line for line in lines if line and not line.startswith(" ")), "")


def interrupted_outside(ended: Ended) -> bool:
    """Whether Ctrl-C came while Python itself was starting or ending, and was not ours to answer.

    The signal then ends the process, which a shell shows as 130 too.
    """
    if ended.code == 1:  # within `import site`
        return "KeyboardInterrupt" in ended.stderr and "in exit_with" not in ended.stderr
    return ended.code == -2 and "in exit_with" not in ended.stderr


def _evenly(values: range, count: int) -> list[int]:
    if count <= 0 or not values:
        return []
    if len(values) <= count:
        return list(values)
    step = len(values) / count
    return [values[int((i + 0.5) * step)] for i in range(count)]
