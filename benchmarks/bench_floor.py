"""How long it takes until a command begins: against Python with NumPy alone."""

from __future__ import annotations

import sys

from measure import compare, row

NUMPY = "start Python, import NumPy"
CASES = {
    NUMPY: [sys.executable, "-c", "import numpy"],
    "sslprep --help": [sys.executable, "-m", "sslprep", "--help"],
    "sslprep data voc": [sys.executable, "-c", "import sslprep.data.voc, sslprep.cli"],
    "sslprep data voc --help": [sys.executable, "-m", "sslprep", "data", "voc", "--help"],
    "import sslprep.parameters": [sys.executable, "-c", "import sslprep.parameters"],
    "import msgspec": [sys.executable, "-c", "import msgspec"],
}


def main() -> None:
    measured = compare(CASES, 3 if "--quick" in sys.argv else 15)
    for name, one in measured.items():
        print(row("start-up", name, one, measured[NUMPY]))


if __name__ == "__main__":
    main()
