"""The claims of spec section 2 about low-shot samples, as laws on random label sets."""

import tempfile
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from sslprep.lowshot.draw import Draws, draw_sample
from sslprep.lowshot.labels import classes_of
from sslprep.lowshot.multilabel import draw_multilabel_samples, sample_matrix
from sslprep.lowshot.sizes import Size, largest_k, needs
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
    drawn = draw_sample(classes_of(labels), draws, Size(k=k), sample)
    return sample_matrix(labels.shape, drawn)  # type: ignore[arg-type]


def rows_of(labels: NDArray[np.int64], draws: Draws, size: Size, sample: int) -> NDArray[np.int64]:
    return np.concatenate(draw_sample(classes_of(labels), draws, size, sample).positives)


class TestMultiLabel:
    """ "for every class independently k positives … are 1 and (C-1)·k negatives … are 0, drawn
    without replacement", all else -1."""

    @given(label_matrices(), seeds, samples, st.booleans())
    def test_counts_and_labels(self, labels: Matrix, seed: int, sample: int, nested: bool) -> None:
        largest = largest_k(classes_of(labels))
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
        largest = largest_k(classes_of(labels))
        draws = Draws(seed, nested=True)
        matrices = [sample_of(labels, draws, k, sample) for k in range(1, largest + 1)]
        for small, large in pairwise(matrices):
            assert (large[small != -1] == small[small != -1]).all()

    @settings(max_examples=20)
    @given(label_matrices(), seeds, st.booleans())
    def test_verify_proves_what_was_written(self, labels: Matrix, seed: int, nested: bool) -> None:
        # Else they would be taken for the marks of VOC's own lists.
        assume((labels == 0).sum() >= (labels == 1).sum())
        largest = largest_k(classes_of(labels))
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
        largest = largest_k(classes_of(labels))
        for size in (Size(k=largest), Size(k=1), Size(fraction=0.3)):
            rows = rows_of(labels, Draws(seed, nested=nested), size, sample)
            ids, has = np.unique(labels, return_counts=True)
            counts = [size.count(count) for count in has.tolist()]
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
        for size in (Size(k=1), Size(fraction=0.5)):
            before = rows_of(labels, Draws(seed), size, sample)
            after = rows_of(more, Draws(seed), size, sample)
            assert before.tolist() == [row for row in after.tolist() if row < len(labels)]

    @given(class_ids, seeds, samples)
    def test_nested_samples_grow(self, labels: NDArray[np.int64], seed: int, sample: int) -> None:
        draws = Draws(seed, nested=True)
        sets = [
            set(rows_of(labels, draws, Size(k=k), sample).tolist())
            for k in range(1, largest_k(classes_of(labels)) + 1)
        ]
        for small, large in pairwise(sets):
            assert small < large

    @given(class_ids, seeds, samples, st.floats(0.01, 1), st.booleans())
    def test_balanced_fractions_have_equal_classes(
        self, labels: NDArray[np.int64], seed: int, sample: int, share: float, nested: bool
    ) -> None:
        """ "the same number for every class, as SimCLR's lists: 12 or 13"."""
        size = Size(fraction=share, balanced=True)
        classes = classes_of(labels)
        assume(needs(size, classes) <= largest_k(classes))
        drawn = labels[rows_of(labels, Draws(seed, nested=nested), size, sample)]
        ids, counts = np.unique(drawn, return_counts=True)
        assert ids.tolist() == classes.ids
        assert counts.max() - counts.min() <= 1
        assert len(drawn) == max(len(ids), int(Fraction(repr(share)) * len(labels)))


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
