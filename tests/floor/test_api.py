"""The public names."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sslprep
from sslprep.cli import COMMANDS
from sslprep.errors import SslprepError


@pytest.mark.parametrize("name", sorted(sslprep.__all__))
def test_every_public_name_is_one_of_ours(name: str) -> None:
    found = getattr(sslprep, name)
    assert inspect.isfunction(found) or found is SslprepError
    assert name in dir(sslprep)


def test_every_command_is_a_public_function() -> None:
    assert {place.rpartition(".")[2] for place in COMMANDS.values()} <= {*sslprep.__all__}


@pytest.mark.parametrize("place", sorted(set(COMMANDS.values())))
def test_functions_bear_their_public_names(place: str) -> None:
    found = getattr(sslprep, place.rpartition(".")[2])
    assert f"{found.__module__}.{found.__name__}" == f"sslprep.{place}"


def test_type_checkers_are_told_the_same_names() -> None:
    told = re.findall(r"import \w+ as (\w+)", Path(sslprep.__file__).read_text())
    assert sorted(told) == sorted(sslprep.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = sslprep.nothing  # type: ignore[attr-defined]


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sslprep, sys; print([m for m in ('numpy', 'cv2', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_nothing_else_is_shown() -> None:
    assert set(dir(sslprep)) == {"__version__", *sslprep.__all__}


def test_windows_is_told_in_one_sentence() -> None:
    code = "import os; os.name = 'nt'; import sslprep"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = done.stderr.splitlines()[-1]
    assert last == "ImportError: sslprep needs Linux or macOS; on Windows it runs in WSL."
