import numpy as np
import pytest

from sslprep.color import decode, encode
from sslprep.color.gamut import grid_points
from sslprep.errors import ArrayError, ParameterError, SslprepError

POINTS = grid_points(10)


def test_shapes_of_any_number_of_axes() -> None:
    ab = np.zeros((2, 3, 4, 2))
    labels = encode(ab, POINTS)
    assert labels.shape == (2, 3, 4, 313)
    assert decode(labels, POINTS).shape == (2, 3, 4, 2)
    assert encode(np.zeros((0, 2)), POINTS).shape == (0, 313)
    assert encode([1.0, 2.0], POINTS).shape == (313,)


def test_equals_the_formula_in_plain_loops() -> None:
    ab = np.random.default_rng(0).uniform(-70, 70, (50, 2))
    labels = encode(ab, POINTS, neighbors=3, sigma=7)
    for colour, label in zip(ab, labels, strict=True):
        distances = sorted((float(np.hypot(*(p - colour))), i) for i, p in enumerate(POINTS))[:3]
        weights = {i: np.exp(-(d**2) / (2 * 7**2)) for d, i in distances}
        expected = np.zeros(len(POINTS))
        for i, weight in weights.items():
            expected[i] = weight / sum(weights.values())
        assert np.allclose(label, expected, atol=1e-12)


def test_many_rows_are_encoded_in_parts_alike() -> None:
    ab = np.random.default_rng(0).uniform(-70, 70, (20_000, 2))
    assert np.array_equal(encode(ab, POINTS[:30])[17_000:], encode(ab[17_000:], POINTS[:30]))


def test_a_far_colour_still_has_a_label() -> None:
    label = encode([127, 127], POINTS, sigma=0.5)
    assert label.sum() == pytest.approx(1)


def test_temperature_leads_from_the_mean_to_the_mode() -> None:
    probabilities = np.array([0.6, 0.4])
    points = [[0, 0], [10, 0]]
    assert decode(probabilities, points, temperature=1)[0] == pytest.approx(4)
    assert decode(probabilities, points)[0] == pytest.approx(
        10 * 0.4 ** (1 / 0.38) / (0.4 ** (1 / 0.38) + 0.6 ** (1 / 0.38))
    )
    assert decode(probabilities, points, temperature=1e-3)[0] == pytest.approx(0)


def test_rows_need_not_sum_to_1() -> None:
    labels = encode([[3.0, 4.0], [50.0, -20.0]], POINTS)
    assert np.allclose(decode(labels * 1e-200, POINTS), decode(labels, POINTS))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: encode(np.zeros(3), POINTS), ArrayError, r"ab has shape \(3,\)"),
        (lambda: encode(np.float64(1), POINTS), ArrayError, r"ab has shape \(\)"),
        (lambda: encode([np.nan, 0], POINTS), ArrayError, "within -128…128"),
        (lambda: encode([0, -128.1], POINTS), ArrayError, "within -128…128"),
        (lambda: encode(np.full((2, 2), 128, np.uint8), POINTS), ArrayError, "signed.*128 added"),
        (lambda: encode([[129.0, 131.0]], POINTS), ArrayError, "128 added to both"),
        (lambda: encode([0, 0], POINTS.T), ArrayError, r"points have shape \(2, 313\)"),
        (lambda: encode([0, 0], POINTS, neighbors=0), ParameterError, "neighbors is 0"),
        (lambda: encode([0, 0], POINTS, neighbors=314), ParameterError, "neighbors is 314"),
        (lambda: encode([0, 0], POINTS, sigma=0), ParameterError, "sigma is 0"),
        (lambda: encode([0, 0], POINTS, sigma=1e-200), ParameterError, "sigma is 1e-200"),
        (lambda: encode([0, 0], POINTS, sigma=1e200), ParameterError, r"sigma is 1e\+200"),
        (lambda: encode([0, 0], [[np.nan, 0]], neighbors=1), ArrayError, "points .*not finite"),
        (lambda: decode([1.0], [[np.inf, 0]]), ArrayError, "points .*not finite"),
        (lambda: decode(np.ones(3), POINTS), ArrayError, r"have shape \(3,\)"),
        (lambda: decode(np.zeros(313), POINTS), ArrayError, "all 0"),
        (lambda: decode(-np.ones(313), POINTS), ArrayError, "below 0"),
        (lambda: decode(np.ones(313), POINTS, temperature=0), ParameterError, "temperature is 0"),
        (lambda: decode(np.ones(313), POINTS, temperature=np.inf), ParameterError, "ture is inf"),
    ],
)
def test_refuses(call, error: type[SslprepError], text: str) -> None:
    with pytest.raises(error, match=text):
        call()
