"""The draw, against a generator written from the paper and the module's own description."""

from collections.abc import Iterator
from itertools import count, islice

import numpy as np
import pytest

from sslprep.errors import ParameterError
from sslprep.lowshot.draw import NEGATIVES, POSITIVES, Draws

WORD = (1 << 64) - 1


def philox(key: tuple[int, int], counter: tuple[int, int, int, int]) -> list[int]:
    """Philox4x64-10 in plain integers (Salmon et al. 2011, section 3.3 and table 2)."""
    k0, k1 = key
    c0, c1, c2, c3 = counter
    for _ in range(10):
        left, right = 0xD2E7470EE14C6C93 * c0, 0xCA5A826395121157 * c2
        c0, c1, c2, c3 = (right >> 64) ^ c1 ^ k0, right & WORD, (left >> 64) ^ c3 ^ k1, left & WORD
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & WORD, (k1 + 0xBB67AE8584CAA73B) & WORD
    return [c0, c1, c2, c3]


def rebuilt(seed: int, sample: int, k: int, label: int, role: int, m: int) -> Iterator[int]:
    """The positions of one stream, by the three steps of `sslprep.lowshot.draw`."""
    seen = set()
    for block in count(1):
        for word in philox((seed, sample), (block, k, label, role)):
            if word < m * ((1 << 64) // m) and word % m not in seen:
                seen.add(word % m)
                yield word % m


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 7), (5, 5), (96, 96), (40, 5011), (1824, 4900)])
@pytest.mark.parametrize(
    ("seed", "sample", "k", "label", "role"),
    [(0, 1, 1, 0, POSITIVES), (7, 3, 96, 204, NEGATIVES), (2**64 - 1, 2, 2**62, 2**63 - 1, 1)],
)
def test_another_lab_can_rebuild_every_draw(
    n: int, m: int, seed: int, sample: int, k: int, label: int, role: int
) -> None:
    ours = Draws(seed).positions(n, of=m, sample=sample, k=k, label=label, role=role)
    assert ours.tolist() == list(islice(rebuilt(seed, sample, k, label, role, m), n))


def test_a_word_that_would_bias_the_remainder_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fixed:
        def __init__(self, **_: object) -> None:
            self.words = iter([WORD, 5, 2**63, 2**63 + 1, 1, 0, 0, 0])

        def random_raw(self, ask: int) -> object:
            return np.array(list(islice(self.words, ask)), np.uint64)

    monkeypatch.setattr(np.random, "Philox", Fixed)
    # 2^64 mod 3 is 1: just the largest word is dropped, though it would give position 0.
    drawn = Draws(0).positions(3, of=3, sample=1, k=1, label=0)
    assert drawn.tolist() == [2, 0, 1]


def test_a_stream_does_not_depend_on_what_was_drawn_before() -> None:
    draws = Draws(3)
    first = draws.positions(3, of=100, sample=1, k=4, label=2)
    draws.positions(50, of=60, sample=2, k=8, label=9, role=NEGATIVES)
    assert draws.positions(3, of=100, sample=1, k=4, label=2).tolist() == first.tolist()


def test_nested_leaves_k_out_of_the_key() -> None:
    draws = Draws(0, nested=True)
    small = draws.positions(4, of=50, sample=1, k=4, label=0).tolist()
    assert draws.positions(8, of=50, sample=1, k=8, label=0).tolist()[:4] == small


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_refuses_a_seed_that_is_no_64_bit_number(seed: int) -> None:
    with pytest.raises(ParameterError, match=r"--seed is -?\d+; expected 0 to 2\^64 - 1"):
        Draws(seed)


def test_more_than_there_are_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="cannot draw 4 of 3"):
        Draws(0).positions(4, of=3, sample=1, k=4, label=0)
