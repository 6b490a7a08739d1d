"""The Python of the docs page runs, the rebuilding of a draw in plain integers among it."""

import doctest
from pathlib import Path


def test_the_page_holds() -> None:
    page = Path(__file__).parents[2] / "docs" / "lowshot.md"
    result = doctest.testfile(str(page), module_relative=False)
    assert result.attempted > 10
    assert result.failed == 0
