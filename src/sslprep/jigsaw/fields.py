"""Finite fields as addition and multiplication tables.

An element of GF(p^k) is a polynomial of degree below k over GF(p), and is numbered by its
coefficients read as digits in base p: in GF(9), a·x + b is 3a + b.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.uint8]

MODULI = {
    4: (2, (1, 1, 1)),  # x² + x + 1
    8: (2, (1, 0, 1, 1)),  # x³ + x + 1
    9: (3, (1, 0, 1)),  # x² + 1
    16: (2, (1, 0, 0, 1, 1)),  # x⁴ + x + 1
    25: (5, (1, 0, 3)),  # x² + 3: -3 = 2 is no square in GF(5)
}
"""Characteristic and irreducible polynomial (highest power first) of each field in use."""


@dataclass(frozen=True)
class Field:
    """A finite field.

    Attributes:
        p: The characteristic.
        add: Sums, (q, q) uint8.
        multiply: Products, (q, q) uint8.
        inverse: Inverses, (q,) uint8; entry 0 is 0 and means nothing.
    """

    p: int
    add: Table
    multiply: Table
    inverse: Table

    @property
    def order(self) -> int:
        """How many elements the field has."""
        return len(self.add)

    @property
    def frobenius(self) -> Table:
        """The map x → x^p, (q,) uint8."""
        power = np.arange(self.order, dtype=np.uint8)
        for _ in range(self.p - 1):
            power = self.multiply[power, np.arange(self.order)]
        return power


def field(order: int) -> Field:
    """Build GF(order) for one of the orders in `MODULI`.

    Example:
        >>> field(9).multiply[3, 3]  # x · x = -1 = 2
        np.uint8(2)
    """
    p, modulus = MODULI[order]
    degree = len(modulus) - 1
    powers = p ** np.arange(degree - 1, -1, -1)
    digits = np.arange(order)[:, None] // powers % p
    add = (digits[:, None] + digits[None]) % p @ powers
    product = np.zeros((order, order, 2 * degree - 1), dtype=np.int64)
    for i in range(degree):
        for j in range(degree):
            product[:, :, i + j] += digits[:, None, i] * digits[None, :, j]
    for i in range(degree - 1):  # take the highest powers away, one by one
        product[:, :, i : i + degree + 1] -= product[:, :, i, None] * np.array(modulus)
    multiply = product[:, :, degree - 1 :] % p @ powers
    inverse = (multiply == 1).argmax(axis=1)
    inverse[0] = 0
    return Field(p, add.astype(np.uint8), multiply.astype(np.uint8), inverse.astype(np.uint8))
