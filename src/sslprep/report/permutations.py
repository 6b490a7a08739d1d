"""Permutation sets: how far apart their members are, and what they do to a photo."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sslprep.drawing.distances import distance_histogram, position_table
from sslprep.drawing.numbers import count_text, counted
from sslprep.drawing.svg import Drawing
from sslprep.errors import ImagesError, SslprepError
from sslprep.jigsaw.distances import Distances, counts_table, measure
from sslprep.jigsaw.stats import as_permutations
from sslprep.report.blocks import Card, Cell, Column, Figure, Section, Table, cells, numbers, short
from sslprep.report.collect import Artefact, Collection, note
from sslprep.report.partitions import images_of
from sslprep.report.pictures import Picture, find_file, gradient, thumbnail, tile_variety

MOST_MEASURED = 20_000
"""Rows of which all pairs are compared here."""
_MOST_SORTED = 1 << 28
"""Rows times sets of positions: of few tiles pairs are counted by sorting, however many rows."""

_DRAWN, _MOST_TILES, _MOST_TABLE = 8, 36, 25
_TRIED, _SIDE = 12, 192
_SIZE, _GAP = 96.0, 1.5

LEAD = (
    "Each permutation says which tile of the photo goes where: entry i is the tile, counted row by "
    "row, that is put at position i. A set is good when its members are far apart; a bound is what "
    "no set of that size can surpass."
)


def section(collection: Collection) -> Section | None:
    """Describe every permutation set of the collection, and compare them."""
    found = collection.of_kind("permutations")
    if not found:
        return None
    result = Section(anchor="permutations", title="Jigsaw permutations", lead=LEAD)
    photo = _sample_photo(collection)
    rows: list[Sequence[Cell]] = []
    total = 0
    for artefact in found:
        card, (n, m), distances = _card(artefact, collection, photo)
        result.cards.append(card)
        if not n:
            continue
        total += n
        rows.append(_comparison(artefact, f"{count_text(n)} of {m} tiles", distances))
        point = f"{count_text(n)} × {m} tiles {_method(artefact)}".strip()
        if distances is not None and distances.minimum is not None:
            bound = distances.minimum_bound
            point += f": smallest distance {distances.minimum}"
            point += f" (bound {bound.value})" if bound else ""
        result.points.append(point)
    result.sum = counted(total, "permutation")
    if len(rows) > 1:
        result.blocks.append(_compared(rows))
    return result


def _method(artefact: Artefact) -> str:
    return short(artefact.parameter("method"), 24)


def _card(
    artefact: Artefact, collection: Collection, photo: tuple[Picture, str]
) -> tuple[Card, tuple[int, int], Distances | None]:
    """Return the card of a set, its shape (0, 0 if it cannot be read), and its distances."""
    method = _method(artefact)
    subtitle = f"method {method}" if method else ""
    card = Card(anchor=artefact.anchor, title=artefact.title, subtitle=subtitle)
    try:
        permutations = _read(artefact)
    except SslprepError as error:
        card.note(f"The set cannot be shown. {note(error, collection.folder)}")
        return card, (0, 0), None
    n, m = permutations.shape
    found = measure(permutations) if n <= MOST_MEASURED or n << m <= _MOST_SORTED else None
    card.fact("name", found.name if found else None)
    card.fact("permutations", count_text(n))
    card.fact("tiles", str(m))
    if found is None:
        card.note("Too many to compare all pairs for a page: sslprep jigsaw stats does it.")
    elif found.minimum is not None and found.mean is not None:
        card.fact("smallest distance", str(found.minimum))
        card.fact("mean distance", f"{found.mean:.4f}")
        card.blocks.append(_histogram(found))
    if artefact.manifest.seed is not None:
        card.fact("seed", str(artefact.manifest.seed))
    _tiles(card, permutations, photo, name=f"photo-{artefact.anchor}")
    if m <= _MOST_TABLE:
        counts = counts_table(permutations)
        even = counts.max() - counts.min() <= 1
        (card.folded if even else card.blocks).append(_positions(counts, n))
    return card, (n, m), found


def _read(artefact: Artefact) -> NDArray[np.uint8]:
    """Map the set as (N, M) uint8, counted from 0.

    Raises:
        SslprepError: It is no permutation set.
    """
    names = artefact.ending(".npy")
    if not names:
        raise SslprepError("the manifest names no .npy file", where=artefact.title)
    values = artefact.array(names[0], ndim=2, kinds="iu")
    return as_permutations(values, names[0])[0]


def verdict(found: Distances) -> str:
    """Say in words how the set stands to its bounds.

    Example:
        >>> verdict(measure(np.array([[0, 1, 2], [1, 2, 0], [2, 0, 1]], np.uint8)))
        'The smallest distance, 3, and the mean, 3.0000, reach their bounds.'
    """
    if found.minimum is None or found.mean is None:
        return ""
    minimum, mean = str(found.minimum), f"{found.mean:.4f}"
    least = found.minimum_bound.value if found.minimum_bound else None
    reached = least is not None and found.minimum >= least
    mean_reached = found.mean_bound is not None and found.mean >= found.mean_bound
    if reached and mean_reached:
        return f"The smallest distance, {minimum}, and the mean, {mean}, reach their bounds."
    parts = [f"The smallest distance is {minimum}"]
    if reached:
        parts.append(", the most that a set of this size can have")
    elif least is not None:
        parts.append(f"; no set of this size can have more than {least}")
    parts.append(f". The mean is {mean}")
    if mean_reached:
        parts.append(", its bound")
    elif found.mean_bound is not None:
        parts.append(f"; its bound is {found.mean_bound:.4f}")
    return "".join(parts) + "."


def _histogram(found: Distances) -> Figure:
    drawing = distance_histogram(
        found.histogram,
        minimum_bound=found.minimum_bound.value if found.minimum_bound else None,
        mean_bound=found.mean_bound,
    )
    return Figure(title="Distances of all pairs", drawings=[drawing], caption=verdict(found))


def _positions(counts: NDArray[np.int64], n: int) -> Figure:
    low, high = int(counts.min()), int(counts.max())
    even = n / len(counts)
    caption = f"From {count_text(low)} to {count_text(high)} times; even would be {even:.1f}."
    if high - low <= 1:
        caption = "Every tile stands equally often at every position, up to one."
    title = "Which tile stands where"
    return Figure(title=title, drawings=[position_table(counts)], caption=caption)


def _sample_photo(collection: Collection) -> tuple[Picture, str]:
    """Return a square photo of the collection, and where it is from.

    Of some photos of the first readable partition it is the one whose tiles differ most.
    """
    for partition in collection.of_kind("partition"):
        try:
            images = images_of(partition)
        except SslprepError:
            continue
        best: tuple[float, Picture] | None = None
        rows = np.linspace(0, max(0, len(images) - 1), min(_TRIED, len(images))).astype(int)
        for row in rows:
            try:
                path = find_file(str(images[row]), partition)
                variety = tile_variety(path)
                if best is None or variety > best[0]:
                    best = variety, thumbnail(path, _SIDE, square=True, quality=80)
            except ImagesError:
                continue
        if best is not None:
            return best[1], f"a photo of {partition.title}"
    return gradient(_SIDE), "a drawn picture, for want of a photo"


def _tiles(
    card: Card, permutations: NDArray[np.uint8], photo: tuple[Picture, str], *, name: str
) -> None:
    """Draw a photo and what the first permutations make of it."""
    m = permutations.shape[1]
    side = math.isqrt(m)
    if side * side != m or m > _MOST_TILES:
        return
    drawings = [_tile_drawing(list(range(m)), side, photo[0], name, 0)]
    for number, row in enumerate(permutations[:_DRAWN].tolist(), start=1):
        drawings.append(_tile_drawing(row, side, None, name, number))
    card.blocks.append(
        Figure(
            title=f"The first {counted(len(drawings) - 1, 'permutation').removeprefix('1 ')}",
            drawings=drawings,
            caption=f"On {photo[1]}: the tiles in their order, then as the network sees them.",
            css="mosaic",
            rank=1,
        )
    )


def _tile_drawing(
    row: Sequence[int], side: int, picture: Picture | None, name: str, number: int
) -> Drawing:
    """Draw the photo itself (number 0), or what one permutation makes of it."""
    order = " ".join(map(str, row))
    drawing = Drawing(
        _SIZE,
        _SIZE + 16,
        title=f"Permutation {number}: {order}" if number else "The photo with its tiles in order",
        description="The tiles of the photo in this order, row by row.",
        css="tile",
    )
    each = _SIZE / side
    if picture is not None:
        drawing.image(0, 0, _SIZE, _SIZE, picture.uri, name=name)
        for i in range(1, side):
            drawing.line(i * each, 0, i * each, _SIZE, css="cut")
            drawing.line(0, i * each, _SIZE, i * each, css="cut")
    else:
        inner = each - _GAP
        for position, tile in enumerate(row):
            y, x = divmod(position, side)
            v, u = divmod(tile, side)
            place = (x * each + _GAP / 2, y * each + _GAP / 2, inner, inner)
            drawing.window(place, (u * each + _GAP / 2, v * each + _GAP / 2, inner, inner), name)
    label = "".join(map(str, row)) if side <= 3 else f"no. {number}"
    label = label if number else "in order"
    drawing.text(_SIZE / 2, _SIZE + 12, label, css="tick", anchor="middle")
    return drawing


def _comparison(artefact: Artefact, size: str, found: Distances | None) -> list[Cell]:
    values: list[float | None] = [None] * 4
    if found is not None:
        least = found.minimum_bound.value if found.minimum_bound else None
        values = [found.minimum, least, found.mean, found.mean_bound]
    texts = (f"{v:.4f}" if isinstance(v, float) else "–" if v is None else str(v) for v in values)
    name = f"{_method(artefact) or artefact.name}: {size}"
    return [Cell(text=name, link=artefact.anchor), *cells(*texts)]


def _compared(rows: Sequence[Sequence[Cell]]) -> Table:
    titles = ("smallest", "bound", "mean", "its bound")
    return Table(
        title="The sets compared",
        columns=[Column(title="set"), *numbers(*titles)],
        rows=rows,
        sortable=True,
        css="wide",
    )
