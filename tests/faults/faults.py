"""The faults: each takes a case and how often to try, and returns what came out."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from tests.faults import process
from tests.faults.case import Case, Outcome, complaints, interrupted_outside
from tests.faults.process import Ended, Trap
from tests.faults.state import Content, hidden, visible

from sslprep.atomic import MANIFEST_SUFFIX

PAGE = 4096


def killed_at_random(case: Case, tries: int) -> Outcome:
    """Kill -9 at random moments."""
    outcome = Outcome()
    for delay in case.moments(tries):
        out = case.new_folder()
        running = case.start(out)
        time.sleep(delay)
        running.kill()
        case.expect(out, running.end(), outcome, place=f"after {delay:.3f} s", killed=True)
    return outcome


def killed_at_each_step(case: Case, tries: int) -> Outcome:
    """Kill -9 just before chosen changes of the folder, those of the commit first."""
    return _at_each_step(case, tries, "kill", killed=True)


def interrupted_at_each_step(case: Case, tries: int) -> Outcome:
    """SIGINT just before chosen changes of the folder."""
    return _at_each_step(case, tries, "interrupt", killed=False)


def _at_each_step(case: Case, tries: int, action: str, *, killed: bool) -> Outcome:
    outcome = Outcome()
    for at in case.spots(tries):
        out = case.new_folder()
        ended = case.run(out, trap=Trap(watch=out, at=at, action=action))
        event = case.events[at - 1]
        place = f"before event {at} ({event.kind} {event.name})"
        case.expect(out, ended, outcome, place=place, killed=killed)
    return outcome


def killed_while_replacing(case: Case, tries: int) -> Outcome:
    """Kill -9 a run with `--overwrite` over other results, just before chosen changes."""
    outcome = Outcome()
    for at in case.spots(tries):
        out = case.filled_folder()
        before = visible(out)
        ended = case.run(out, overwrite=True, trap=Trap(watch=out, at=at, action="kill"))
        case.expect(
            *(out, ended, outcome),
            place=f"while replacing, before event {at}",
            killed=True,
            before=before,
            overwrite=True,
        )
    return outcome


def interrupted(case: Case, tries: int) -> Outcome:
    """Ctrl-C at random moments: SIGINT to the whole process group, exit code 130."""
    outcome = Outcome()
    for delay in case.moments(tries):
        out = case.new_folder()
        running = case.start(out)
        time.sleep(delay)
        running.interrupt()
        ended = running.end()
        if ended.code not in (0, 130) and not interrupted_outside(ended):
            outcome.problems.append(f"after {delay:.3f} s: code {ended.code}, {ended.says}")
        case.expect(out, ended, outcome, place=f"after {delay:.3f} s", killed=False)
    return outcome


def disk_full(case: Case, tries: int) -> Outcome:
    """Write to a tmpfs that has too few pages, or too few inodes, for the results."""
    outcome = Outcome()
    pages = max(2, case.bytes // PAGE)
    sizes = sorted({1 + pages * i // tries for i in range(tries)})
    files = len(case.after_a)
    inodes = sorted({2 + files * i // tries for i in range(max(1, tries // 2))})
    for options in [f"size={n * PAGE}" for n in sizes] + [f"nr_inodes={n}" for n in inodes]:
        disk = case.new_folder()
        with process.small_disk(disk, options):
            ended = case.run(disk / "out")
            problems = _refusal(ended, may_succeed=True, words=("No space left",))
            process.remount(disk, "size=1g,nr_inodes=100000")
            _judge_refused(case, disk / "out", ended, outcome, problems, f"disk of {options}")
    return outcome


def file_too_large(case: Case, tries: int) -> Outcome:
    """Forbid files above a size (RLIMIT_FSIZE), so that a write stops in its middle."""
    outcome = Outcome()
    largest = max(size for size in case.sizes)
    for limit in sorted({largest * (i + 1) // (tries + 1) for i in range(tries)}):
        out = case.new_folder()
        ended = case.run(out, prefix=["prlimit", f"--fsize={limit}"])
        problems = _refusal(ended, may_succeed=False, words=("File too large",))
        _judge_refused(case, out, ended, outcome, problems, f"files of at most {limit} bytes")
    return outcome


def read_only(case: Case, tries: int) -> Outcome:
    """Write to a read-only file system, and to a folder without permission."""
    outcome = Outcome()
    if os.geteuid() == 0 and process.may_mount():
        disk = case.new_folder()
        with process.small_disk(disk, "size=1g"):
            process.remount(disk, "ro")
            ended = case.run(disk / "out")
            problems = _refusal(ended, words=("Read-only file system", "read-only"))
            process.remount(disk, "rw")
            _judge_refused(case, disk / "out", ended, outcome, problems, "read-only disk")
    out = case.new_folder()
    out.mkdir()
    out.chmod(0o555)
    ended = case.run(out, prefix=process.without_override())
    problems = _refusal(ended, words=("Permission denied",))
    out.chmod(0o755)
    _judge_refused(case, out, ended, outcome, problems, "folder without permission")
    return outcome


def manifest_unwritable(case: Case, tries: int) -> Outcome:
    """Put a folder in the place of each output, the manifests first."""
    outcome = Outcome()
    names = sorted(case.after_a, key=lambda name: (not name.endswith(MANIFEST_SUFFIX), name))
    for name in names[:tries]:
        for overwrite in (False, True) if case.job.again is not None else (False,):
            out = case.filled_folder() if overwrite else case.old_folder()
            before = visible(out)
            (out / name).unlink(missing_ok=True)
            (out / name / "mine").mkdir(parents=True)
            before.pop(name, None)
            outcome.tries += 1
            ended = case.run(out, overwrite=overwrite)
            place = f"a folder named {name}, overwrite={overwrite}"
            problems = _refusal(ended) + complaints(ended)
            if (now := visible(out)) != before:
                changed = sorted(
                    n for n in now.keys() | before.keys() if now.get(n) != before.get(n)
                )
                problems.append(f"changed {changed}")
            if left := hidden(out):
                problems.append(f"leaves {left}")
            outcome.problems += [f"{place}: {problem}" for problem in problems]
            shutil.rmtree(out)
    return outcome


def other_disk(case: Case, tries: int) -> Outcome:
    """Write to another file system than the one of the inputs and of /tmp."""
    outcome = Outcome(tries=1)
    disk = case.new_folder()
    with process.small_disk(disk, "size=1g"):
        ended = case.run(disk / "out")
        if ended.code != 0 or visible(disk / "out") != case.after_a or hidden(disk / "out"):
            outcome.problems.append(f"not as on this disk: {ended.says}")
    return outcome


def input_changed(case: Case, tries: int) -> Outcome:
    """Put other content into an input file before each opening of it, then at each write.

    The results must be those of one of the two contents, or an error and nothing written.
    """
    outcome = Outcome()
    assert case.job.victim is not None
    victim, other = case.a / case.job.victim, case.b / case.job.victim
    original = victim.read_bytes()

    def swapped(watch: Path, at: int, out: Path, *, reads: bool) -> Ended:
        victim.write_bytes(original)
        swap = Trap(watch=watch, at=at, action="swap", reads=reads, source=other, target=victim)
        return case.run(out, trap=swap)

    shutil.copyfile(other, victim)
    after_b = case.undisturbed(case.a)[1] if _works(case) else None
    victim.write_bytes(original)
    out = case.new_folder()
    reads = len(case.run(out, trap=Trap(watch=victim, reads=True)).events)
    shutil.rmtree(out)
    places = [(victim, at) for at in range(1, reads + 1)]
    places += [(None, at) for at in case.spots(max(1, tries - reads))]
    for watch, at in places[:tries]:
        out = case.new_folder()
        ended = swapped(watch or out, at, out, reads=watch is not None)
        outcome.tries += 1
        problems = complaints(ended)
        now = visible(out)
        if ended.code == 0 and now not in (case.after_a, after_b):
            problems.append("the results are of neither content")
        if ended.code != 0 and now:
            problems.append(f"an error, but wrote {sorted(now)}")
        problems += case.leftovers(out)
        outcome.note("error" if ended.code else "old" if now == case.after_a else "new")
        # A pass that was begun over the old list is given up only where the user says so.
        may_restart = after_b is not None and not case.job.resumes
        if ended.code and may_restart and victim.read_bytes() == other.read_bytes():
            problems += case.restart(out, after_b)
        what = "reading" if watch else "writing"
        outcome.problems += [f"changed before {what} {at}: {problem}" for problem in problems]
        shutil.rmtree(out, ignore_errors=True)
    victim.write_bytes(original)
    return outcome


def _works(case: Case) -> bool:
    out = case.new_folder()
    ended = case.run(out)
    shutil.rmtree(out, ignore_errors=True)
    return ended.code == 0


def two_writers(case: Case, tries: int) -> Outcome:
    """Start two runs with different inputs into one folder: one wins, never a mixture."""
    outcome = Outcome()
    for number in range(tries):
        overwrite = number % 2 == 1 and case.job.again is not None
        out = case.new_folder()
        first = case.start(out, inputs=case.a, overwrite=overwrite)
        time.sleep(case.random.uniform(0, case.seconds / 3))
        second = case.start(out, inputs=case.b, overwrite=overwrite)
        ended = [first.end(), second.end()]
        outcome.tries += 1
        problems = [problem for one in ended for problem in complaints(one)]
        codes = [one.code for one in ended]
        now = visible(out)
        if now not in (case.after_a, case.after_b):
            problems.append("a mixture of both runs")
        if 0 not in codes:
            problems.append(f"both fail: {ended[0].says} / {ended[1].says}")
        replaces = overwrite or case.job.again == ""
        if codes == [0, 0] and not replaces and case.after_a != case.after_b:
            problems.append("both claim success")
        if codes[0] == 0 != codes[1] and now != case.after_a:
            problems.append("the first claims success, the results are not its own")
        if codes[1] == 0 != codes[0] and now != case.after_b:
            problems.append("the second claims success, the results are not its own")
        if left := hidden(out):
            problems.append(f"leaves {left}")
        outcome.note("one wins" if 1 in codes else "one after the other")
        outcome.problems += [f"pair {number}: {problem}" for problem in problems]
        shutil.rmtree(out, ignore_errors=True)
    return outcome


def worker_killed(case: Case, tries: int) -> Outcome:
    """Kill -9 one worker process, as the kernel does when memory runs out."""
    return _at_a_worker(case, tries, psutil.Process.kill)


def worker_hung(case: Case, tries: int) -> Outcome:
    """Stop one worker process for good (SIGSTOP): the run must notice by itself."""
    return _at_a_worker(case, tries, psutil.Process.suspend)


def _at_a_worker(case: Case, tries: int, act: Callable[[psutil.Process], None]) -> Outcome:
    outcome = Outcome()
    for delay in case.moments(tries):
        out = case.new_folder()
        running = case.start(out)
        time.sleep(delay)
        if workers := running.workers():
            with suppress(psutil.NoSuchProcess):
                act(case.random.choice(workers))
        ended = running.end()
        place = f"a worker after {delay:.3f} s"
        case.expect(out, ended, outcome, place=place, killed=False)
    return outcome


def poison_image(case: Case, tries: int) -> Outcome:
    """Let an image end, or hang, every worker that opens it.

    Either the run lists it and ends as if it were unreadable, or it refuses and writes nothing.
    """
    outcome = Outcome()
    image = next(case.a.rglob("poison.jpg"))
    original = image.read_bytes()
    image.write_bytes(b"no image")
    unreadable = case.new_folder()
    listed = case.run(unreadable).code
    without = _arrays(unreadable) if visible(unreadable) else None
    image.write_bytes(original)
    for how in ("kill", "stop")[:tries]:
        out = case.new_folder()
        ended = case.run(out, environment={"SSLPREP_POISON": how})
        outcome.tries += 1
        problems = complaints(ended)
        if ended.code == listed and visible(out):
            outcome.note("listed")
            if _arrays(out) != without:
                problems.append("the results are not those without the image")
            if not any(b"poison.jpg" in path.read_bytes() for path in out.glob("*.json")):
                problems.append("the image is named nowhere")
        else:
            outcome.note("refused")
            problems += _refusal(ended)
            problems += [f"wrote {sorted(now)}"] if (now := visible(out)) else []
            problems += case.leftovers(out) + case.restart(out, case.after_a)
        outcome.problems += [f"{how}: {problem}" for problem in problems]
        shutil.rmtree(out, ignore_errors=True)
    return outcome


def _arrays(out: Path) -> Content:
    return {name: digest for name, digest in visible(out).items() if name.endswith(".npy")}


def store_times_out(case: Case, tries: int) -> Outcome:
    """Let one request of the store time out, then all of them."""
    outcome = Outcome()
    for how in ("once", "always")[:tries]:
        out = case.new_folder()
        control = case.store / how
        control.touch()
        ended = case.run(out)
        control.unlink(missing_ok=True)
        problems = _refusal(ended, words=("did not answer",)) if how == "always" else []
        _judge_refused(case, out, ended, outcome, problems, how)
    return outcome


def folder_not_flushed(case: Case, tries: int) -> Outcome:
    """Refuse the fsync of the folder: as a file system that has none, then as a failing disk."""
    return _refused(case, tries, "folder fsync", ("EINVAL", "EIO"))


def no_lock(case: Case, tries: int) -> Outcome:
    """Refuse flock: as a file system that has none, then as a failing server."""
    return _refused(case, tries, "flock", ("ENOLCK", "EIO"))


def fails_on_close(case: Case, tries: int) -> Outcome:
    """Let a disk report only at the end (fsync, close) that it could not keep a file."""
    outcome = _refused(case, tries, "file fsync", ("EIO",))
    return _refused(case, tries - 1, "close", ("EDQUOT", "EIO"), outcome)


def _refused(
    case: Case, tries: int, what: str, reasons: Sequence[str], outcome: Outcome | None = None
) -> Outcome:
    outcome = outcome or Outcome()
    for reason in reasons[:tries]:
        out = case.new_folder()
        ended = case.run(out, trap=Trap(watch=out, refuse=f"{what}:{reason}"))
        goes_on = reason in ("EINVAL", "ENOLCK")
        problems = [] if goes_on else _refusal(ended, words=(os.strerror(getattr(errno, reason)),))
        if goes_on and ended.code != 0:
            problems.append(f"should go on: {ended.says}")
        if goes_on and "file system" not in ended.stderr:
            problems.append("gives no warning")
        _judge_refused(case, out, ended, outcome, problems, f"{what}, {reason}")
    return outcome


def _flushes(case: Case) -> bool:
    return any(event.kind == "fsync" for event in case.events)


def _refusal(ended: Ended, *, may_succeed: bool = False, words: tuple[str, ...] = ()) -> list[str]:
    """Return what is wrong with how a run refused."""
    if ended.code == 0:
        return [] if may_succeed else ["succeeds where it cannot"]
    problems = [] if ended.code == 1 else [f"exit code {ended.code}, not 1"]
    lines = [line for line in ended.stderr.splitlines() if line.startswith("sslprep: error: ")]
    if len(lines) != 1:
        problems.append(f"not one line of error but {len(lines)}: {ended.says}")
    if words and not any(word in ended.stderr for word in words):
        problems.append(f"does not say why: {ended.says}")
    return problems


def _judge_refused(
    case: Case, out: Path, ended: Ended, outcome: Outcome, problems: list[str], place: str
) -> None:
    if case.expect(out, ended, outcome, place=place, killed=False) == "complete":
        if ended.code != 0:
            problems.append("an error although everything was written")
    elif ended.code == 0:
        problems.append("claims success, wrote nothing")
    outcome.problems += [f"{place}: {problem}" for problem in problems]


@dataclass(frozen=True)
class Fault:
    """A column of the table.

    Attributes:
        title: What happens.
        try_it: The function.
        tries: How often in the long campaign.
        mounts: Whether it must mount a tmpfs.
        suits: For which cases it makes sense.
    """

    title: str
    try_it: Callable[[Case, int], Outcome]
    tries: int
    mounts: bool = False
    suits: Callable[[Case], bool] = lambda case: True


def _parallel(case: Case) -> bool:
    return case.job.parallel


FAULTS = {
    "kill": Fault("kill -9 at random moments", killed_at_random, 10),
    "kill-step": Fault("kill -9 at chosen writes", killed_at_each_step, 8),
    "kill-replace": Fault(
        "kill -9 while replacing",
        *(killed_while_replacing, 4),
        suits=lambda case: case.job.again is not None,
    ),
    "worker": Fault("kill -9 of a worker", worker_killed, 4, suits=_parallel),
    "hung": Fault("a worker hangs", worker_hung, 2, suits=_parallel),
    "poison": Fault("a poison image", poison_image, 2, suits=_parallel),
    "store": Fault("the store times out", store_times_out, 2, suits=lambda case: case.job.store),
    "ctrl-c": Fault("Ctrl-C at random moments", interrupted, 4),
    "ctrl-c-step": Fault("Ctrl-C at chosen writes", interrupted_at_each_step, 4),
    "full": Fault("disk full", disk_full, 4, mounts=True),
    "limit": Fault("file size limit", file_too_large, 2, suits=_flushes),
    "read-only": Fault("output read-only", read_only, 2),
    "folder": Fault("folder fsync refused", folder_not_flushed, 2, suits=_flushes),
    "lock": Fault("flock refused", no_lock, 2),
    "close": Fault("disk fails on fsync, close", fails_on_close, 3, suits=_flushes),
    "manifest": Fault("folder in an output's place", manifest_unwritable, 2),
    "disk": Fault("other file system", other_disk, 1, mounts=True),
    "changed": Fault(
        "input changed", input_changed, 4, suits=lambda case: case.job.victim is not None
    ),
    "two": Fault("two runs at once", two_writers, 4),
}
