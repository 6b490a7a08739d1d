"""Small errors planted one at a time, to see whether a test notices: `make mutants`.

cosmic-ray makes the mutants. Each is run, in a copy of the tree, against the tests nearest to its
module, and if it lives, against all of its folder's. A seeded sample fits into the minutes given.
Survivors are printed with file and line, and compared with `known.txt`: those there are equivalent
(no test can tell them), and say why.

    python -m tests.mutants.run --minutes 20 [--jobs 2] [--seed 0] [MODULE …]
"""

from __future__ import annotations

import argparse
import ast
import difflib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
KNOWN = Path(__file__).parent / "known.txt"
MODULES: dict[str, str] = {
    "atomic.py": "floor/test_atomic.py",
    "npy.py": "floor/test_npy.py",
    "manifest.py": "floor/test_manifest.py",
    "parameters.py": "floor/test_parameters.py",
    "results.py": "floor/test_console.py",
    "console.py": "floor/test_console.py",
    "cli.py": "floor/test_cli.py",
    "legacy.py": "floor/test_cli.py",
    "executors.py": "floor/test_executors.py",
    "errors.py": "floor/test_errors.py",
    "input_files.py": "floor/test_input_files.py",
    "lowshot/draw.py": "lowshot/test_draw.py",
    "data/voc.py": "data/test_voc.py",
    "data/voc_xml.py": "data/test_as_found.py",
    "data/coco_labels.py": "data/test_coco.py",
    "jigsaw/codes.py": "jigsaw/test_golden.py",
    "color/priors.py": "color/test_encoding.py",
    "checkpoints/names.py": "checkpoints/test_names.py",
    "checkpoints/batchnorm.py": "checkpoints/test_detectron.py",
    "checkpoints/globals.py": "checkpoints/test_unpickle.py",
    "evaluate/svm.py": "evaluate/test_svm.py",
    "evaluate/average_precision.py": "evaluate/test_average_precision.py",
}
"""Module below src/sslprep -> the tests below tests/ that are nearest to it."""
SLOW = ("test_dask.py", "test_resume.py", "test_full_size.py")


def tests_of(module: str) -> list[tuple[str, ...]]:
    """Return the files of tests that judge a module: the nearest ones, then all of its folder.

    Folders and files with a large share of the suite's time are left out, so that what is found
    alive may be killed by `make test` all the same; the reverse can't be.
    """
    folder = module.partition("/")[0] if "/" in module else "floor"
    laws = sorted(ROOT.glob(f"tests/property/test_{folder}_laws.py"))
    rest = [
        path for path in sorted(ROOT.glob(f"tests/{folder}/test_*.py")) if path.name not in SLOW
    ]
    far = (str(path.relative_to(ROOT)) for path in (*rest, *laws))
    return [(f"src/sslprep/{module}", f"tests/{MODULES[module]}"), tuple(far)]


OPERATORS = [
    *("NumberReplacer", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "AddNot"),
    *("ReplaceAndWithOr", "ReplaceOrWithAnd", "ReplaceBreakWithContinue", "RemoveDecorator"),
    *("ReplaceContinueWithBreak", "ZeroIterationForLoop"),
    *(f"ReplaceBinaryOperator_{pair}" for pair in ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul")),
    *(f"ReplaceBinaryOperator_{pair}" for pair in ("FloorDiv_Div", "Mod_Add", "BitOr_BitAnd")),
    *(f"ReplaceComparisonOperator_{pair}" for pair in ("Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt")),
    *(f"ReplaceComparisonOperator_{pair}" for pair in ("Eq_NotEq", "NotEq_Eq", "Is_IsNot")),
    *(f"ReplaceComparisonOperator_{pair}" for pair in ("IsNot_Is", "In_NotIn", "NotIn_In")),
    *("ReplaceUnaryOperator_Delete_Not", "ReplaceUnaryOperator_USub_UAdd"),
]


@dataclass(frozen=True)
class Mutant:
    """One planted error."""

    module: str
    line: int
    before: str
    after: str
    code: str

    def __str__(self) -> str:
        return f"{self.module}: {self.before}  =>  {self.after}"


def mutants(module: str) -> Iterator[Mutant]:
    """Yield every mutant of a module but those of its annotations, which nothing runs."""
    # Here, not above: the suite collects this file where cosmic-ray is not installed.
    from cosmic_ray.ast import get_ast_from_path
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    path = ROOT / "src" / "sslprep" / module
    source = path.read_text(encoding="utf-8")
    tree = get_ast_from_path(path)
    seen = {_bare(source)}
    for name in OPERATORS:
        try:
            operator = get_operator(f"core/{name}")()
        except KeyError:
            continue
        positions = sum(len(list(operator.mutation_positions(n))) for n in _nodes(tree))
        for number in range(positions):
            code = mutate_code(source, operator, number)
            try:
                if code is None or (bare := _bare(code)) in seen:
                    continue
            except SyntaxError:
                continue
            seen.add(bare)
            yield _mutant(module, source, code)


def _nodes(node: object) -> Iterator[object]:
    yield node
    for child in getattr(node, "children", ()):
        yield from _nodes(child)


def _bare(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        for field in ("annotation", "returns"):
            if getattr(node, field, None) is not None:
                setattr(node, field, ast.Constant(None))
    return ast.dump(tree)


def _mutant(module: str, source: str, code: str) -> Mutant:
    old, new = source.splitlines(), code.splitlines()
    blocks = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    _, a, b, c, d = next(block for block in blocks if block[0] != "equal")
    before, after = (" ".join(x.strip() for x in lines) for lines in (old[a:b], new[c:d]))
    return Mutant(module, a + 1, before, after, code)


PATIENCE: dict[tuple[str, ...], float] = {}
"""Seconds after which tests count as hung, ten times what they take without a mutant."""


def try_without_mutant(copy: Path, tests: tuple[str, ...]) -> None:
    """Run tests on the tree as it is, once: they must pass, and say how long they take."""
    if tests not in PATIENCE:
        start = time.monotonic()
        if _fail(copy, tests, 1800):
            sys.exit(f"These fail without a mutant, in a copy of the tree: {' '.join(tests)}")
        PATIENCE[tests] = 20 + 10 * (time.monotonic() - start)


def killed(mutant: Mutant, copies: list[Path]) -> bool:
    """Run the tests of a mutant's module on it, in a copy that no other run has."""
    copy = copies.pop()
    target = copy / "src" / "sslprep" / mutant.module
    original = target.read_bytes()
    try:
        for tests in tests_of(mutant.module):
            target.write_bytes(original)
            try_without_mutant(copy, tests)
            target.write_text(mutant.code, encoding="utf-8")
            if _fail(copy, tests, PATIENCE[tests]):
                return True
        return False
    finally:
        target.write_bytes(original)
        copies.append(copy)


def _fail(copy: Path, tests: tuple[str, ...], seconds: float) -> bool:
    options = ["-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist"]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *tests],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True
    return done.returncode not in (0, 5)  # 5: there was no test


def main() -> int:
    """Print every survivor and the share of mutants that were killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", default=list(MODULES), metavar="MODULE")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    known = [line.partition(" # ")[0] for line in KNOWN.read_text("utf-8").splitlines()]
    every = [m for module in options.modules for m in mutants(module) if str(m) not in known]
    random.Random(options.seed).shuffle(every)
    end = time.monotonic() + 60 * options.minutes
    files = [path.name for path in ROOT.iterdir() if path.is_file()]
    with tempfile.TemporaryDirectory() as place:
        copies = [Path(place, str(i)) for i in range(options.jobs)]
        for copy in copies:
            for name in ("src", "tests", "extra_scripts", "benchmarks", "docs", *files):
                source = ROOT / name
                (shutil.copytree if source.is_dir() else _copy)(source, copy / name)
        with ThreadPoolExecutor(options.jobs) as pool:
            judged = pool.map(
                lambda m: None if time.monotonic() > end else (m, killed(m, copies)), every
            )
            results = [one for one in judged if one]
    survivors = sorted((m for m, dead in results if not dead), key=lambda m: (m.module, m.line))
    for mutant in survivors:
        print(f"src/sslprep/{mutant.module}:{mutant.line}: {mutant.before}  =>  {mutant.after}")
    for module in options.modules:
        mine = [dead for m, dead in results if m.module == module]
        if mine:
            print(f"{module}: {sum(mine)} of {len(mine)} killed")
    share = 1 - len(survivors) / max(1, len(results))
    print(f"{len(results)} of {len(every)} mutants tried: {share:.1%} killed, seed {options.seed}")
    return 0 if share >= 0.85 else 1


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


if __name__ == "__main__":
    sys.exit(main())
