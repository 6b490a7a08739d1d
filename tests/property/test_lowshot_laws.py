"""The claims of spec section 2 about low-shot samples, as laws on random label sets."""

import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from sslprep.lowshot import multilabel, singlelabel
from sslprep.lowshot.draw import Draws
from sslprep.lowshot.labels import rows_by_class
from sslprep.lowshot.multilabel import draw_multilabel_samples
from sslprep.lowshot.sizes import ClassCounts, Size
from sslprep.lowshot.verify import verify_samples

Matrix = NDArray[np.int8]

seeds = st.integers(0, 2**64 - 1)
samples = st.integers(1, 2**63)
class_ids = hnp.arrays(np.int64, st.integers(1, 60), elements=st.integers(0, 5))
huge_ids = hnp.arrays(np.int64, st.integers(1, 30), elements=st.integers(0, 2**63 - 1))


@st.composite
def label_matrices(draw: st.DrawFn) -> Matrix:
    """(rows, classes) of 1, 0 and -1 in which every class allows at least k = 1."""
    classes = draw(st.integers(1, 5))
    rows = draw(st.integers(0, 30))
    body = draw(hnp.arrays(np.int8, (rows, classes), elements=st.sampled_from([1, 0, -1])))
    least = np.concatenate([np.ones((1, classes)), np.zeros((classes - 1, classes))])
    order = draw(st.permutations(range(rows + classes)))
    return np.concatenate([body, least]).astype(np.int8)[list(order)]


def sample_of(labels: Matrix, draws: Draws, k: int, sample: int) -> NDArray[np.int32]:
    drawn = multilabel.draw_rows(*rows_by_class(labels), draws, Size(k=k), sample)
    return multilabel.sample_matrix(labels.shape, *drawn)  # type: ignore[arg-type]


class TestMultiLabel:
    """ "for every class independently k positives … are 1 and (C-1)·k negatives … are 0, drawn
    without replacement", all else -1."""

    @given(label_matrices(), seeds, samples, st.booleans())
    def test_counts_and_labels(self, labels: Matrix, seed: int, sample: int, nested: bool) -> None:
        largest = multilabel.count_rows(*rows_by_class(labels)).largest_k
        assert largest >= 1
        for k in {1, largest}:
            matrix = sample_of(labels, Draws(seed, nested=nested), k, sample)
            others = labels.shape[1] - 1
            assert ((matrix == 1).sum(axis=0) == k).all()
            assert ((matrix == 0).sum(axis=0) == others * k).all()
            assert ((matrix == labels) | (matrix == -1)).all()
            assert matrix.dtype == np.int32
            assert matrix.shape == labels.shape

    @given(label_matrices(), seeds, samples)
    def test_another_class_changes_no_draw(self, labels: Matrix, seed: int, sample: int) -> None:
        """ "adding a k, a sample or a class changes no other draw": positives stay, and negatives,
        of which there must be more, keep those that were drawn."""
        more = np.column_stack([labels, labels[:, -1]])
        more = np.concatenate([more, np.zeros((labels.shape[1] + 1, more.shape[1]), np.int8)])
        wider = np.concatenate([labels, np.zeros((labels.shape[1] + 1, labels.shape[1]), np.int8)])
        draws = Draws(seed)
        before, after = sample_of(wider, draws, 1, sample), sample_of(more, draws, 1, sample)
        kept = after[:, :-1]
        assert (kept[before != -1] == before[before != -1]).all()
        assert ((kept == 1) == (before == 1)).all()

    @given(label_matrices(), seeds, samples)
    def test_a_class_depends_on_its_own_labels_alone(
        self, labels: Matrix, seed: int, sample: int
    ) -> None:
        changed = labels.copy()
        changed[:, 1:] = changed[::-1, 1:]
        before = sample_of(labels, Draws(seed), 1, sample)
        after = sample_of(changed, Draws(seed), 1, sample)
        assert (before[:, 0] == after[:, 0]).all()

    @given(label_matrices(), seeds, samples)
    def test_nested_samples_grow(self, labels: Matrix, seed: int, sample: int) -> None:
        """ "makes the k=1 set a subset of the k=2 set, and so on, within one sample"."""
        largest = multilabel.count_rows(*rows_by_class(labels)).largest_k
        draws = Draws(seed, nested=True)
        matrices = [sample_of(labels, draws, k, sample) for k in range(1, largest + 1)]
        for small, large in pairwise(matrices):
            assert (large[small != -1] == small[small != -1]).all()

    @settings(max_examples=20)
    @given(label_matrices(), seeds, st.booleans())
    def test_verify_proves_what_was_written(self, labels: Matrix, seed: int, nested: bool) -> None:
        # Else they would be taken for the marks of VOC's own lists.
        assume((labels == 0).sum() >= (labels == 1).sum())
        largest = multilabel.count_rows(*rows_by_class(labels)).largest_k
        with tempfile.TemporaryDirectory() as folder:
            targets = Path(folder) / "t.npy"
            np.save(targets, labels)
            draw_multilabel_samples(
                targets=targets,
                output=Path(folder) / "out",
                k_values=tuple({1, largest}),
                num_samples=2,
                seed=seed,
                nested=nested,
            )
            result = verify_samples(Path(folder))
            assert result.ok
            assert all(sample.redrawn for sample in result.samples)


class TestSingleLabel:
    """ "k images of every class … Rows grouped by class id, ascending"."""

    @given(class_ids | huge_ids, seeds, samples, st.booleans())
    def test_counts_and_order(
        self, labels: NDArray[np.int64], seed: int, sample: int, nested: bool
    ) -> None:
        groups = singlelabel.group_rows(labels)
        population = ClassCounts(ids=groups.ids, positives=np.diff(groups.starts))
        for shot in (Size(k=population.largest_k), Size(k=1), Size(fraction=0.3)):
            rows, counts = singlelabel.draw_rows(groups, Draws(seed, nested=nested), shot, sample)
            ids, sizes = np.unique(labels, return_counts=True)
            assert counts.tolist() == [shot.count(size) for size in sizes.tolist()]
            assert labels[rows].tolist() == np.repeat(ids, counts).tolist()
            assert len(set(rows.tolist())) == len(rows)
            for id_ in ids:
                of_class = rows[labels[rows] == id_]
                assert (np.diff(of_class) > 0).all()

    @given(class_ids, seeds, samples)
    def test_another_class_changes_no_draw(
        self, labels: NDArray[np.int64], seed: int, sample: int
    ) -> None:
        more = np.concatenate([labels, [2, 100, 7, 100]])
        more = more[more != 2] if 2 not in labels else np.append(labels, [100, 7, 100])
        for shot in (Size(k=1), Size(fraction=0.5)):
            draws = Draws(seed)
            before, _ = singlelabel.draw_rows(singlelabel.group_rows(labels), draws, shot, sample)
            after, _ = singlelabel.draw_rows(singlelabel.group_rows(more), draws, shot, sample)
            assert before.tolist() == [row for row in after.tolist() if row < len(labels)]

    @given(class_ids, seeds, samples)
    def test_nested_samples_grow(self, labels: NDArray[np.int64], seed: int, sample: int) -> None:
        groups = singlelabel.group_rows(labels)
        largest = int(np.diff(groups.starts).min())
        draws = Draws(seed, nested=True)
        sets = [
            set(singlelabel.draw_rows(groups, draws, Size(k=k), sample)[0].tolist())
            for k in range(1, largest + 1)
        ]
        for small, large in pairwise(sets):
            assert small < large


class TestDraw:
    """A draw is a pure function of (seed, sample, k, class)."""

    @given(st.data(), st.integers(1, 300), seeds, samples, st.integers(0, 2**62))
    def test_a_shorter_draw_is_a_prefix(
        self, data: st.DataObject, of: int, seed: int, sample: int, label: int
    ) -> None:
        draws = Draws(seed)
        whole = draws.positions(of, of=of, sample=sample, k=1, label=label)
        assert sorted(whole.tolist()) == list(range(of))
        count = data.draw(st.integers(0, of))
        part = draws.positions(count, of=of, sample=sample, k=1, label=label)
        assert part.tolist() == whole[:count].tolist()
