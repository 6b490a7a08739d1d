"""No checkpoint file runs code or takes more memory than its size and 200 MB."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE = Path(__file__).parent
REFUSALS = HERE.parent / "golden" / "checkpoints" / "refusals.json"
LIMIT = 200 << 20


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"hostile_{name}", HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


attacks = load("attacks")
mutations = load("mutations")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Read every attack in one watched child process; its report by name."""
    folder = tmp_path_factory.mktemp("attacks")
    warm = []
    for name, data in mutations.seeds().items():
        warm.append(folder / f"{name}.warm")
        warm[-1].write_bytes(data)
    paths = {}
    for name, maker in attacks.ATTACKS.items():
        paths[name] = folder / name
        paths[name].write_bytes(maker(str(folder / "canary")))
    before = sorted(folder.iterdir())
    child = subprocess.run(
        [sys.executable, HERE / "watched.py", *warm, *paths.values()],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    assert sorted(folder.iterdir()) == before, "an attack wrote a file"
    lines = [json.loads(line) for line in child.stdout.splitlines()]
    assert len(lines) == len(paths)
    return {Path(line["file"]).name: line for line in lines}


def test_there_are_at_least_sixty_attacks() -> None:
    assert len(attacks.ATTACKS) >= 60


@pytest.mark.parametrize("name", attacks.ATTACKS)
def test_attack_ends_in_one_line_or_loads(name: str, outcomes: dict[str, dict[str, Any]]) -> None:
    result = outcomes[name]
    assert result["seen"] == []
    size = Path(result["file"]).stat().st_size
    assert result["peak"] < size + LIMIT, f"{result['peak'] / 1e6:.0f} MB"
    if name in attacks.MUST_LOAD:
        assert result["read"] == result.get("inspect", "loaded") == "loaded", result
        return
    assert result["read"] in ("UnsafeFileError", "CheckpointError"), result
    for text in result["texts"]:
        assert "\n" not in text
        assert text.startswith(result["file"])
    if result["read"] == "UnsafeFileError":
        assert result["texts"][0].endswith("Nothing was loaded.")


def rule(result: dict[str, Any]) -> str:
    """Return why a file was refused, without its name, the byte, and NumPy's own words."""
    if not result["texts"]:
        return "loaded"
    text = result["texts"][0].removeprefix(result["file"])
    text = re.sub(r"^(, byte \d+)?: ", "", text)
    return re.sub(r"(readable .npy header|not one of safetensors|byte \d+\)?) \(.*\)", r"\1", text)


def test_each_attack_is_refused_by_the_rule_against_it(
    outcomes: dict[str, dict[str, Any]],
) -> None:
    """A file that one rule lets through is often refused by a later one: the words tell which.

    Regenerate with `make golden` (SSLPREP_GOLDEN=1 and this test), then read the diff.
    """
    found = {name: rule(result) for name, result in outcomes.items()}
    if os.environ.get("SSLPREP_GOLDEN"):
        REFUSALS.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    assert found == json.loads(REFUSALS.read_text())


@pytest.mark.parametrize("name", attacks.RUNS_IN_PICKLE)
def test_attack_is_real(name: str, tmp_path: Path) -> None:
    """Python's own pickle, in a child, falls for it."""
    canary = tmp_path / "canary"
    file = tmp_path / "file"
    file.write_bytes(attacks.ATTACKS[name](str(canary)))
    code = (
        "import sys, pickle, numpy\n"
        "f = open(sys.argv[1], 'rb')\n"
        "load = numpy.load if f.peek(6).startswith(b'\\x93NUMPY') else None\n"
        "load(f, allow_pickle=True) if load else pickle.load(f)\n"
    )
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, file],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert canary.exists()


def test_refusal_names_file_offset_and_global(tmp_path: Path) -> None:
    from sslprep.checkpoints.open import read_checkpoint
    from sslprep.errors import UnsafeFileError

    path = tmp_path / "model.pkl"
    path.write_bytes(attacks.reduce_protocol_0("x"))
    with pytest.raises(UnsafeFileError) as caught:
        read_checkpoint(path)
    assert str(caught.value) == (
        f"{path}, byte 0: refers to os.system, which is not on the allowlist. Nothing was loaded."
    )


@pytest.mark.parametrize("name", mutations.seeds())
def test_every_truncation_is_refused(name: str, tmp_path: Path) -> None:
    data = mutations.seeds()[name]
    ends = mutations.run([data[:length] for length in range(len(data))], tmp_path)
    assert ends.problems == []
    assert ends.loaded == 0


def test_random_mutations_end_in_one_line_or_load(tmp_path: Path) -> None:
    ends = mutations.campaign(3000, seed=1, folder=tmp_path)
    assert ends.problems == []
    assert ends.loaded + ends.refused == 3000
