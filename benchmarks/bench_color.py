"""The colour pass against bare `cv2.imread`, against a plain loop, and over a million entries.

    python benchmarks/bench_color.py            2,000 photos, 1,000,000 entries
    python benchmarks/bench_color.py --quick    300 photos, 50,000 entries

The photos are distinct crops and flips, 500 × 375, JPEG quality 90, of the photographs that
scikit-image ships. "plain" is the loop that one writes first: imread, resize, Lab, floats,
`np.histogram2d` for each. The table measures whole processes; the remarks after it measure rates
within one process, in turns of 50 photos, so that what else the machine does hits all alike.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from measure import HEADER, command, compare, row, run

QUALITY = 90


def make_photos(folder: str, count: int) -> None:
    import cv2
    import skimage

    data = Path(skimage.__file__).parent / "data"
    photos = [cv2.imread(str(path)) for path in sorted(data.iterdir()) if path.suffix in _KINDS]
    photos = [p for p in photos if p is not None and _is_photo(p)]
    chance = np.random.default_rng(0)
    paths = []
    for number in range(count):
        photo = photos[number % len(photos)]
        top = int(chance.integers(0, photo.shape[0] - 375 + 1))
        left = int(chance.integers(0, photo.shape[1] - 500 + 1))
        crop = photo[top : top + 375, left : left + 500]
        crop = crop[:, ::-1] if chance.random() < 0.5 else crop
        path = f"{folder}/{number:05d}.jpg"
        cv2.imwrite(path, np.ascontiguousarray(crop), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        paths.append(path)
    np.save(f"{folder}/list.npy", np.array(paths))
    np.save(f"{folder}/list4.npy", np.array(paths * 4))


_KINDS = (".jpg", ".png")


def make_large(folder: str, count: int) -> None:
    """Make photos of 1000 × 750, which --fast-decode may shrink, of the largest photographs."""
    import cv2
    import skimage

    data = Path(skimage.__file__).parent / "data"
    photos = [cv2.imread(str(data / name)) for name in ("hubble_deep_field.jpg", "retina.jpg")]
    chance = np.random.default_rng(1)
    paths = []
    for number in range(count):
        photo = photos[number % 2]
        top = int(chance.integers(0, photo.shape[0] - 750 + 1))
        left = int(chance.integers(0, photo.shape[1] - 1000 + 1))
        path = f"{folder}/large{number:03d}.jpg"
        crop = np.ascontiguousarray(photo[top : top + 750, left : left + 1000])
        cv2.imwrite(path, crop, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        paths.append(path)
    np.save(f"{folder}/large.npy", np.array(paths))


def _is_photo(picture: np.ndarray) -> bool:
    large = picture.shape[0] >= 375 and picture.shape[1] >= 500
    coloured = np.ptp(picture.astype(int), axis=2).mean() > 3
    colours = len(np.unique(picture[::4, ::4].reshape(-1, 3), axis=0))
    return bool(large and coloured and colours > 999)


def make_million(folder: str, count: int) -> None:
    import cv2

    for number in range(8):
        picture = np.full((8, 8, 3), number * 30, np.uint8)
        cv2.imwrite(f"{folder}/tiny{number}.jpg", picture)
    names = np.array([f"{folder}/tiny{number}.jpg".ljust(60, " ").rstrip() for number in range(8)])
    for entries in (count // 10, count):
        np.save(f"{folder}/many{entries}.npy", names[np.arange(entries) % 8])


def bare_imread(folder: str) -> None:
    import cv2

    cv2.setNumThreads(1)
    for path in np.load(f"{folder}/list.npy").tolist():
        cv2.imread(path)


def plain(folder: str) -> None:
    import cv2

    cv2.setNumThreads(1)
    total = np.zeros((25, 25))
    for path in np.load(f"{folder}/list.npy").tolist():
        total += _plain_counts(cv2, path)
    points = np.argwhere(total) * 10 - 128
    np.save(f"{folder}/plain_points.npy", points)
    np.save(f"{folder}/plain_priors.npy", total[total > 0] / total.sum())


def _plain_counts(cv2, path: str) -> np.ndarray:
    edges = np.arange(-128, 128, 10)
    lab = cv2.cvtColor(cv2.resize(cv2.imread(path), (256, 256)), cv2.COLOR_BGR2LAB)
    lab = lab.astype(np.float64)
    a, b = lab[:, :, 1].ravel() - 128, lab[:, :, 2].ravel() - 128
    return np.histogram2d(a, b, bins=[edges, edges])[0]


def ours(folder: str, jobs: int, photos: str = "list", fast: int = 0) -> None:
    from sslprep.color.generate import generate_color_bins

    generate_color_bins(
        data_file=f"{folder}/{photos}.npy",
        output_path=Path(folder, f"out_{photos}{fast}"),
        grid="fair",
        fast_decode=bool(fast),
        jobs=jobs,
        overwrite=True,
        recount=True,
    )


def ours_many(folder: str, entries: int, jobs: int) -> None:
    from sslprep.color.histogram import color_histogram

    color_histogram(
        data_file=f"{folder}/many{entries}.npy",
        output_path=Path(folder, "many"),
        global_resize_img=8,
        jobs=jobs,
        overwrite=True,
        recount=True,
    )


def floor_many(folder: str, entries: int, part: int = 0, parts: int = 1) -> None:
    import cv2

    cv2.setNumThreads(1)
    for path in np.load(f"{folder}/many{entries}.npy")[part::parts]:
        cv2.imread(path)


def floor_many_halves(folder: str, entries: int) -> None:
    """Decode in two processes that share nothing: what the machine itself gains by a second."""
    calls = [command(floor_many, folder, entries, part, 2) for part in range(2)]
    for process in [subprocess.Popen(call) for call in calls]:
        if process.wait():
            sys.exit("a half ended with an error")


def rates(folder: str) -> None:
    """Print photos per second of each within one process, in turns."""
    import cv2

    from sslprep.color.counting import Settings, count_chunk
    from sslprep.color.images import Chunk

    cv2.setNumThreads(1)
    paths = np.load(f"{folder}/list.npy").tolist()

    def counted(part: list[str]) -> None:
        count_chunk(Settings(global_resize_img=256), Chunk(number=0, names=tuple(part)))

    cases = {
        "imread": lambda part: [cv2.imread(path) for path in part],
        "plain": lambda part: [_plain_counts(cv2, path) for path in part],
        "sslprep": counted,
    }
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    turn = deque(cases.items())
    for start in range(0, len(paths), 50):
        part = paths[start : start + 50]
        turn.rotate()  # the first to read a file pays for what the others find in the cache
        for name, case in turn:
            before = time.process_time()
            case(part)
            seconds[name].append((time.process_time() - before) / len(part))
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    for name, value in middle.items():
        share = middle["imread"] / value
        print(
            f"one core, {name}: {1 / value:.0f} photos/s, {share:.0%} of bare imread, "
            f"{middle['plain'] / value:.1f}× the plain loop"
        )


def parts(folder: str, entries: int) -> None:
    """Print what listing, chunking and saving cost for a list of many entries."""
    from sslprep.color.histogram import Pass
    from sslprep.color.images import open_images
    from sslprep.manifest import Inputs

    start = time.process_time()
    source = open_images(f"{folder}/many{entries}.npy", None, Inputs())
    opened = time.process_time()
    number = sum(1 for _ in source.chunks())
    listed = time.process_time()
    state = Pass("benchmark", np.arange(65536).reshape(1, 256, 256) ** 2)
    state.save(Path(folder, "s"))
    saved = time.process_time()
    print(
        f"{entries:,} entries: opening and hashing the list {opened - start:.2f} s, reading it "
        f"in {number:,} chunks {1e6 * (listed - opened) / entries:.2f} µs per entry, one save of "
        f"the state {1000 * (saved - listed):.0f} ms every 30 s"
    )


def deviation(folder: str, photos: str, size: str) -> None:
    """Print how far --fast-decode moves the priors of the photos, and what it takes."""
    from sslprep.color.counting import Settings, count_chunk
    from sslprep.color.images import Chunk
    from sslprep.color.priors import fair_bins

    chunk = Chunk(number=0, names=tuple(np.load(f"{folder}/{photos}.npy").tolist()[:500]))
    tables, seconds = [], []
    for fast in (False, True):
        before = time.process_time()
        found = count_chunk(Settings(fast_decode=fast), chunk)
        seconds.append(time.process_time() - before)
        tables.append(np.zeros(65536, np.int64))
        tables[-1][found.cells] = found.pixels

    def priors(table: np.ndarray) -> dict[tuple[int, ...], float]:
        bins = fair_bins(table.reshape(256, 256), 10)
        return dict(zip(map(tuple, bins.points.tolist()), bins.priors.tolist(), strict=True))

    exact, fast_ = tables
    moved = np.abs(exact - fast_).sum() / 2 / exact.sum()
    one, two = priors(exact), priors(fast_)
    far = sum(abs(one.get(p, 0) - two.get(p, 0)) for p in one.keys() | two.keys()) / 2
    print(
        f"--fast-decode, {size}: {seconds[1] / seconds[0]:.0%} of the CPU time; {moved:.2%} of the "
        f"pixels change their cell of the table, {far:.3%} their bin of size 10"
    )


def main() -> None:
    quick = "--quick" in sys.argv[1:]
    count, large, entries = (300, 20, 50_000) if quick else (2000, 200, 1_000_000)
    with tempfile.TemporaryDirectory() as place:
        run(command(make_photos, place, count))
        run(command(make_large, place, large))
        run(command(make_million, place, entries))
        # (task, how often, name of the baseline, programs)
        tasks = [
            (
                f"{count:,} photos",
                3,
                "plain",
                {
                    "sslprep, 1 process": command(ours, place, 1),
                    "bare cv2.imread": command(bare_imread, place),
                    "plain": command(plain, place),
                },
            ),
            (
                f"{4 * count:,} photos, each 4 times",
                3,
                None,
                {
                    "sslprep, 1 process": command(ours, place, 1, "list4"),
                    "sslprep, 2 processes": command(ours, place, 2, "list4"),
                },
            ),
            (
                f"{large} photos of 1000 × 750",
                3,
                "sslprep",
                {
                    "sslprep --fast-decode": command(ours, place, 1, "large", 1),
                    "sslprep": command(ours, place, 1, "large", 0),
                },
            ),
            (
                f"{entries // 10:,} tiny images",
                1,
                "bare cv2.imread",
                {
                    "sslprep, 1 process": command(ours_many, place, entries // 10, 1),
                    "bare cv2.imread": command(floor_many, place, entries // 10),
                },
            ),
            (
                f"{entries:,} tiny images",
                3,
                None,
                {
                    "sslprep, 1 process": command(ours_many, place, entries, 1),
                    "sslprep, 2 processes": command(ours_many, place, entries, 2),
                    "bare cv2.imread": command(floor_many, place, entries),
                    "bare cv2.imread, 2 processes": command(floor_many_halves, place, entries),
                },
            ),
        ]
        print(HEADER)
        for task, repeat, baseline, cases in tasks:
            medians = compare(cases, repeat)
            for name, measured in medians.items():
                base = medians[baseline] if baseline and name != baseline else None
                print(row(task, name, measured, base), flush=True)
        for call in (command(rates, place), command(parts, place, entries)):
            print(_output(call))
        for photos, size in (("list", "500 × 375"), ("large", "1000 × 750")):
            print(_output(command(deviation, place, photos, size)))
        points = np.load(f"{place}/plain_points.npy")
        ours_points = np.load(f"{place}/out_list0/pts_in_hull_train_imagenet_bin10.npy")
        same = np.array_equal(points, ours_points) and np.array_equal(
            np.load(f"{place}/plain_priors.npy"),
            np.load(f"{place}/out_list0/priors_train_imagenet_bin10.npy"),
        )
        print(f"files of the plain loop and of sslprep --grid fair are equal: {same}")


def _output(argv: list[str]) -> str:
    import subprocess

    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
