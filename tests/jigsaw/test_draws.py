import numpy as np
import pytest

from sslprep.jigsaw.draws import Draws


def test_a_seed_gives_the_same_draws_for_ever():
    # Written down: neither a new NumPy nor a new sslprep may change them.
    draws = Draws(2019)
    assert draws.permutation(9).tolist() == [5, 3, 2, 8, 0, 7, 1, 4, 6]
    assert [draws.below(n) for n in (1, 2, 10, 1000, 362_880, 1 << 32)] == [
        0,
        0,
        1,
        430,
        40825,
        1960661398,
    ]


@pytest.mark.parametrize("seed", [0, 7, 2**70])
def test_draws_are_those_of_the_generator_of_numpy_2(seed):
    # Not a promise of NumPy's, but a second way to the numbers, while it holds.
    draws, rng = Draws(seed), np.random.default_rng(seed)
    for n in (2, 3, 9, 16, 25, 5000):
        assert np.array_equal(draws.permutation(n), rng.permutation(n))
        assert draws.below(n) == rng.integers(n)


def test_rare_second_tries_keep_the_draws_even():
    draws = Draws(0)
    n = 3 << 30  # a quarter of all words is refused
    found = np.array([draws.below(n) for _ in range(4000)])
    shares = np.bincount(found % 3, minlength=3) / 4000  # 0 would come twice as often
    assert (abs(shares - 1 / 3) < 0.05).all()
