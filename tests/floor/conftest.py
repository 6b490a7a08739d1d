from typing import Any

import pytest

from sslprep.results import result


@result
class Spoken:
    rows: int

    def text(self) -> str:
        return f"{self.rows} rows"


@pytest.fixture
def spoken() -> Any:
    """A record that speaks for itself."""
    return Spoken(rows=3)
