"""Linear SVMs with the squared hinge loss, solved exactly, many at once.

For rows x, labels y in {1, -1} and a cost c, with cᵢ = 2c for positives and c for others, minimise

    ½(‖w‖² + b²) + Σ cᵢ·max(0, 1 - yᵢ(w·xᵢ + b))²

which is LIBLINEAR's L2-regularised L2-loss problem with a constant feature of 1 as the bias (Fan
et al. 2008, JMLR 9), and scikit-learn's `LinearSVC(class_weight={1: 2, -1: 1})`. It is solved by
Newton's method on the Gram matrix K (Chapelle 2007, Neural Computation 19). With S the rows
inside the margin, `(K[S, S] + diag(1 / 2cᵢ)) β = y[S]` gives the scores `f = K[:, S] β`, and S
becomes the rows where `yᵢfᵢ < 1`, until it stays. There is one optimum, so neither chance nor the
start matters.

At low costs all rows are in S, and the systems of all costs differ by a multiple of the identity
alone: one Krylov space, from a few products with K, solves them all. From there each cost starts
where the one below it ended. Its small systems are eliminated one by one; large ones of all
machines go side by side through conjugate gradients, so that nearly all the work is products of
matrices. These run in float32 and are put right in float64: each step starts from the exact
remainder, and the last one is exact to `_EXACT`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

POSITIVE_WEIGHT = 2.0
"""A positive's loss counts twice (the benchmark's class_weight)."""
_EXACT = 1e-9
"""Largest remainder of the optimum's equations, in units of the margin."""
_KRYLOV = 16
"""Products with K for all the costs at which every row lies inside the margin."""
_DIRECT = 300
"""Systems of at most so many rows are solved one by one; beyond, elimination takes longer."""
_MAIN = 32
"""Directions of K that conjugate gradients are relieved of."""
_SETTLED = 1e-2
"""With a remainder below this, S is nearly the optimum's, and steps are worth to be exact."""
_FREE_STEPS = 10
"""After so many steps (a few are usual) all are exact, by elimination, and go downhill."""
_MOST_STEPS = 200


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
    """Machines at one cost, both (machines, rows)."""

    coefficients: Floats  #: `coefficients @ gram_matrix(train, test)` are scores of test rows
    scores: Floats  #: of the rows of the Gram matrix, those that took no part too


def train(gram: Floats, signs: NDArray[Any], costs: Sequence[float]) -> list[Trained]:
    """Train machines that share a Gram matrix at every cost.

    From the smallest cost up, each starts where a smaller one ended.

    Args:
        gram: `gram_matrix` of the training rows with themselves (rows, rows).
        signs: For each machine 1 (positive), -1 (negative) or 0 (a row that takes no part):
            (machines, rows).
        costs: The costs, in any order.

    Example:
        >>> rows = np.array([[1.0], [-1.0]])
        >>> (trained,) = train(gram_matrix(rows, rows), np.array([[1, -1]]), [1.0])
        >>> trained.scores.ravel().round(4).tolist()
        [0.8889, -0.8]
    """
    signs = signs.astype(np.float64)
    weights = np.where(signs > 0, POSITIVE_WEIGHT, 1.0)
    kernel, of_all_rows = _Kernel(gram), _all_rows_inside(gram, signs, weights)
    last = of_all_rows(min(costs))
    result: dict[float, Trained] = {}
    for cost in sorted(set(costs)):
        start = of_all_rows(cost)
        inside = (signs * start.scores < 1).all(axis=1, keepdims=True)
        beta, scores = (np.where(inside, a, b) for a, b in zip(start, last, strict=True))
        last = result[cost] = _minimise(kernel, signs, 2 * cost * weights, beta, scores)
    return [result[cost] for cost in costs]


def _all_rows_inside(gram: Floats, signs: Floats, weights: Floats) -> Callable[[float], Trained]:
    """Return what gives the solution for a cost with all rows in S, or nearly.

    With D the weights, (√D K √D + 1/2c) D^-½ β = √D y has one Krylov space for all c.
    """
    root = np.sqrt(weights) * (signs != 0)
    rest = start = root * signs
    machines, rows = start.shape
    space = np.zeros((machines, min(_KRYLOV, rows), rows))
    images = np.zeros_like(space)
    for n in range(space.shape[1]):
        length = np.sqrt(np.einsum("mr,mr->m", rest, rest))
        space[:, n] = rest / np.where(length > 1e-12, length, np.inf)[:, None]
        images[:, n] = (root * space[:, n]) @ gram
        rest = root * images[:, n]
        for _ in range(2):  # once leaves what rounding made of it
            known = space[:, : n + 1] @ rest[:, :, None]
            rest = rest - (known.swapaxes(1, 2) @ space[:, : n + 1])[:, 0]
    values, vectors = np.linalg.eigh(space @ (root[:, None] * images).swapaxes(1, 2))
    goal = vectors.swapaxes(1, 2) @ (space @ start[:, :, None])

    def solution(cost: float) -> Trained:
        found = vectors @ (goal / (values + 0.5 / cost)[:, :, None])
        beta, scores = ((found.swapaxes(1, 2) @ of)[:, 0] for of in (space, images))
        return Trained(root * beta, scores)

    return solution


def _minimise(
    kernel: _Kernel, all_signs: Floats, all_weights: Floats, beta: Floats, scores: Floats
) -> Trained:
    """Go to the optimum from the coefficients and scores of a start."""
    left = np.arange(len(beta))  # the machines that are not there yet
    for count in range(_MOST_STEPS):
        if count == _FREE_STEPS:  # large coefficients have taken the scores away from float64
            scores[left] = beta[left] @ kernel.gram
        signs, weights, b, f = (a[left] for a in (all_signs, all_weights, beta, scores))
        # At the optimum β is weight · (y - f) inside the margin and 0 elsewhere.
        inside = (signs != 0) & (signs * f < 1)
        rest = np.where(inside, signs - f, 0.0) - b / weights
        more = np.abs(rest).max(axis=1) > _EXACT + 1e-15 * np.abs(b).sum(axis=1)  # rounding
        if not more.any():
            return Trained(beta, scores)
        left = left[more]
        systems = _Systems(kernel, inside, signs, weights).of(more)
        at = b[more], f[more]
        to = systems.newton_step(*at, rest[more], rough=count < _FREE_STEPS)
        # Full steps nearly always get there; where they do not, only those downhill will.
        if count >= _FREE_STEPS:
            to = _descend(systems.signs, systems.weights, at, to)
        beta[left], scores[left] = to
    raise ArithmeticError(f"SVMs did not converge in {_MOST_STEPS} steps")


class _Systems(NamedTuple):
    """Newton systems (K[S, S] + diag(1 / weights)) β = y[S] of some machines, S the rows inside."""

    kernel: _Kernel
    inside: NDArray[np.bool_]  #: whether a row is in S (machines, rows), as those that follow
    signs: Floats
    weights: Floats

    def of(self, some: NDArray[Any]) -> _Systems:
        """Return those of some machines."""
        return _Systems(self.kernel, self.inside[some], self.signs[some], self.weights[some])

    def newton_step(
        self, beta: Floats, scores: Floats, rest: Floats, *, rough: bool
    ) -> tuple[Floats, Floats]:
        """Return coefficients that solve the systems, or nearly, and their scores.

        Large systems go from `beta`, with its scores and remainders, if the step may be `rough`.
        """
        step, aim = np.zeros_like(beta), np.zeros_like(beta)
        large = np.flatnonzero((self.inside.sum(axis=1) > _DIRECT) & rough)
        if large.size:
            some = self.of(large)
            step[large], aim[large], size = some.improve(beta[large], scores[large], rest[large])
            if (exact := large[size < _SETTLED]).size:
                aim[exact] = step[exact] @ self.kernel.gram
            after = np.where(some.inside, some.signs - aim[large], 0.0) - step[large] / some.weights
            # Where float32 is not enough (large costs, rows that are nearly alike), eliminate.
            large = large[np.abs(after).max(axis=1) < size]
        small = np.setdiff1d(np.arange(len(beta)), large)
        far = (np.abs(rest).max(axis=1) > _SETTLED) & rough
        for n in small:
            step[n] = 0
            if (rows := np.flatnonzero(self.inside[n])).size:
                gram = self.kernel.rough if far[n] else self.kernel.gram
                system = gram[np.ix_(rows, rows)]
                system[np.diag_indices(len(rows))] += 1 / self.weights[n, rows]
                step[n, rows] = np.linalg.solve(system, self.signs[n, rows].astype(system.dtype))
        if small.size:
            aim[small] = step[small] @ self.kernel.gram
        return step, aim

    @np.errstate(over="ignore", invalid="ignore")  # what goes astray is eliminated after all
    def improve(self, beta: Floats, scores: Floats, rest: Floats) -> tuple[Floats, Floats, Floats]:
        """Come nearer to the solutions from β, by conjugate gradients in float32.

        Returns coefficients, their scores to float32, and how far from the solution β was.
        """
        start = np.where(self.inside, beta, 0.0)
        if (left := (beta - start).astype(np.float32)).any():
            lost = left @ self.kernel.rough
            scores, rest = scores - lost, rest + lost
        rest = np.where(self.inside, rest, 0.0)
        size = np.maximum(np.abs(rest).max(axis=1), 1e-300)
        remainder = (rest / size[:, None]).astype(np.float32)
        ridge = (1 / self.weights).astype(np.float32)
        inverse = self.kernel.near_inverse(self.inside, ridge)
        found, image = np.zeros_like(remainder), np.zeros_like(remainder)
        toward = better = inverse(remainder)
        product = np.einsum("mr,mr->m", remainder, better)
        goal = product * np.where(size > _SETTLED, 1e-4, 1e-10).astype(np.float32)
        for _ in range(_MOST_STEPS):
            of_step = toward @ self.kernel.rough
            both = (of_step + ridge * toward) * self.inside
            curve = np.einsum("mr,mr->m", toward, both)
            length = np.where(product > goal, product / np.maximum(curve, 1e-30), 0)[:, None]
            found += length * toward
            image += length * of_step
            remainder -= length * both
            better = inverse(remainder)
            new = np.einsum("mr,mr->m", remainder, better)
            if (new <= goal).all():
                break
            toward = better + (new / np.maximum(product, 1e-30))[:, None] * toward
            product = new
        return start + size[:, None] * found, scores + size[:, None] * image, size


class _Kernel:
    """A Gram matrix, in float32 too, and its main directions."""

    def __init__(self, gram: Floats) -> None:
        self.gram = gram
        self.rough = gram.astype(np.float32)
        rows = len(gram)
        basis = np.random.default_rng(0).standard_normal((rows, min(_MAIN, rows)), np.float32)
        for _ in range(3):
            basis = np.linalg.qr(self.rough @ basis)[0]
        values, turn = np.linalg.eigh(basis.T @ self.rough @ basis)
        self._values = np.maximum(values, 1e-6)
        self._vectors = np.ascontiguousarray((basis @ turn).T)
        self._left = np.maximum(self.rough.diagonal() - self._values @ self._vectors**2, 1e-6)

    def near_inverse(
        self, inside: NDArray[np.bool_], ridge: NDArray[np.float32]
    ) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        """Return what multiplies with the inverse of the main directions + diagonal."""
        weights = np.where(inside, 1 / (ridge + self._left), np.float32(0))
        halves = (self._vectors * of for of in np.sqrt(weights))
        middle = np.stack([half @ half.T for half in halves])
        middle = np.linalg.inv(middle + np.diag(1 / self._values))

        def inverse(rows: NDArray[np.float32]) -> NDArray[np.float32]:
            weighted: NDArray[np.float32] = weights * rows
            turned = (weighted @ self._vectors.T)[:, None] @ middle
            weighted -= weights * (turned[:, 0] @ self._vectors)
            return weighted

        return inverse


def _descend(
    signs: Floats, weights: Floats, at: tuple[Floats, Floats], to: tuple[Floats, Floats]
) -> tuple[Floats, Floats]:
    """Go from coefficients and their scores to others, or part of the way if that is lower."""
    before = _objective(signs, weights, *at)
    length = np.ones((len(signs), 1))
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
    value: Floats = (beta * scores + weights * slack * slack).sum(axis=1) / 2
    return value
