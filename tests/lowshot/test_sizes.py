"""Sizes of samples, and whether there are enough images for them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from sslprep.errors import NotEnoughError, ParameterError
from sslprep.lowshot.labels import Classes
from sslprep.lowshot.sizes import (
    Size,
    largest_k,
    needs,
    possible_sizes,
    sizes_asked,
)

WHERE = Path("targets.npy")


def ks(k_values: Sequence[int]) -> tuple[Size, ...]:
    return sizes_asked(k_values, None, balanced=False)


def test_sizes_ascend_whatever_the_order_given() -> None:
    assert [size.k for size in ks((8, 1, 2))] == [1, 2, 8]
    asked = sizes_asked(None, (0.1, 0.01), balanced=False)
    assert [size.fraction for size in asked] == [0.01, 0.1]


@pytest.mark.parametrize(
    ("fraction", "positives", "count"),
    [
        (0.01, 1300, 13),
        (0.01, 732, 7),
        (0.01, 50, 1),  # one half goes up
        (0.01, 3, 1),  # at least one
        (0.1, 25, 3),  # 2.5 goes up, although 0.1 as a double times 25 could be either side
        (0.29, 100, 29),  # 0.29 * 100 is 28.999999999999996 in doubles
        (0.3, 5, 2),  # 1.5 goes up, although the double called 0.3 is a little less
        (1.0, 7, 7),
    ],
)
def test_a_fraction_is_rounded_as_on_paper(fraction: float, positives: int, count: int) -> None:
    assert Size(fraction=fraction).count(positives) == count


def test_fractions_and_small_k_have_different_keys() -> None:
    keys = {Size(k=k).key for k in range(1, 10_000)}
    fractions = {Size(fraction=f / 1000).key for f in range(1, 1001)}
    assert len(fractions) == 1000
    assert not keys & fractions


def test_refuses_a_size_asked_for_twice() -> None:
    with pytest.raises(ParameterError) as error:
        sizes_asked((4, 1, 4, 1), None, balanced=False)
    assert str(error.value) == "--k-values repeats 1, 4; expected each number once"
    with pytest.raises(ParameterError, match="--fraction repeats"):
        sizes_asked(None, (0.1, 0.1), balanced=False)


def test_refuses_sizes_that_exclude_each_other() -> None:
    with pytest.raises(ParameterError, match="--k-values and --fraction exclude each other"):
        sizes_asked((1,), (0.1,), balanced=False)
    with pytest.raises(ParameterError, match="--balanced is given without --fraction"):
        sizes_asked((1,), None, balanced=True)


@pytest.mark.parametrize(
    ("fraction", "rows", "classes", "each"),
    [
        (0.01, 1_281_167, 1000, (12, 811)),  # SimCLR's 1percent.txt: 12,811 images
        (0.1, 1_281_167, 1000, (128, 116)),  # and 10percent.txt: 128,116
        (0.29, 100, 10, (2, 9)),  # 0.29 * 100 is 28.999999999999996 in doubles
        (0.01, 100, 10, (1, 0)),  # at least one
    ],
)
def test_a_balanced_fraction_is_shared_out_among_classes(
    fraction: float, rows: int, classes: int, each: tuple[int, int]
) -> None:
    assert Size(fraction=fraction, balanced=True).each(rows, classes) == each


def classes_with(positives: list[int], negatives: list[int] | None = None) -> Classes:
    return Classes(
        rows=sum(positives),
        ids=[*range(len(positives))],
        positives=[np.arange(n) for n in positives],
        names=("cat", "car", "cow")[: len(positives)] if len(positives) < 4 else (),
        negatives=None if negatives is None else [np.arange(n) for n in negatives],
    )


@pytest.mark.parametrize(
    ("positives", "negatives", "largest"),
    [
        ([5, 3, 9], None, 3),
        ([5, 3, 9], [100, 100, 100], 3),
        ([5, 3, 9], [100, 100, 5], 2),  # two others: 5 negatives allow k = 2
        ([5], [0], 5),  # one class alone needs no negatives
        ([5, 0], None, 0),
    ],
)
def test_largest_k_is_what_every_class_allows(
    positives: list[int], negatives: list[int] | None, largest: int
) -> None:
    assert largest_k(classes_with(positives, negatives)) == largest


def test_a_balanced_fraction_needs_as_many_of_every_class() -> None:
    classes = classes_with([10, 20, 70])
    assert needs(Size(fraction=0.06, balanced=True), classes) == 2
    assert needs(Size(fraction=0.07, balanced=True), classes) == 3
    assert needs(Size(fraction=0.9), classes) == 0


def test_the_error_names_k_class_and_limit_of_all_problems_together() -> None:
    with pytest.raises(NotEnoughError) as error:
        possible_sizes(
            ks((1, 2, 4, 8)),
            classes_with([40, 3, 9], [15, 60, 60]),
            WHERE,
            False,
        )
    assert str(error.value) == (
        "targets.npy: class 1 (car) has 3 positives; k=4 needs 4, k=8 needs 8; "
        "class 0 (cat) has 15 negatives; k=8 needs 16. "
        "The largest k that works for every class is 3. "
        "Lower --k-values, or pass --skip-impossible to leave out k = 4, 8."
    )


def test_skipping_says_what_is_left_out() -> None:
    sizes, warnings = possible_sizes(ks((1, 2, 4)), classes_with([4, 3]), WHERE, True)
    assert [size.k for size in sizes] == [1, 2]
    assert warnings == (
        "targets.npy: k = 4 left out: class 1 (car) has 3 images; k=4 needs 4. "
        "The largest k that works for every class is 3.",
    )


def test_skipping_everything_is_an_error_all_the_same() -> None:
    with pytest.raises(NotEnoughError, match=r"works for every class is 3. Lower --k-values\.$"):
        possible_sizes(ks((4,)), classes_with([4, 3]), WHERE, True)
    with pytest.raises(NotEnoughError, match="No k works: leave such classes out"):
        possible_sizes(ks((1,)), classes_with([4, 0]), WHERE, True)


def test_many_short_classes_are_counted_not_listed() -> None:
    with pytest.raises(NotEnoughError, match=r"; and 192 more. The largest"):
        possible_sizes(ks((9,)), classes_with([2] * 200), WHERE, False)


def test_many_short_k_are_counted_not_listed() -> None:
    """`--k-values $(seq 1 3000)` printed all of them, for every class."""
    with pytest.raises(NotEnoughError) as error:
        possible_sizes(ks(range(1, 3001)), classes_with([2, 40]), WHERE, False)
    assert "k=10 needs 10, and 2,990 more; class 1 (car) has 40" in str(error.value)
    assert str(error.value).endswith("leave out k = 3, 4, 5, 6, 7, 8, 9, 10, and 2,990 more.")
