"""Laws of section 4 of the specification, one class for each."""

import tarfile
import tempfile
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sslprep.color import decode, encode
from sslprep.color.counting import Settings, count_chunk
from sslprep.color.gamut import grid_points
from sslprep.color.images import Chunk, members, open_images
from sslprep.color.priors import fair_bins, nearest_counts, rebalancing_weights, smooth_priors
from sslprep.manifest import Inputs

EXAMPLES = settings(max_examples=25, deadline=None, derandomize=True)

values = st.tuples(st.integers(-128, 127), st.integers(-128, 127), st.integers(1, 2**40))
tables = st.lists(values, min_size=1, max_size=40)


def table_of(entries: list[tuple[int, int, int]]) -> np.ndarray:
    table = np.zeros((256, 256), np.int64)
    for a, b, count in entries:
        table[a + 128, b + 128] += count
    return table


class TestOneTable:
    """ "bins and priors of every bin size follow … bit for bit what a floating histogram gives" """

    @EXAMPLES
    @given(tables, st.integers(1, 255))
    def test_fair_bins_are_histogram2d(
        self, entries: list[tuple[int, int, int]], size: int
    ) -> None:
        table, edges = table_of(entries), np.arange(-128, 128, size)
        a, b = np.nonzero(table)
        counts = np.histogram2d(a - 128, b - 128, [edges, edges], weights=table[a, b])[0]
        if not counts.any():
            return
        rows, columns = np.nonzero(counts)
        bins = fair_bins(table, size)
        assert np.array_equal(bins.points, np.stack([edges[rows], edges[columns]], -1))
        assert np.array_equal(bins.priors, counts[rows, columns] / counts.sum())
        assert bins.counts.sum() + bins.outside == table.sum()

    @EXAMPLES
    @given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
    def test_counts_are_of_opencvs_bytes(self, picture: np.ndarray) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/a.png"
            cv2.imwrite(path, picture)
            found = count_chunk(Settings(global_resize_img=16), Chunk(number=0, names=(path,)))
        table = np.zeros(65536, np.int64)
        table[found.cells] = found.pixels
        lab = cv2.cvtColor(cv2.resize(picture, (16, 16)), cv2.COLOR_BGR2LAB)
        expected = np.zeros((256, 256), np.int64)
        np.add.at(expected, (lab[..., 1], lab[..., 2]), 1)
        assert np.array_equal(table.reshape(256, 256), expected)

    @EXAMPLES
    @given(tables, tables)
    def test_tables_are_additive(
        self, one: list[tuple[int, int, int]], two: list[tuple[int, int, int]]
    ) -> None:
        points = grid_points(20)
        both = nearest_counts(table_of(one + two), points)
        parts = nearest_counts(table_of(one), points) + nearest_counts(table_of(two), points)
        assert np.allclose(both, parts, rtol=1e-12)  # thirds of ties are rounded


point_sets = st.sets(
    st.tuples(st.integers(-110, 110), st.integers(-110, 110)), min_size=1, max_size=30
).map(lambda points: np.array(sorted(points)))


class TestPriors:
    """ "no prior is 0"; "scaled to Σ p̃ w = 1" """

    @EXAMPLES
    @given(tables, point_sets, st.sampled_from([0.0, 0.01, 1.0, 5.0, 100.0]))
    def test_positive_and_sum_to_1_on_any_points(
        self, entries: list[tuple[int, int, int]], points: np.ndarray, sigma: float
    ) -> None:
        counts = nearest_counts(table_of(entries), points)
        assert np.isclose(counts.sum(), table_of(entries).sum(), rtol=1e-12)  # nothing is dropped
        priors = smooth_priors(counts, points, sigma)
        assert (priors > 0).all()
        assert abs(priors.sum() - 1) < 1e-12
        weights = rebalancing_weights(priors)
        assert abs((priors * weights).sum() - 1) < 1e-12
        order = np.argsort(priors, kind="stable")
        assert (np.diff(weights[order]) <= 1e-12).all()  # the rarer, the heavier


class TestEncoding:
    """ "decode(encode(ab)) returns ab within the grid's resolution" """

    @EXAMPLES
    @given(st.sampled_from([5, 10, 20]), st.integers(0, 10**6), st.floats(0, 1), st.floats(0, 1))
    def test_there_and_back(self, size: int, pick: int, along_a: float, along_b: float) -> None:
        points = grid_points(size)
        near = points[pick % len(points)]
        ab = near + size * (np.array([along_a, along_b]) - 0.5)
        # The Gaussian scales with the grid: 5 at the paper's size of 10.
        back = decode(encode(ab, points, sigma=size / 2), points)
        assert np.abs(back - ab).max() <= size

    @EXAMPLES
    @given(hnp.arrays(np.float64, (7, 2), elements=st.floats(-128, 128)), st.integers(1, 30))
    def test_labels_are_distributions(self, ab: np.ndarray, neighbors: int) -> None:
        labels = encode(ab, grid_points(20), neighbors=neighbors)
        assert (labels >= 0).all()
        assert np.allclose(labels.sum(-1), 1)
        assert ((labels > 0).sum(-1) <= neighbors).all()


names = st.text(
    st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="/\\"), min_size=1
)


class TestSources:
    """What is listed is read, in order, each once."""

    @EXAMPLES
    @given(st.lists(names | st.just(""), max_size=150), st.sampled_from(["\n", "\r\n"]))
    def test_text_lists(self, lines: list[str], ending: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "list.txt"
            path.write_bytes(ending.join(lines).encode())
            wanted = [line.removeprefix("\ufeff") for line in lines if line.strip("\ufeff")]
            read = []
            if wanted:
                source = open_images(str(path), None, Inputs())
                read = [name for chunk in source.chunks() for name in chunk.names]
                assert source.total == len(read)
        assert read == wanted

    @EXAMPLES
    @given(
        st.lists(st.tuples(names, st.binary(max_size=1500)), max_size=12),
        st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
        st.integers(1, 40),
    )
    def test_members_of_a_shard(
        self, files: list[tuple[str, bytes]], layout: int, repeat: int
    ) -> None:
        file = BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=layout) as shard:
            for name, data in files:
                info = tarfile.TarInfo("/".join([name] * repeat))
                info.size = len(data)
                shard.addfile(info, BytesIO(data))
        found = []
        starts = []
        for archive, member in members(file):
            found.append((member.name, archive.extractfile(member).read()))
            starts.append(member.offset)
        assert found == [("/".join([name] * repeat), data) for name, data in files]
        for begin, end in zip(starts, [*starts[1:], None][: len(starts)], strict=True):
            assert len(list(members(file, begin, end))) == 1
