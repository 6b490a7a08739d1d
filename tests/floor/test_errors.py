"""The one form of every error text."""

import pickle
import runpy
from pathlib import Path

import pytest

from sslprep.errors import ArrayError, SslprepError

GOLDEN = Path(__file__).parents[1] / "golden" / "errors"


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({}, "is bad"),
        ({"where": "a.npy"}, "a.npy: is bad"),
        ({"expected": "good"}, "is bad; expected good"),
        ({"remedy": "Mend it."}, "is bad. Mend it."),
        (
            {"where": Path("a"), "expected": "good.", "remedy": "Mend it."},
            "a: is bad; expected good. Mend it.",
        ),
        ({"where": "a\nb\udcff"}, r"a\nb\udcff: is bad"),
    ],
)
def test_the_form(parts: dict, text: str) -> None:
    error = ArrayError("is bad", **parts)
    assert str(error) == text
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back)) == (ArrayError, text)


def test_two_errors_are_two_whatever_they_say() -> None:
    assert len({SslprepError("is bad"), SslprepError("is bad")}) == 2


def test_parts_are_named() -> None:
    with pytest.raises(TypeError):
        SslprepError("is bad", "a.txt")  # type: ignore[misc]


def test_a_place_can_be_put_before() -> None:
    error = SslprepError("is bad", where="line 3", expected="good", remedy="Mend it.").at("a.txt")
    assert str(error) == "a.txt, line 3: is bad; expected good. Mend it."
    assert str(SslprepError("is bad").at("a.txt")) == "a.txt: is bad"


def test_every_error_text_is_as_it_was_read() -> None:
    made = runpy.run_path(str(GOLDEN / "make.py"))["texts"]()
    assert made == (GOLDEN / "errors.txt").read_text(encoding="utf-8"), (
        "an error text differs; if that is meant, run `make golden` and read the diff"
    )
