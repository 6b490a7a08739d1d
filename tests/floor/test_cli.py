"""The command line: what is the same for every command."""

import inspect
import json
import os
import runpy
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, Literal

import pytest

from sslprep import cli, completion, legacy, parameters
from sslprep.errors import ArgumentError

Run = Callable[..., CompletedProcess[str]]


@parameters.command(renamed={"where": "folder"})
def command(
    folder: Path,
    output: Path | None = None,
    *,
    k_values: tuple[int, ...] = (1,),
    format: tuple[Literal["npy", "csv"], ...] = ("npy",),
    files: tuple[Path, ...] = (),
    names: dict[str, Path] | None = None,
    nested: bool = False,
    towers: bool | None = None,
    n: parameters.Positive | None = None,
    first: str | None = None,
) -> None: ...


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("f --k-values 1,2,4", {"k_values": (1, 2, 4)}),
        ("f --k_values 1 2 4", {"k_values": (1, 2, 4)}),
        ("f --k-values [1,2,4]", {"k_values": (1, 2, 4)}),
        ("f --k-values=1,2 --k-values 4", {"k_values": (1, 2, 4)}),
        ("f --K_VALUES (1,2)", {"k_values": (1, 2)}),
        ("f --k-values 1.5", {"k_values": (1.5,)}),
        ("f --k-values -1 2", {"k_values": (-1, 2)}),
        ("f --format csv,npy --n 3", {"format": ("csv", "npy"), "n": 3}),
        ("f --nested True", {"nested": True}),
        ("--nested 0 f --n 3", {"nested": False, "n": 3}),
        ("--nested f --n 3", {"nested": True, "n": 3}),
        ("f --no-nested", {"nested": False}),
        ("f --towers=False", {"towers": False}),
        ("f --N 2000", {"n": 2000}),
        ("f --N none", {"n": None}),
        ("f --first=--n", {"first": "--n"}),
        ("--n 1 f", {"n": 1}),
        ("--folder f --n 1", {"n": 1}),
        ("--n 1 -- f --out", {"n": 1, "output": "--out"}),
        ("f - --n 1", {"n": 1, "output": "-"}),
        ("--WHERE f --n 1", {"n": 1}),
        ("f out --n 1", {"n": 1, "output": "out"}),
        ("f --files a,b", {"files": ("a", "b")}),
        ("f --names a=x,b=y --names c=z", {"names": {"a": "x", "b": "y", "c": "z"}}),
    ],
)
def test_flags_as_people_write_them(given: str, expected: dict[str, object]) -> None:
    assert cli.parse("x", command, given.split()) == {"folder": "f", **expected}


def test_a_comma_in_a_name_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a,b").touch()
    assert cli.parse("x", command, ["f", "--files", "a,b", "c,d"])["files"] == ("a,b", "c", "d")


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("", "missing --folder. For example: x FOLDER."),
        ("f --n", "--n: expected one argument"),
        ("f --nn 3", "unknown option --nn. Did you mean --n?"),
        ("f out more", "'more' is one argument too many. See x --help."),
        ("f --nested=perhaps", "--nested is 'perhaps'; expected True or False"),
        ("f --nested=", "--nested is ''; expected True or False"),
        ("f -N 3", "unknown option -N. Did you mean --n?"),
        ("f --no-nestd", "unknown option --no-nestd. Did you mean --no-nested?"),
        ("f --patches 9", "unknown option --patches. See x --help."),
    ],
)
def test_a_wrong_command_line_is_one_line(given: str, problem: str) -> None:
    with pytest.raises(ArgumentError) as refused:
        cli.parse("x", command, given.split())
    assert str(refused.value) == problem


def test_an_empty_argument_is_no_blank_one(run: Run) -> None:
    done = run("verify", "")
    assert done.stderr == "sslprep: error: an argument is empty. Is a shell variable empty?\n"


def test_a_blank_behind_a_backslash_is_said(run_script: Run) -> None:
    done = run_script("create_voc_low_shot_samples.py", "--targets_data_file", "t.npy", " ")
    assert done.returncode == 2
    assert "an argument is blank. A blank behind the backslash at a line's end" in done.stderr


@pytest.mark.parametrize("path", cli.COMMANDS)
def test_the_table_tells_what_the_docstring_tells(path: str) -> None:
    first_line = (inspect.getdoc(cli.load(path)) or "").splitlines()[0]
    assert cli.first_line(path) == first_line


@pytest.mark.parametrize("path", cli.COMMANDS)
def test_every_parameter_is_explained(path: str) -> None:
    function = cli.load(path)
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
    assert f"usage: {script}.py" in text
    assert f"sslprep {legacy.SCRIPTS[script][0]}" in text


def test_every_script_has_its_file_and_no_logic() -> None:
    folder = Path(__file__).parents[2] / "extra_scripts"
    assert {p.stem for p in folder.iterdir() if p.suffix != ".pyc"} - {"__pycache__"} == set(
        legacy.SCRIPTS
    )
    assert len({p.read_text() for p in folder.glob("*.p*")}) == 1


def test_the_stray_space_is_understood() -> None:
    assert legacy.joined(["--output_dir", "d", "--", "N", "2000"]) == [
        *("--output_dir", "d", "--N", "2000")
    ]


def test_old_defaults_yield_to_what_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, object] = {}

    @parameters.command()
    def draw(*, skip_impossible: bool = False, overwrite: bool = False) -> None:
        seen.update(skip_impossible=skip_impossible, overwrite=overwrite)

    monkeypatch.setattr(cli, "load", lambda _: draw)
    monkeypatch.setattr(cli, "text_of", lambda *a, **b: "")
    for given, expected in [
        ([], (True, True)),
        (["--no-skip_impossible"], (False, True)),
        (["--skip_impossible", "False", "--overwrite=0"], (False, False)),
    ]:
        with pytest.raises(SystemExit):
            legacy.run("create_places_low_shot_samples.py", given)
        assert tuple(seen.values()) == expected


def test_a_script_under_another_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        legacy.run("my_voc.py", [])
    assert ended.value.code == 2
    assert "my_voc.py is no script of 2019; expected one of create_coco" in capsys.readouterr().err


def test_exit_codes(run: Run, tmp_path: Path) -> None:
    assert run("verify", tmp_path).returncode == 1
    for wrong in (["verify"], ["verify", "--foldr", "x"], ["verfy"], ["data", "no"]):
        done = run(*wrong)
        assert done.returncode == 2, wrong
        assert done.stderr.startswith("sslprep: error: ")
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("verfy", "unknown command verfy. Did you mean verify?"),
        ("data coko", "unknown command data coko. Did you mean data coco?"),
        ("voc VOC2007 out", "unknown command voc. Did you mean data voc or lowshot voc?"),
        ("data imagenet in out", "unknown command data imagenet. See sslprep data --help."),
        ("lowshot draw", "unknown command lowshot draw. See sslprep lowshot --help."),
        ("convrt", "unknown command convrt. Did you mean convert?"),
        ("xyz", "unknown command xyz. See sslprep --help."),
        ("--verison", "unknown option --verison. See sslprep --help."),
    ],
)
def test_what_a_wrong_command_may_mean(
    line: str, remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main(line.split())
    assert capsys.readouterr().err == f"sslprep: error: {remedy}\n"


def test_json_alone_on_stdout(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.manifest.json").write_text("{")
    done = run("verify", tmp_path, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["manifests"] == 1
    assert run("verify", tmp_path, "--json", "--quiet").stderr == ""


def test_errors_are_json_too(run: Run, tmp_path: Path) -> None:
    done = run("--json", "verify", tmp_path / "nothing")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert (found["kind"], found["problem"], found["exit_code"]) == (
        *("ManifestError", "no such folder"),
        1,
    )
    assert found["error"] in done.stderr
    assert json.loads(run("verfy", "--json").stdout)["exit_code"] == 2


def test_what_was_asked_for_can_be_piped(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.manifest.json").write_text("{")
    done = run("verify", tmp_path)
    assert "ends in the middle" in done.stdout
    assert "not as written: 0 files compared with 1 manifests, 1 problems" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("words", "out", "err"),
    [
        (["verify"], "3 rows\n", ""),
        (["verify", "-v"], "3 rows\n", ""),
        (["demo"], "", "3 rows\n"),
        (["demo", "-q"], "", ""),
        (["verify", "--json"], '{\n  "rows": 3\n}\n', "3 rows\n"),
    ],
)
def test_results_go_where_they_belong(
    words: list[str],
    out: str,
    err: str,
    spoken: Any,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    monkeypatch.setattr(cli, "load", lambda _: parameters.command()(lambda: spoken))
    with pytest.raises(SystemExit):
        cli.main(words)
    assert capfdbinary.readouterr() == (out.encode(), err.encode())


@pytest.mark.parametrize("words", [["-q"], ["--quiet"], ["--quiet=true"], ["-v"]])
def test_common_flags_stand_anywhere(run: Run, tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "a.manifest.json").write_text("{")
    codes = {
        run(*words, "verify", tmp_path).returncode,
        run("verify", *words, tmp_path).returncode,
        run("verify", tmp_path, *words).returncode,
    }
    assert codes == {1}


def test_help_and_version_are_words_too(capsys: pytest.CaptureFixture[str]) -> None:
    def printed(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            cli.main(words)
        assert ended.value.code == 0
        return capsys.readouterr().out

    assert printed("help", "verify") == printed("verify", "-h") == printed("-h", "verify")
    assert printed("help") == printed("--help") == printed()
    assert printed("version") == printed("--version")


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("sslprep lowshot v", ["verify", "voc"]),
        ("sslprep re", ["report"]),
        ("sslprep lowshot voc --k", ["--k-values"]),
        ("sslprep verify there --", ["--folder", "--help", "--json", "--quiet", "--verbose"]),
        ("sslprep completion ", ["bash", "fish", "zsh"]),
        ("sslprep nothing ", []),
        ("sslprep data  v", ["voc"]),
    ],
)
def test_completion_names_commands_and_flags(line: str, found: list[str]) -> None:
    assert completion.words(line) == found


def test_a_shell_asks_for_completion(run: Run) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "sslprep completion words" in run("completion", shell).stdout
    ask = f"{run('completion', 'bash').stdout}complete -p sslprep"
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
    assert "-C 'sslprep completion words' sslprep" in done.stdout
    asked = {**os.environ, "COMP_LINE": "sslprep data v"}
    assert run("completion", "words", "sslprep", "v", "data", env=asked).stdout == "voc\n"
    assert run("completion", "words").stdout.startswith("color\ncompletion\n")
    assert run("completion", "ksh").returncode == run("completion").returncode == 2


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_output_that_is_not_utf_8(run: Run, tmp_path: Path, encoding: str) -> None:
    (tmp_path / "é.manifest.json").write_text("{")
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    for flags in ([], ["--json"]):
        done = run("verify", tmp_path, *flags, env=environment, encoding="utf-8", errors="replace")
        assert done.returncode == 1
        assert "Traceback" not in done.stderr


def test_a_path_of_bytes_that_are_no_text(run: Run, tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path / "od") + b"\xff"
    os.makedirs(folder)
    with open(folder + b"/a.manifest.json", "w") as file:
        file.write("{")
    for flags in ([], ["--json"]):
        done = subprocess.run(
            [sys.executable, "-m", "sslprep", "verify", folder, *flags],
            capture_output=True,
            check=False,
        )
        assert done.returncode == 1
        assert b"Traceback" not in done.stderr
        assert b"ends in the middle" in done.stdout


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    command = f"{sys.executable} -m sslprep help data voc; echo $? >&2"
    done = subprocess.run(
        ["bash", "-c", f"({command}) | head -1"], capture_output=True, text=True, check=False
    )
    assert done.stderr == "0\n"
    for words in ("version", "verify --json /nothing", "help data"):
        closed = subprocess.run(
            ["bash", "-c", f"{sys.executable} -m sslprep {words} >&- 2>err"],
            cwd=tmp_path,
            check=False,
        )
        assert closed.returncode == (1 if "verify" in words else 0)
        assert "Traceback" not in (tmp_path / "err").read_text()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such device")
@pytest.mark.parametrize("words", ["version", "verify . --json", "verify nowhere --json"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_an_output_is_no_traceback(
    tmp_path: Path, words: str, unbuffered: str
) -> None:
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    for full in (">/dev/full", "2>/dev/full", ">/dev/full 2>/dev/full"):
        ask = f"{sys.executable} -m sslprep {words} {full}"
        done = subprocess.run(["sh", "-c", ask], cwd=tmp_path, capture_output=True, env=environment)
        assert done.returncode == (0 if (words, full) == ("version", "2>/dev/full") else 1)
        assert done.stderr.count(b"\n") <= 1


def test_the_version_is_the_packages(run: Run) -> None:
    from sslprep import __version__

    assert run("--version").stdout.strip() == __version__


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (MemoryError(), 1, "not enough memory"),
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
        cli.exit_with(fail)
    assert ended.value.code == code
    said = capsys.readouterr().err
    assert text in said
    assert said.count("\n") == 1


def run_interrupted(module: str, steps: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a Python that does `steps` when `module` is imported."""
    code = (
        "import os, signal, sys; from sslprep.__main__ import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Watching:\n"
        "    def find_spec(self, name, *rest):\n"
        f"        if name == {module!r}:\n"
        f"{textwrap.indent(steps, ' ' * 12)}\n"
        "sys.meta_path.insert(0, Watching()); main()\n"
    )
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)


def test_ctrl_c_while_the_program_loads_is_no_traceback() -> None:
    done = run_interrupted("sslprep.cli", "raise KeyboardInterrupt")
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.parametrize("module", ["sslprep.cli", "sslprep.color.bins"])
def test_ctrl_c_that_an_import_swallows_comes_behind_it(module: str) -> None:
    """C code that is stopped half-way in its import goes on, and crashes later."""
    swallow = "try: os.kill(os.getpid(), signal.SIGINT)\nexcept KeyboardInterrupt: pass"
    done = run_interrupted(module, swallow, "color", "bins", "--help")
    assert (done.returncode, done.stdout) == (130, "")


def test_ctrl_c_says_what_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt("what was counted is kept")

    with pytest.raises(SystemExit) as ended:
        cli.exit_with(interrupted)
    assert ended.value.code == 130
    assert "interrupted; what was counted is kept" in capsys.readouterr().err
