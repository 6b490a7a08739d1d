"""Every error text of the package, as it stands in the code, for one read from top to bottom."""

import ast
from pathlib import Path

HERE = Path(__file__).parent
SOURCE = HERE.parents[2] / "src" / "sslprep"
PARTS = ("problem", "where", "expected", "remedy")


def texts() -> str:
    """Return one block for each error that the code can raise, by file."""
    blocks = []
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _is_error(node.func):
                parts = dict(zip(PARTS, node.args, strict=False))
                parts |= {word.arg: word.value for word in node.keywords if word.arg}
                said = [f"  {name}: {_plain(parts[name])}" for name in PARTS if name in parts]
                blocks.append((path.relative_to(SOURCE), node.lineno, said))
    return "".join(
        f"{place}\n" + "\n".join(said) + "\n\n" for place, _, said in sorted(blocks, key=_order)
    )


def _order(block: tuple[Path, int, list[str]]) -> tuple[str, int]:
    return str(block[0]), block[1]


def _is_error(function: ast.expr) -> bool:
    name = getattr(function, "id", getattr(function, "attr", ""))
    return name == "kind" or (name.endswith("Error") and name[0].isupper())


def _plain(value: ast.expr) -> str:
    """Return a text with its values as `{code}`."""
    if isinstance(value, ast.Constant):
        return str(value.value)
    if isinstance(value, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else _code(part.value)
            for part in value.values
        )
    return _code(value)


def _code(value: ast.expr) -> str:
    # Pythons differ in the quotes that they nest.
    return "{" + ast.unparse(value).replace('"', "'") + "}"


if __name__ == "__main__":
    (HERE / "errors.txt").write_text(texts(), encoding="utf-8")
