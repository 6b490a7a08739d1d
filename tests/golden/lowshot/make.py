"""Make the expected low-shot files: `python tests/golden/lowshot/make.py` writes them anew.

They pin the draw. A change here means that published samples can no longer be drawn again:
the generator's name in `sslprep.lowshot.draw` must then change too.
"""

import json
import tempfile
from pathlib import Path

import numpy as np

from sslprep.lowshot.draw import Draws
from sslprep.lowshot.multilabel import draw_multilabel_samples
from sslprep.lowshot.singlelabel import draw_singlelabel_samples

HERE = Path(__file__).parent
CLASSES = ("cat", "cow")


def make() -> dict[str, bytes]:
    """Return every expected file by name."""
    files = {"draws.json": _draws()}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        # Labels by rule, not by NumPy's generators, which may change.
        rows = {f"{i:02d}": {"cat": int(i % 3 == 0), "cow": (i * i) % 7 % 3 - 1} for i in range(24)}
        (folder / "t.json").write_text(json.dumps(rows))
        draw_multilabel_samples(
            targets=folder / "t.json",
            output=folder / "voc",
            k_values=(3,),
            num_samples=1,
        )
        np.save(folder / "train_labels.npy", [i * i % 5 for i in range(40)])
        np.save(folder / "train_images.npy", [f"{i:02d}.jpg" for i in range(40)])
        draw_singlelabel_samples(
            images=folder / "train_images.npy",
            targets=folder / "train_labels.npy",
            output=folder / "places",
            k_values=(2,),
            num_samples=1,
            nested=True,
            seed=2019,
        )
        draw_singlelabel_samples(
            images=folder / "train_images.npy",
            targets=folder / "train_labels.npy",
            output=folder / "balanced",
            fraction=(0.2,),
            balanced=True,
            num_samples=3,
        )
        for part in ("voc", "places", "balanced"):
            for path in (folder / part).iterdir():
                if not path.name.endswith(".manifest.json"):
                    files[path.name] = path.read_bytes()
    return files


def _draws() -> bytes:
    """Positions of some streams: seed, sample, k, class, role, how many there are, which come."""
    lines = []
    for key in ((0, 1, 1, 0, 0), (0, 2, 4, 19, 1), (2019, 5, 96, 204, 0), (2**64 - 1, 1, 8, 7, 1)):
        seed, sample, k, label, role = key
        for count, of in ((3, 3), (8, 5011), (8, 2**40)):
            drawn = Draws(seed).positions(count, of=of, sample=sample, k=k, label=label, role=role)
            lines.append(json.dumps([*key, of, drawn.tolist()]))
    return ("[\n" + ",\n".join(lines) + "\n]\n").encode()


if __name__ == "__main__":
    for name, data in make().items():
        (HERE / name).write_bytes(data)
