"""Make the expected colour files: `python tests/golden/color/make.py` writes them anew.

They pin the fair grid to the script of 2019 and the zhang grid to its rule. Priors that went
through `exp` are not here: their last bit is the machine's.
"""

import tempfile
from pathlib import Path

import numpy as np

from sslprep.color.generate import generate_color_bins

HERE = Path(__file__).parent


def make() -> dict[str, bytes]:
    """Return every expected file by name."""
    files = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "images").mkdir()
        for number in range(6):
            # Pictures by rule, in a format that every decoder reads alike.
            rows, columns = np.mgrid[:40, :60]
            picture = np.stack([rows * 6, columns * 4, rows * columns * (number + 1) % 256], -1)
            header = b"P6 60 40 255\n"
            data = header + picture.astype(np.uint8).tobytes()
            (folder / "images" / f"{number}.ppm").write_bytes(data[: 999 if number == 5 else None])
        for grid in ("fair", "zhang"):
            generate_color_bins(
                data_file=str(folder / "images"),
                output_path=folder / grid,
                type="val",
                dataset=grid,
                grid=grid,
                bin_size=(10, 32),
                max_unreadable=1.0,
                jobs=1,
            )
            for path in (folder / grid).glob("*.npy"):
                if not path.name.startswith(("ab_", "priors_val_zhang")):
                    files[path.name] = path.read_bytes()
    return files


if __name__ == "__main__":
    for name, data in make().items():
        (HERE / name).write_bytes(data)
