"""How long it takes until a command begins: against Python with NumPy alone."""

from __future__ import annotations

import compileall
import sys
import tempfile
from pathlib import Path

import sslprep
from measure import SSLPREP, compare, row

NUMPY = "start Python, import NumPy"


def cases(folder: Path) -> dict[str, list[str]]:
    """Make a VOC folder of two classes and 16 images, and name the commands."""
    lists = folder / "VOC2007" / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for split, first in (("train", 1), ("val", 9)):
        for sign, name in ((1, "cat"), (-1, "dog")):
            lines = (f"{i:06} {sign if i % 2 else -sign:2}\n" for i in range(first, first + 8))
            (lists / f"{name}_{split}.txt").write_text("".join(lines))
    images = folder / "VOC2007" / "JPEGImages"
    images.mkdir()
    for i in range(1, 17):
        (images / f"{i:06}.jpg").touch()
    run = ["data", "voc", str(folder / "VOC2007"), str(folder / "out"), "--overwrite", "--quiet"]
    return {
        NUMPY: [sys.executable, "-c", "import numpy"],
        "sslprep --help": [*SSLPREP, "--help"],
        "sslprep data voc, arguments missing": [
            "sh",
            "-c",
            f"{' '.join(SSLPREP)} data voc || true",
        ],
        "sslprep data voc, 16 images": [*SSLPREP, *run],
        "sslprep data voc --help": [*SSLPREP, "data", "voc", "--help"],
        "import msgspec": [sys.executable, "-c", "import msgspec"],
    }


def main() -> None:
    # As pip does: where PYTHONDONTWRITEBYTECODE is set, every start would compile the package.
    compileall.compile_dir(Path(sslprep.__file__).parent, quiet=1)
    with tempfile.TemporaryDirectory() as folder:
        measured = compare(cases(Path(folder)), 3 if "--quick" in sys.argv else 25)
    for name, one in measured.items():
        print(row("start-up", name, one, measured[NUMPY]))


if __name__ == "__main__":
    main()
