"""The command line: what is the same for every command."""

import inspect
import json
import runpy
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from subprocess import CompletedProcess
from typing import Literal

import pytest

from sslprep import cli, legacy

Run = Callable[..., CompletedProcess[str]]


def command(
    *,
    folder: Path,
    k_values: tuple[int, ...] = (1,),
    format: tuple[Literal["npy", "csv"], ...] = ("npy",),
    files: tuple[Path, ...] = (),
    nested: bool = False,
    towers: bool | None = None,
    n: int | None = None,
    first: str | None = None,
) -> None: ...


@pytest.mark.parametrize(
    ("given", "arranged"),
    [
        ("--k-values 1,2,4", "--k-values 1 2 4"),
        ("--k_values 1 2 4", "--k-values 1 2 4"),
        ("--k-values [1,2,4]", "--k-values 1 2 4"),
        ("--k-values=1,2 --k-values 4", "--k-values 1 2 --k-values 4"),
        ("--K_VALUES (1,2)", "--k-values 1 2"),
        ("--format csv,npy --n 3", "--format csv npy --n 3"),
        ("--nested True", "--nested=True"),
        ("--nested 0 --n 3", "--nested=0 --n 3"),
        ("--nested --n 3", "--nested --n 3"),
        ("--towers False", "--towers=False"),
        ("--N 2000", "--n 2000"),
        ("--first --n", "--first --n"),
        ("here --n 1", "--folder here --n 1"),
        ("--files a,b", "--files a,b"),
        ("--k-values -1 2", "--k-values -1 2"),
    ],
)
def test_flags_have_one_form(given: str, arranged: str) -> None:
    assert cli.arrange(given.split(), command, "folder") == arranged.split()


@pytest.mark.parametrize("path", cli.COMMANDS)
def test_the_table_tells_what_the_docstring_tells(path: str) -> None:
    entry = cli.COMMANDS[path]
    function = entry.load()
    first_line = (inspect.getdoc(function) or "").splitlines()[0]
    assert entry.help == first_line
    parameters = inspect.signature(function).parameters.values()
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters)
    assert entry.positional is None or entry.positional in {p.name for p in parameters}


@pytest.mark.parametrize("path", cli.COMMANDS)
def test_every_parameter_is_explained(path: str) -> None:
    function = cli.COMMANDS[path].load()
    doc = inspect.getdoc(function) or ""
    section = doc.partition("Args:")[2].partition("\n\n")[0]
    for name in inspect.signature(function).parameters:
        assert f"\n    {name}: " in section, name


GOLDEN = Path(__file__).parents[1] / "golden" / "help"
MAKE = runpy.run_path(str(GOLDEN / "make.py"))


@pytest.mark.parametrize("name", MAKE["pages"]())
def test_help_is_as_it_was_reviewed(name: str) -> None:
    text = MAKE["page"](MAKE["pages"]()[name])
    expected = GOLDEN / f"{name.replace(' ', '_')}.txt"
    assert text == expected.read_text(encoding="utf-8"), (
        f"--help of {name} differs; if that is meant, run `make golden` and read the diff"
    )


@pytest.mark.parametrize("script", legacy.SCRIPTS)
def test_a_script_names_the_modern_command(script: str) -> None:
    text = " ".join((GOLDEN / f"{script}.txt").read_text(encoding="utf-8").split())
    assert f"Usage: {script}.py" in text
    assert f"sslprep {legacy.SCRIPTS[script].command}" in text


def test_every_script_has_its_file_and_no_logic() -> None:
    folder = Path(__file__).parents[2] / "extra_scripts"
    assert {p.stem for p in folder.iterdir() if p.suffix != ".pyc"} - {"__pycache__"} == set(
        legacy.SCRIPTS
    )
    assert len({p.read_text() for p in folder.glob("*.p*")}) == 1


@pytest.mark.parametrize(
    ("given", "translated"),
    [
        ("--output_dir d -- N 2000", "--output-dir d --n 2000"),
        ("-- N 2000 --M 9", "--n 2000 --m 9"),
        ("--N=2000 --method max_min", "--n=2000 --method max_min"),
    ],
)
def test_the_stray_space_is_understood(given: str, translated: str) -> None:
    tokens = legacy.translate(legacy.Script("x"), given.split())
    assert tokens == [*translated.split(), "--overwrite=true"]


def test_old_defaults_yield_to_what_is_given() -> None:
    script = legacy.Script("x", renames={"bgr2rgb": "to_rgb"}, defaults={"method": "max_avg"})
    assert legacy.translate(script, ["--bgr2rgb", "True"]) == [
        *("--to-rgb", "True", "--method=max_avg", "--overwrite=true")
    ]
    assert legacy.translate(script, ["--method", "code", "--overwrite", "0"]) == [
        *("--method", "code", "--overwrite", "0")
    ]


def test_exit_codes(run: Run, tmp_path: Path) -> None:
    assert run("verify", tmp_path).returncode == 1
    for wrong in (["verify"], ["verify", "--foldr", "x"], ["verfy"], ["data", "no"]):
        done = run(*wrong)
        assert done.returncode == 2, wrong
        assert done.stderr.startswith("sslprep: error: ")
        assert done.stderr.count("\n") == 1
    assert 'Did you mean "verify"' in run("verfy").stderr


def test_json_on_stdout_and_people_on_stderr(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.manifest.json").write_text("{")
    done = run("verify", tmp_path, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["manifests"] == 1
    assert "not a manifest" in done.stderr
    assert run("verify", tmp_path, "--json", "--quiet").stderr == ""


def test_the_version_is_the_packages(run: Run) -> None:
    from sslprep import __version__

    assert run("--version").stdout.strip() == __version__


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (MemoryError(), 1, "not enough memory"),
        (BrokenProcessPool("x"), 1, "a worker process was killed"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(28, "No space left on device", "/a"), 1, "/a: No space left"),
    ],
)
def test_what_the_machine_does_is_one_line_too(
    error: BaseException, code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> int:
        raise error

    with pytest.raises(SystemExit) as ended:
        cli._exit_with(fail)
    assert ended.value.code == code
    said = capsys.readouterr().err
    assert text in said
    assert said.count("\n") == 1


def test_ctrl_c_while_the_parser_is_built_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def impatient(*_: object, **__: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_app", impatient)
    with pytest.raises(SystemExit) as ended:
        cli.main(["verify", "."])
    assert ended.value.code == 130
    assert "interrupted" in capsys.readouterr().err
