"""Linear SVMs with the squared hinge loss, solved exactly, many classes at once.

For rows x, labels y in {1, -1} and a cost c, with cᵢ = 2c for positives and c for others, minimise

    ½(‖w‖² + b²) + Σ cᵢ·max(0, 1 - yᵢ(w·xᵢ + b))²

which is LIBLINEAR's L2-regularised L2-loss problem with a constant feature of 1 as the bias (Fan
et al. 2008, JMLR 9), and scikit-learn's `LinearSVC(class_weight={1: 2, -1: 1})`. It is solved by
Newton's method on the Gram matrix K (Chapelle 2007, Neural Computation 19). With S the rows
inside the margin, `(K[S, S] + diag(1 / 2cᵢ)) β = y[S]` gives the scores `f = K[:, S] β`, and S
becomes the rows where `yᵢfᵢ < 1`, until it stays. There is one optimum, so neither chance nor the
start matters.

Large systems of all classes are solved side by side by conjugate gradients, so that nearly all
the work is products of matrices. They run in float32 and are put right in float64: each step
starts from the exact remainder, and the last one is exact to `_EXACT`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

POSITIVE_WEIGHT = 2.0
"""A positive's loss counts twice (the benchmark's class_weight)."""
_EXACT = 1e-11
"""Largest remainder of the optimum's equations, in units of the margin."""
_DIRECT = 300
"""Systems of at most so many rows are solved one by one, by elimination."""
_SIDE_BY_SIDE = 32
"""Machines of one product of matrices, where there are so many costs and classes."""
_ROUGH_STEPS = 25
"""After so many steps (a few are usual) all systems are solved by elimination."""
_MOST_STEPS = 200
_FAILED = 0.03
_ROUGHLY = 1e-3
"""How far conjugate gradients reduce a remainder before it is computed anew."""


def normalise(features: NDArray[Any]) -> Floats:
    """Return rows as float64, each divided by (its length + 1e-5), as the benchmark does.

    Args:
        features: (images, dims).
    """
    rows: Floats = features.astype(np.float64)
    rows /= np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None] + 1e-5
    return rows


def gram_matrix(rows: Floats, others: Floats) -> Floats:
    """Return all products of rows with others, the constant feature of the bias among them.

    Args:
        rows: (n, dims).
        others: (m, dims).

    Returns:
        (n, m).
    """
    products: Floats = rows @ others.T
    products += 1.0
    return products


class Trained(NamedTuple):
    """Machines at one cost, both (rows, machines).

    Attributes:
        coefficients: `gram_matrix(test, train) @ coefficients` are scores of test rows.
        scores: Scores of the rows of the Gram matrix, those that took no part too.
    """

    coefficients: Floats
    scores: Floats


class Trainer:
    """Trains machines that share a Gram matrix.

    Args:
        gram: `gram_matrix` of the training rows with themselves (rows, rows).
        signs: For each machine 1 (positive), -1 (negative) or 0 (a row that takes no part):
            (rows, machines).

    Example:
        >>> rows = np.array([[1.0], [-1.0]])
        >>> gram = gram_matrix(rows, rows)
        >>> (trained,) = Trainer(gram, np.array([[1], [-1]])).train([1.0])
        >>> trained.scores.ravel().round(4).tolist()
        [0.8889, -0.8]
    """

    def __init__(self, gram: Floats, signs: NDArray[Any]) -> None:
        self._gram = gram
        self._rough = gram.astype(np.float32)
        self._signs = signs.astype(np.float64)
        self._weights = np.where(signs > 0, POSITIVE_WEIGHT, 1.0)

    def train(self, costs: Sequence[float]) -> list[Trained]:
        """Train at every cost, from the smallest up; each starts where a smaller one ended."""
        result: dict[float, Trained] = {}
        last = Trained(np.zeros_like(self._signs), np.zeros_like(self._signs))
        machines = self._signs.shape[1]
        together = max(1, _SIDE_BY_SIDE // machines)
        ascending = sorted(set(costs))
        for start in range(0, len(ascending), together):
            group = ascending[start : start + together]
            weights = np.hstack([2 * cost * self._weights for cost in group])
            signs, beta, scores = (np.tile(array, len(group)) for array in (self._signs, *last))
            whole = self._minimise(signs, weights, beta, scores)
            for place, cost in enumerate(group):
                part = slice(place * machines, (place + 1) * machines)
                last = result[cost] = Trained(whole.coefficients[:, part], whole.scores[:, part])
        return [result[cost] for cost in costs]

    def _minimise(
        self, all_signs: Floats, all_weights: Floats, beta: Floats, scores: Floats
    ) -> Trained:
        """Go to the optimum from the coefficients and scores of a start."""
        left = np.arange(beta.shape[1])  # the machines that are not there yet
        for count in range(_MOST_STEPS):
            signs, weights = all_signs[:, left], all_weights[:, left]
            b, f = beta[:, left], scores[:, left]
            inside = (signs != 0) & (signs * f < 1)
            # At the optimum β is weight · (y - f) inside the margin and 0 elsewhere.
            remainder = np.abs(np.where(inside, signs - f, 0.0) - b / weights).max(axis=0)
            more = remainder > _EXACT + 1e-15 * np.abs(b).sum(axis=0)  # what rounding allows
            if not more.any():
                return Trained(beta, scores)
            left, inside = left[more], inside[:, more]
            signs, weights, b, f = (array[:, more] for array in (signs, weights, b, f))
            step, aim = self._newton_step(inside, signs, weights, b, rough=count < _ROUGH_STEPS)
            beta[:, left], scores[:, left] = _descend(signs, weights, (b, f), (step, aim))
        raise ArithmeticError(f"SVMs did not converge in {_MOST_STEPS} steps")

    def _newton_step(
        self,
        inside: NDArray[np.bool_],
        signs: Floats,
        weights: Floats,
        beta: Floats,
        *,
        rough: bool,
    ) -> tuple[Floats, Floats]:
        """Return coefficients that solve the Newton systems, or nearly, and their scores."""
        step = np.zeros_like(beta)
        small = (inside.sum(axis=0) <= _DIRECT) | (not rough)
        self._eliminate(np.flatnonzero(small), inside, signs, weights, step)
        large = np.flatnonzero(~small)
        if large.size:
            columns = inside[:, large], signs[:, large], weights[:, large]
            before, step[:, large] = self._improve(*columns, beta[:, large])
            aim = self._gram @ step
            rest = np.where(inside, signs - aim - step / weights, 0.0)[:, large]
            # Where float32 is not enough (large costs, rows that are nearly alike), eliminate.
            failed = large[np.abs(rest).max(axis=0) > _FAILED * before]
            self._eliminate(failed, inside, signs, weights, step)
            aim[:, failed] = self._gram @ step[:, failed]
            return step, aim
        return step, self._gram @ step

    def _eliminate(
        self,
        columns: NDArray[np.intp],
        inside: NDArray[np.bool_],
        signs: Floats,
        weights: Floats,
        step: Floats,
    ) -> None:
        """Put exact solutions of the Newton systems into columns of `step`."""
        for column in columns:
            rows = np.flatnonzero(inside[:, column])
            system = self._gram[np.ix_(rows, rows)]
            system[np.diag_indices(len(rows))] += 1 / weights[rows, column]
            step[:, column] = 0
            step[rows, column] = np.linalg.solve(system, signs[rows, column])

    def _improve(
        self, inside: NDArray[np.bool_], signs: Floats, weights: Floats, beta: Floats
    ) -> tuple[Floats, Floats]:
        """Bring β nearer to the solution of the Newton systems, by conjugate gradients.

        Returns:
            How far it was from the solution, and the new β.
        """
        start = np.where(inside, beta, 0.0)
        exact = np.where(inside, signs - self._gram @ start - start / weights, 0.0)
        scale = np.maximum(np.abs(exact).max(axis=0), 1e-300)
        rest = (exact / scale).astype(np.float32)
        ridge = (1 / weights).astype(np.float32)
        easy = np.where(inside, 1 / (self._rough.diagonal()[:, None] + ridge), np.float32(0))
        x = np.zeros_like(rest)
        toward = easy * rest
        product = np.einsum("ij,ij->j", rest, toward)
        goal = product * _ROUGHLY**2
        for _ in range(200):
            image = np.where(inside, self._rough @ toward + ridge * toward, np.float32(0))
            curve = np.einsum("ij,ij->j", toward, image)
            size = np.where(product > goal, product / np.maximum(curve, 1e-30), 0)
            x += size * toward
            rest -= size * image
            better = easy * rest
            new = np.einsum("ij,ij->j", rest, better)
            if (new <= goal).all():
                break
            toward = better + new / np.maximum(product, 1e-30) * toward
            product = new
        return scale, start + scale * x


def _descend(
    signs: Floats, weights: Floats, at: tuple[Floats, Floats], to: tuple[Floats, Floats]
) -> tuple[Floats, Floats]:
    """Go from coefficients and their scores to others, or part of the way if that is lower."""
    before = _objective(signs, weights, *at)
    length = np.ones(signs.shape[1])
    for _ in range(40):
        beta, scores = (
            np.where(length == 1, b, a + length * (b - a)) for a, b in zip(at, to, strict=True)
        )
        higher = _objective(signs, weights, beta, scores) > before * (1 + 1e-12)
        if not higher.any():
            break
        length[higher] /= 2
    return beta, scores


def _objective(signs: Floats, weights: Floats, beta: Floats, scores: Floats) -> Floats:
    slack = np.where(signs != 0, np.maximum(0, 1 - signs * scores), 0)
    value: Floats = (beta * scores + weights * slack * slack).sum(axis=0) / 2
    return value
