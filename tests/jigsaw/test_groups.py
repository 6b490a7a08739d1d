import itertools

import numpy as np
import pytest

from sslprep.jigsaw import groups
from sslprep.jigsaw.groups import FIELDS, field


@pytest.mark.parametrize("order", FIELDS)
def test_field_tables_obey_the_axioms(order):
    f = field(order)
    every = np.arange(order)
    for table in (f.add, f.multiply):
        assert np.array_equal(table, table.T)
        left = table[table[every[:, None, None], every[None, :, None]], every]
        right = table[every[:, None, None], table[every[None, :, None], every]]
        assert np.array_equal(left, right)
    over_sums = f.multiply[every[:, None, None], f.add[every[None, :, None], every]]
    products = f.multiply[every[:, None, None], every[None, :, None]]
    assert np.array_equal(
        over_sums, f.add[products, f.multiply[every[:, None, None], every[None, None]]]
    )
    assert np.array_equal(f.add[0], every)
    assert np.array_equal(f.multiply[1], every)
    assert (f.multiply[every[1:], f.inverse[1:]] == 1).all()


@pytest.mark.parametrize("order", FIELDS)
def test_frobenius_is_an_automorphism(order):
    f = field(order)
    x = f.frobenius
    assert np.array_equal(x[f.add], f.add[np.ix_(x, x)])
    assert np.array_equal(x[f.multiply], f.multiply[np.ix_(x, x)])


@pytest.mark.parametrize(
    ("build", "given", "order"),
    [
        (groups.projective_line, (field(8),), 504),
        (groups.general_linear, (2, 3), 48),
        (groups.general_linear, (3, 2), 168),
        (groups.mathieu, (11,), 7920),
        (groups.mathieu, (12,), 95040),
        (groups.projective_line, (field(25),), 15600),
    ],
)
def test_groups_are_closed_and_of_the_right_order(build, given, order):
    group = build(*given)
    assert len(np.unique(group, axis=0)) == len(group) == order
    members = set(map(bytes, group))
    picked = np.random.default_rng(0).integers(order, size=(200, 2))
    assert all(bytes(group[a][group[b]]) in members for a, b in picked)


def test_generated_group_contains_its_generators_and_the_identity():
    generators = np.array([[1, 0, 2, 3], [1, 2, 3, 0]], dtype=np.uint8)
    group = groups.generated_by(generators)
    assert len(np.unique(group, axis=0)) == len(group) == 24
    assert group[0].tolist() == [0, 1, 2, 3]


def test_full_cycle_is_regular():
    powers = groups.powers_of_a_full_cycle(groups.projective_line(field(8)))
    assert (np.sort(powers, axis=0) == np.arange(9)[:, None]).all()
    assert (np.sort(powers, axis=1) == np.arange(9)).all()


def test_latin_square_is_found_among_the_rows():
    rows = groups.mathieu(12)
    square = groups.latin_square(rows)
    assert (np.sort(square, axis=0) == np.arange(12)[:, None]).all()
    assert set(map(bytes, square)) <= set(map(bytes, rows))
    with pytest.raises(ValueError, match="no Latin square"):
        groups.latin_square(np.array([[0, 1, 2], [0, 2, 1], [1, 0, 2]], dtype=np.uint8))


def test_evens_are_half_of_all():
    every = np.array(list(itertools.permutations(range(5))), dtype=np.uint8)
    even = groups.evens(every)
    assert len(even) == 60
    signs = [round(np.linalg.det(np.eye(5)[row])) for row in even.tolist()]
    assert signs == [1] * 60
