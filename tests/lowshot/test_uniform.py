"""The draw is uniform and independent, and these tests would see it if it were not.

Every statistic is computed for our draw over many seeds, and for draws with a planted fault of
the kind that it is there to find. Seeds are fixed: a test passes always or never.
"""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from sslprep.lowshot.draw import NEGATIVES, Draws

M, N = 12, 5
SEEDS = 3000
Draw = Callable[[int], NDArray[np.int64]]


def ours(*, sample: int = 1, k: int = N, label: int = 0, role: int = 0, shift: int = 0) -> Draw:
    return lambda seed: Draws(seed + shift).positions(
        N, of=M, sample=sample, k=k, label=label, role=role
    )


def included(draw: Draw) -> NDArray[np.bool_]:
    """Which of M rows each seed draws: (seeds, M)."""
    table = np.zeros((SEEDS, M), bool)
    for seed in range(SEEDS):
        table[seed, draw(seed)] = True
    return table


def uniform_p(table: NDArray[np.bool_]) -> float:
    """Chance of inclusion counts so uneven. Drawing without replacement ties the counts
    together: their covariance is p(1-p)·M/(M-1)·(I - 1/M), hence the factor."""
    count, share = len(table), table.sum() / table.size
    squares = (table.sum(axis=0) - count * share) ** 2 / (count * share * (1 - share))
    return float(stats.chi2.sf(squares.sum() * (M - 1) / M, M - 1))


def independent_p(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Chance of overlaps so unlike those of two independent draws (hypergeometric)."""
    overlaps = np.bincount((one & other).sum(axis=1), minlength=N + 1)
    expected = stats.hypergeom(M, N, N).pmf(np.arange(N + 1)) * len(one)
    few = expected < 5
    observed = np.append(overlaps[~few], overlaps[few].sum())
    expected = np.append(expected[~few], expected[few].sum())
    return float(stats.chisquare(observed, expected).pvalue)


def first_p(draw: Draw) -> float:
    """Chance of first positions so unevenly spread: the order is part of the draw (nesting)."""
    firsts = np.bincount([draw(seed)[0] for seed in range(SEEDS)], minlength=M)
    return float(stats.chisquare(firsts).pvalue)


BASE = included(ours())

OTHERS = {
    "another sample": ours(sample=2),
    "another k": ours(k=N + 1),
    "another class": ours(label=1),
    "negatives": ours(role=NEGATIVES),
    "the next seed": ours(shift=1),
    "sample and seed swapped": lambda seed: ours(sample=seed)(1) if seed else ours(sample=9)(0),
}


@pytest.mark.parametrize("draw", [ours(), *OTHERS.values()], ids=["one stream", *OTHERS])
def test_every_row_is_drawn_equally_often(draw: Draw) -> None:
    assert uniform_p(included(draw)) > 1e-3


def test_every_row_comes_first_equally_often() -> None:
    assert first_p(ours()) > 1e-3


@pytest.mark.parametrize("draw", OTHERS.values(), ids=OTHERS)
def test_draws_of_other_streams_are_independent(draw: Draw) -> None:
    assert independent_p(BASE, included(draw)) > 1e-3


def test_samples_of_one_seed_differ_in_every_pair() -> None:
    samples = [ours(sample=s)(0) for s in range(1, 6)]
    big = [Draws(0).positions(5, of=10**6, sample=s, k=5, label=0).tolist() for s in range(1, 6)]
    assert len({tuple(x) for x in big}) == len(samples)


# The same statistics on faulty draws: each must be seen.


def short_words(seed: int) -> NDArray[np.int64]:
    """The remainder of 5-bit words, without rejection: rows 0 … 7 come half as often again."""
    words = np.random.default_rng(seed).integers(0, 32, 500) % M
    return np.array(list(dict.fromkeys(words.tolist()))[:N])


def with_replacement(seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, M, N)


def off_by_one(seed: int) -> NDArray[np.int64]:
    """Never draws the last row."""
    return np.random.default_rng(seed).permutation(M - 1)[:N]


@pytest.mark.parametrize("draw", [short_words, off_by_one])
def test_a_biased_draw_would_be_seen(draw: Draw) -> None:
    assert uniform_p(included(draw)) < 1e-9


def test_repeats_would_be_seen() -> None:
    sizes = included(with_replacement).sum(axis=1)
    assert sizes.min() < N
    assert BASE.sum(axis=1).tolist() == [N] * SEEDS


def test_sorted_positions_would_be_seen() -> None:
    assert first_p(lambda seed: np.sort(ours()(seed))) < 1e-9


@pytest.mark.parametrize(
    "draw",
    [
        ours(),  # the sample number left out of the key
        lambda seed: (ours()(seed) + 1) % M,  # the same draw, shifted
        lambda seed: Draws(seed, nested=True).positions(N, of=M, sample=1, k=2, label=0),
    ],
    ids=["same stream", "shifted", "nested"],
)
def test_a_dependent_draw_would_be_seen(draw: Draw) -> None:
    nested = included(
        lambda seed: Draws(seed, nested=True).positions(N, of=M, sample=1, k=N, label=0)
    )
    seen = min(independent_p(BASE, included(draw)), independent_p(nested, included(draw)))
    assert seen < 1e-9


def test_half_dependent_draws_would_be_seen() -> None:
    other = included(ours(sample=2))
    other[::10] = BASE[::10]  # one seed in ten draws the same again
    assert independent_p(BASE, other) < 1e-9
