"""Permutation sets: how far apart their members are, and what they do to a photo."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sslprep.drawing.distances import distance_histogram, position_table
from sslprep.drawing.numbers import count_text
from sslprep.drawing.svg import Drawing
from sslprep.errors import SslprepError
from sslprep.jigsaw.distances import Distances, counts_table, measure
from sslprep.report.blocks import Block, Card, Cell, Column, Figure, Section, Table, short
from sslprep.report.collect import Artefact, Collection, note
from sslprep.report.photos import SamplePhoto
from sslprep.report.pictures import Picture

MOST_MEASURED = 20_000
"""Rows of which all pairs are compared here; of larger sets every n-th row."""

_DRAWN = 8
_MOST_TILES = 36
_NAME = "jigsaw-photo"

LEAD = (
    "Each permutation says which tile of the photo goes where: entry i is the tile, counted row by "
    "row, that is put at position i. A set is good when its members are far apart."
)


def section(collection: Collection, photo: SamplePhoto) -> Section | None:
    """Describe every permutation set of the collection, and compare them."""
    found = collection.of_kind("permutations")
    if not found:
        return None
    result = Section(anchor="permutations", title="Jigsaw permutations", lead=LEAD)
    rows: list[Sequence[Cell]] = []
    total = 0
    for artefact in found:
        card, distances = _card(artefact, collection, photo)
        result.cards.append(card)
        if distances is not None:
            total += distances.n
            rows.append(_comparison(artefact, distances))
    result.sum = f"{count_text(total)} permutations"
    if len(rows) > 1:
        result.blocks.append(_compared(rows))
    return result


def _card(
    artefact: Artefact, collection: Collection, photo: SamplePhoto
) -> tuple[Card, Distances | None]:
    method = artefact.parameters.text("method") or artefact.details.text("method")
    card = Card(
        anchor=artefact.anchor,
        title=artefact.title,
        subtitle=f"method {short(method)}" if method else "",
    )
    for warning in artefact.manifest.warnings:
        card.note(f"Warning of the run: {warning}")
    try:
        permutations = _read(artefact)
    except SslprepError as error:
        card.note(f"The set cannot be shown. {note(error, collection.folder)}")
        return card, None
    n, m = permutations.shape
    step = math.ceil(n / MOST_MEASURED)
    found = measure(permutations[::step])
    if step > 1:
        card.note(f"Distances are those of every {step}th permutation only.")
    card.fact("permutations", count_text(n))
    card.fact("tiles", str(m))
    if found.minimum is not None and found.mean is not None:
        card.fact("smallest distance", str(found.minimum))
        card.fact("mean distance", f"{float(found.mean):.4f}")
    if artefact.manifest.seed is not None:
        card.fact("seed", str(artefact.manifest.seed))
    if found.minimum is not None:
        card.add(_histogram(found))
    if m <= 25:
        card.add(_counts(permutations))
    _tiles(card, permutations, photo, name=f"{_NAME}-{artefact.anchor}")
    return card, found


def _read(artefact: Artefact) -> NDArray[np.uint8]:
    """Map the set as (N, M) uint8, counted from 0.

    Raises:
        SslprepError: It is no permutation set.
    """
    names = artefact.ending(".npy")
    if not names:
        raise SslprepError("the manifest names no .npy file", where=artefact.title)
    values = artefact.array(names[0], ndim=2, kinds="iu")
    n, m = values.shape
    if not n or not 2 <= m <= 255:
        raise SslprepError(f"has shape {values.shape}", where=names[0], expected="(N, M)")
    base = 1 if int(values[0].min()) == 1 else 0
    ordered = np.sort(values, axis=1)
    wrong = int(np.count_nonzero((ordered != np.arange(base, m + base)).any(axis=1)))
    if wrong:
        raise SslprepError(f"{count_text(wrong)} rows are no permutations", where=names[0])
    return np.ascontiguousarray(values - base, dtype=np.uint8)


def _histogram(found: Distances) -> Figure:
    minimum, mean = found.minimum or 0, float(found.mean or 0)
    reached = []
    if found.minimum_bound is not None:
        gap = found.minimum_bound.value - minimum
        reached.append(
            "The smallest distance is the largest possible."
            if gap <= 0
            else f"The smallest distance is {minimum}; no set of this size has more than "
            f"{found.minimum_bound.value}."
        )
    if found.mean_bound is not None:
        reached.append(
            "So is the mean."
            if _mean_is_largest(found) and gap <= 0
            else "The mean is the largest possible."
            if _mean_is_largest(found)
            else f"The mean is {mean:.4f} of at most {float(found.mean_bound):.4f}."
        )
    return Figure(
        title="Distances of all pairs",
        body=distance_histogram(
            found.histogram,
            minimum_bound=found.minimum_bound.value if found.minimum_bound else None,
            mean_bound=None if found.mean_bound is None else float(found.mean_bound),
        ),
        caption=" ".join(reached),
    )


def _mean_is_largest(found: Distances) -> bool:
    """Return whether the mean distance is the largest possible."""
    return found.mean is not None and found.mean == found.mean_bound


def _tiles(card: Card, permutations: NDArray[np.uint8], photo: SamplePhoto, *, name: str) -> None:
    """Draw a photo and what the first permutations make of it."""
    m = permutations.shape[1]
    side = math.isqrt(m)
    if side * side != m or m > _MOST_TILES:
        return
    picture, origin = photo.get()
    drawings = [_original(picture, side, name)]
    for number, row in enumerate(permutations[:_DRAWN].tolist(), start=1):
        drawings.append(_shuffled(row, side, name, number))
    card.add(
        Figure(
            title=f"The first {len(drawings) - 1} permutations",
            body=drawings,
            caption=f"On {origin}: the tiles in their order, then as the network sees them.",
            css="mosaic",
            rank=1,
        )
    )


_SIZE, _GAP = 96.0, 1.5


def _original(picture: Picture, side: int, name: str) -> Drawing:
    drawing = Drawing(
        _SIZE,
        _SIZE + 16,
        title="The photo with its tiles in order",
        description=f"Tiles 0 to {side * side - 1}, row by row.",
        css="tile",
    )
    drawing.image(0, 0, _SIZE, _SIZE, picture.uri, name=name)
    each = _SIZE / side
    for i in range(1, side):
        drawing.line(i * each, 0, i * each, _SIZE, css="cut")
        drawing.line(0, i * each, _SIZE, i * each, css="cut")
    drawing.text(_SIZE / 2, _SIZE + 12, "in order", css="tick", anchor="middle")
    return drawing


def _shuffled(row: Sequence[int], side: int, name: str, number: int) -> Drawing:
    text = " ".join(map(str, row))
    drawing = Drawing(
        _SIZE,
        _SIZE + 16,
        title=f"Permutation {number}: {text}",
        description="The tiles of the photo in this order, row by row.",
        css="tile",
    )
    each = _SIZE / side
    inner = each - _GAP
    for position, tile in enumerate(row):
        y, x = divmod(position, side)
        v, u = divmod(tile, side)
        place = (x * each + _GAP / 2, y * each + _GAP / 2, inner, inner)
        part = (u * each + _GAP / 2, v * each + _GAP / 2, inner, inner)
        drawing.window(place, part, name)
    label = "".join(map(str, row)) if side <= 3 else f"no. {number}"
    drawing.text(_SIZE / 2, _SIZE + 12, label, css="tick", anchor="middle")
    return drawing


def _counts(permutations: NDArray[np.uint8]) -> Block:
    counts = counts_table(permutations)
    n, m = permutations.shape
    low, high = int(counts.min()), int(counts.max())
    even = high - low <= 1
    return Figure(
        title="Which tile stands where",
        body=position_table(counts),
        caption=(
            "Every tile stands equally often at every position, up to one."
            if even
            else f"From {count_text(low)} to {count_text(high)} times; even would be {n / m:.1f}. "
            "Shades run from the smallest count to the largest."
        ),
    )


def _comparison(artefact: Artefact, found: Distances) -> list[Cell]:
    bound = found.minimum_bound
    cells = [
        Cell(text=artefact.title, link=artefact.anchor),
        Cell(text=short(artefact.parameters.text("method"))),
        Cell(text=count_text(found.n), value=found.n),
        Cell(text=str(found.m), value=found.m),
    ]
    for value, text in (
        (found.minimum, str(found.minimum)),
        (bound.value if bound else None, str(bound.value) if bound else ""),
        (found.mean, f"{float(found.mean or 0):.4f}"),
        (found.mean_bound, f"{float(found.mean_bound or 0):.4f}"),
    ):
        cells.append(Cell(text="–" if value is None else text, value=float(value or 0)))
    return cells


def _compared(rows: Sequence[Sequence[Cell]]) -> Table:
    heads = [
        Column(title="set"),
        Column(title="method"),
        Column(title="N", kind="number"),
        Column(title="tiles", kind="number"),
        Column(title="smallest", kind="number"),
        Column(title="at most", kind="number"),
        Column(title="mean", kind="number"),
        Column(title="mean at most", kind="number"),
    ]
    return Table(title="The sets compared", columns=heads, rows=rows, sortable=True)
