"""The public names."""

import inspect
import subprocess
import sys

import pytest

import sslprep
from sslprep.cli import COMMANDS


@pytest.mark.parametrize("name", sorted(sslprep._PLACES))
def test_every_public_name_is_a_function(name: str) -> None:
    assert inspect.isfunction(getattr(sslprep, name))
    assert name in dir(sslprep)


def test_every_command_is_a_public_function() -> None:
    public = {f"sslprep.{place}" for place in sslprep._PLACES.values()}
    commands = {c.target for name, c in COMMANDS.items() if name not in ("color plot", "demo")}
    assert commands <= public


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = sslprep.nothing  # type: ignore[attr-defined]


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sslprep, sys; print([m for m in ('numpy', 'cv2', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
