"""Which tests notice a planted error.

Tests run in forks of this process, which has loaded the large libraries but nothing of sslprep; a
fork reads sslprep and the tests from a copy of the tree that no other fork has.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import resource
import shutil
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path

import coverage
import pytest
from hypothesis import Phase, settings

from .planted import Mutant

ROOT = Path(__file__).parents[2]
LARGE = ("numpy", "scipy.optimize", "scipy.io", "cv2", "torch", "PIL.Image", "skimage", "sklearn")
OPTIONS = [
    *("-q", "-x", "--tb=line", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:cov"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # Hypothesis is loaded before the fork
]
settings.register_profile(  # as the suite's own, but a failure is enough: it need not be shrunk
    "mutants",
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
)


@dataclass(eq=False)
class Watch:
    """What the tests of a folder do without a mutant; a plugin of pytest."""

    cov: coverage.Coverage
    seconds: dict[str, float] = field(default_factory=dict)
    starts_processes: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    lines: dict[str, dict[int, set[str]]] = field(default_factory=dict)
    now: str = ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.now = item.nodeid
        self.cov.switch_context(item.nodeid)
        start = sum(os.times()[:4])  # CPU time, also that of processes which it started
        done = yield
        self.seconds[item.nodeid] = sum(os.times()[:4]) - start
        return done

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)

    def audit(self, event: str, arguments: object) -> None:
        if event in ("subprocess.Popen", "os.fork", "os.posix_spawn"):
            self.starts_processes.add(self.now)


@dataclass(eq=False)
class Chosen:
    """A plugin that leaves some tests of those collected, in an order of its own."""

    tests: list[str]

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        place = {test: number for number, test in enumerate(self.tests)}
        items[:] = sorted((i for i in items if i.nodeid in place), key=lambda i: place[i.nodeid])


def copy_tree(to: Path) -> None:
    """Copy what tests read; what Python has compiled too."""
    for name in ("src", "tests", "extra_scripts", "benchmarks", "docs"):
        shutil.copytree(ROOT / name, to / name)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy2(path, to)


def watch(copy: Path, modules: list[str], tests: list[str]) -> Watch:
    """Run tests without a mutant; say which of them run which lines, and how long they take."""
    sources = [str(copy / "src" / "sslprep" / module) for module in modules]
    record = copy / "watch.pickle"

    def work() -> int:
        sys.dont_write_bytecode = False  # later forks read what this one compiles
        cov = coverage.Coverage(data_file=None, config_file=False, include=sources)
        seen = Watch(cov)
        sys.addaudithook(seen.audit)
        cov.start()
        ended = pytest.main([*(o for o in OPTIONS if o != "-x"), *tests], plugins=[seen])
        cov.stop()
        for module, source in zip(modules, sources, strict=True):
            by_line = cov.get_data().contexts_by_lineno(source)
            seen.lines[module] = {line: set(names) - {""} for line, names in by_line.items()}
        seen.cov = None  # type: ignore[assignment]  # it can't be pickled
        record.write_bytes(pickle.dumps(seen))
        return 0 if ended in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) else int(ended)

    _, status = os.waitpid(_fork(copy, work, 1800), 0)
    if status:
        sys.exit(f"Without a mutant the tests end with {status}:\n{(copy / 'log').read_text()}")
    seen: Watch = pickle.loads(record.read_bytes())
    return seen


def choose(mutant: Mutant, seen: Watch, seconds: float) -> list[list[str]]:
    """Return the tests for a mutant: those of the nearest file, then the others.

    That file has the most tests that run the line. Of the others those that run the line come
    first, then those that run anything of the module; the fastest first, and only as many as take
    the given number of seconds. A test that starts processes may run any line there.
    """
    lines = seen.lines[mutant.module]
    here = lines.get(mutant.line, set())
    near = set().union(*lines.values())
    tests = (near | seen.starts_processes) - seen.failed - {""}
    order = sorted(tests, key=lambda t: (t not in here, t not in near, seen.seconds[t], t))
    total, chosen = 0.0, []
    for test in order:
        total += seen.seconds[test]
        chosen += [test] if total <= seconds else []
    files = Counter(test.partition("::")[0] for test in chosen if test in here or not here)
    nearest = files.most_common(1)[0][0] if files else ""
    first = [test for test in chosen if test.startswith(f"{nearest}::")]
    return [first, [test for test in chosen if test not in first]]


def first_failure(parts: list[list[str]]) -> int:
    """Run tests in this order up to the first that fails; return 0 if none does."""
    for tests in filter(None, parts):
        files = dict.fromkeys(test.partition("::")[0] for test in tests)
        if ended := pytest.main([*OPTIONS, *files], plugins=[Chosen(tests)]):
            return int(ended)
    return 0


def judge(
    mutants: Iterable[Mutant], copies: list[Path], seen: Watch, seconds: float
) -> Iterator[tuple[Mutant, bool]]:
    """Yield each mutant and whether it was killed: a test failed, crashed or never ended."""
    running: dict[int, tuple[Mutant, Path, bytes]] = {}

    def next_end() -> tuple[Mutant, bool]:
        process, status = os.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)  # what its tests have left behind
        mutant, copy, original = running.pop(process)
        (copy / "src" / "sslprep" / mutant.module).write_bytes(original)
        copies.append(copy)
        return mutant, status != 0

    for mutant in mutants:
        if not copies:
            yield next_end()
        copy = copies.pop()
        target = copy / "src" / "sslprep" / mutant.module
        original = target.read_bytes()
        target.write_text(mutant.code, encoding="utf-8")
        parts = choose(mutant, seen, seconds)
        limit = 10 + 3 * sum(seen.seconds[test] for part in parts for test in part)
        running[_fork(copy, partial(first_failure, parts), limit)] = (mutant, copy, original)
    while running:
        yield next_end()


def _fork(copy: Path, work: Callable[[], int], seconds: float) -> int:
    """Start work in a copy, with a limit of CPU time, a far one of time and one of memory."""
    for name in LARGE:
        with contextlib.suppress(ImportError):
            import_module(name)
    if process := os.fork():
        return process
    status = 99
    try:
        os.setsid()
        os.chdir(copy)
        for number in (1, 2):
            os.dup2(os.open("log", os.O_CREAT | os.O_TRUNC | os.O_WRONLY), number)
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 5))
        resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))
        signal.alarm(int(60 + 5 * seconds))
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has it ignored
        sys.path.insert(0, str(copy / "src"))
        sys.dont_write_bytecode = True
        os.environ |= {"PYTHONPATH": str(copy / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
        OPTIONS.extend(["--hypothesis-profile=mutants", f"--basetemp={copy / 'tmp'}"])
        status = work()
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
