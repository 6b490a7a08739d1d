"""What all tests share."""

import gc
import logging
import os
import resource
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Test processes take all cores: threads of BLAS and PyTorch would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell ignores Ctrl-C for what it runs with `&`, and all that it starts would ignore it too.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples on every machine and every run; loaded machines have no deadline.
settings.register_profile("sslprep", derandomize=True, deadline=None, database=None)
settings.load_profile("sslprep")

ROOT = Path(__file__).parents[1]
SLOWEST = (
    *("checkpoints/test_layouts.py", "hostile/test_checkpoints.py", "color/test_dask.py"),
    *("floor/test_executors.py", "report/test_browser.py", "test_quickstart.py"),
    *("checkpoints/test_networks.py", "evaluate/test_lowshot.py", "faults/test_faults.py"),
    *("color/test_resume.py", "checkpoints/test_full_size.py", "jigsaw/test_codes.py"),
    "legacy/test_document.py",
)
MANY = {"fuzz", "test_every_truncation_is_refused", "test_random_mutations_end_in_one_line_or_load"}
"""Thousands of damaged files run the same lines: to trace them takes longer than the test."""

Run = Callable[..., subprocess.CompletedProcess[str]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no process is left alone with one."""
    place = {ROOT / "tests" / name: number for number, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: place.get(item.path, len(SLOWEST)))
    for item in items:
        if MANY & {item.path.parent.name, item.name.partition("[")[0]}:
            item.add_marker("no_cover")


def pytest_collection_finish() -> None:
    """Spare the collector what all imports have made: a million objects, looked at in each test."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run `sslprep …` as a process in `tmp_path`."""

    def call(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "sslprep", *map(str, arguments)],
            cwd=options.pop("cwd", tmp_path),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **options,  # type: ignore[arg-type]
        )

    return call


@pytest.fixture
def run_script(tmp_path: Path) -> Run:
    """Run one of the old scripts as a process, from the project's root as the document says."""

    def call(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, f"extra_scripts/{script}", *map(str, arguments)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return call


@pytest.fixture(scope="module")
def made(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Make the golden files of a module's `GOLDEN` folder anew, once for all of its tests."""
    files: dict[str, Any] = runpy.run_path(str(request.module.GOLDEN / "make.py"))["make"]()
    return files


@pytest.fixture(autouse=True)
def _memory_is_limited(request: pytest.FixtureRequest) -> Iterator[None]:
    """Give hostile files two gigabytes on top of what Python holds already."""
    if request.path.parent.name not in ("hostile", "fuzz"):
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + 2_000_000_000
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture(autouse=True, scope="session")
def _no_disk_is_waited_for() -> Iterator[None]:
    """No test cuts the power, so what this process writes need not reach the disk at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)  # which refuses a closed file too
        yield


@pytest.fixture(autouse=True)
def _library_is_quiet() -> None:
    """Forget handlers that a test of the command line has set."""
    logging.getLogger("sslprep").handlers.clear()
    os.environ.pop("SOURCE_DATE_EPOCH", None)
