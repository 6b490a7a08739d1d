"""Sizes of samples, and whether there is enough for them."""

from pathlib import Path

import numpy as np
import pytest

from sslprep.errors import NotEnoughError, ParameterError
from sslprep.lowshot.shots import (
    Population,
    Shot,
    possible_shots,
    shots_of_fractions,
    shots_of_k,
)

WHERE = Path("targets.npy")


def test_sizes_ascend_whatever_the_order_given() -> None:
    assert [shot.k for shot in shots_of_k((8, 1, 2))] == [1, 2, 8]
    assert [shot.fraction for shot in shots_of_fractions((0.1, 0.01))] == [0.01, 0.1]


@pytest.mark.parametrize(
    ("fraction", "positives", "count"),
    [
        (0.01, 1300, 13),
        (0.01, 732, 7),
        (0.01, 50, 1),  # one half goes up
        (0.01, 3, 1),  # at least one
        (0.1, 25, 3),  # 2.5 goes up, although 0.1 as a double times 25 could be either side
        (0.29, 100, 29),  # 0.29 * 100 is 28.999999999999996 in doubles
        (1.0, 7, 7),
    ],
)
def test_a_fraction_is_rounded_as_on_paper(fraction: float, positives: int, count: int) -> None:
    assert Shot(fraction=fraction).count(positives) == count


def test_fractions_and_small_k_have_different_keys() -> None:
    keys = {Shot(k=k).key for k in range(1, 10_000)}
    fractions = {Shot(fraction=f / 1000).key for f in range(1, 1001)}
    assert len(fractions) == 1000
    assert not keys & fractions


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((), "--k-values is empty; expected at least one number"),
        ((1, 0, -2), "--k-values holds 0, -2; expected 1 or more each"),
        ((4, 1, 4, 1), "--k-values repeats 1, 4; expected each number once"),
    ],
)
def test_refuses_k_that_cannot_be(values: tuple[int, ...], text: str) -> None:
    with pytest.raises(ParameterError) as error:
        shots_of_k(values)
    assert str(error.value) == text


@pytest.mark.parametrize("values", [(), (0.0,), (1.5,), (-0.1,), (float("nan"),), (0.1, 0.1)])
def test_refuses_fractions_that_cannot_be(values: tuple[float, ...]) -> None:
    with pytest.raises(ParameterError, match="--fraction"):
        shots_of_fractions(values)


def population(positives: list[int], negatives: list[int] | None = None) -> Population:
    return Population(
        ids=np.arange(len(positives)),
        positives=np.array(positives),
        names=("cat", "car", "cow")[: len(positives)],
        negatives=None if negatives is None else np.array(negatives),
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
    few = population(positives, negatives)
    assert few.largest_k == largest
    assert not few.allows(Shot(k=largest + 1))
    assert largest == 0 or few.allows(Shot(k=largest))


def test_the_error_names_k_class_and_limit_of_all_problems_together() -> None:
    with pytest.raises(NotEnoughError) as error:
        possible_shots(
            shots_of_k((1, 2, 4, 8)),
            population([40, 3, 9], [15, 60, 60]),
            WHERE,
            skip_impossible=False,
        )
    assert str(error.value) == (
        "targets.npy: class 1 (car) has 3 positives; k=4 needs 4, k=8 needs 8; "
        "class 0 (cat) has 15 negatives; k=8 needs 16. "
        "The largest k that works for every class is 3. "
        "Lower --k-values, or pass --skip-impossible to leave out k = 4, 8."
    )


def test_skipping_says_what_is_left_out() -> None:
    shots, warnings = possible_shots(
        shots_of_k((1, 2, 4)), population([4, 3]), WHERE, skip_impossible=True
    )
    assert [shot.k for shot in shots] == [1, 2]
    assert warnings == (
        "targets.npy: k = 4 left out: class 1 (car) has 3 images; k=4 needs 4. "
        "The largest k that works for every class is 3.",
    )


def test_skipping_everything_is_an_error_all_the_same() -> None:
    with pytest.raises(NotEnoughError, match=r"works for every class is 3. Lower --k-values\.$"):
        possible_shots(shots_of_k((4,)), population([4, 3]), WHERE, skip_impossible=True)
    with pytest.raises(NotEnoughError, match="No k works: leave such classes out"):
        possible_shots(shots_of_k((1,)), population([4, 0]), WHERE, skip_impossible=True)


def test_many_short_classes_are_counted_not_listed() -> None:
    with pytest.raises(NotEnoughError, match="and 192 more like this"):
        possible_shots(
            shots_of_k((9,)),
            Population(ids=np.arange(200), positives=np.full(200, 2)),
            WHERE,
            skip_impossible=False,
        )
