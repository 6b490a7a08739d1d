"""The small errors that are planted: cosmic-ray makes them, one at a time."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).parents[2] / "src" / "sslprep"
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


def unchanged(module: str) -> Mutant:
    """Return a module with no error in it, under which no test may fail."""
    return Mutant(module, 0, "", "", (SOURCES / module).read_text(encoding="utf-8"))


def mutants(module: str) -> Iterator[Mutant]:
    """Yield every mutant of a module but those of its annotations, which nothing runs."""
    # Here, not above: the suite collects this file where cosmic-ray is not installed.
    from cosmic_ray.ast import get_ast_from_path
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    path = SOURCES / module
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
