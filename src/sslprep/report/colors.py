"""Colour statistics: the gamut, its bins, and how often each occurs."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from sslprep.color.priors import nearest_counts
from sslprep.drawing.charts import Series, curves
from sslprep.drawing.gamut import (
    DECADES,
    Plane,
    bin_size,
    centres_of,
    gamut,
    lab_to_srgb,
    prior,
)
from sslprep.drawing.numbers import count_text, counted, share_text
from sslprep.errors import ArrayError, SslprepError
from sslprep.report.blocks import Card, Figure, Section, short
from sslprep.report.collect import Artefact, Collection, note
from sslprep.report.pictures import pixels

KINDS = ("color-histogram", "color-bins")

LEAD = (
    "Colours are points a (green to red) and b (blue to yellow) of CIE Lab. Each bin is drawn in "
    "its own colour at lightness 50; beside it stands how often the photos have it."
)


class _Details(msgspec.Struct):
    points_are: str = ""
    smooth: float | None = None
    grid: str = ""


def section(collection: Collection) -> Section | None:
    """Describe every histogram and every set of bins."""
    found = collection.of_kind(*KINDS)
    if not found:
        return None
    result = Section(anchor="colour", title="Colour bins and priors", lead=LEAD)
    for artefact in found:
        result.cards.append(_card(artefact, collection))
        if artefact.count("bins"):
            grid = short(artefact.details(_Details).grid or artefact.parameter("grid"), 24)
            bins = counted(artefact.count("bins"), "bin")
            place = artefact.place if artefact.place != "." else artefact.name
            result.points.append(f"{place}: {bins}{grid and f' ({grid})'}")
    result.sum = counted(sum(a.count("bins") for a in found), "bin")
    return result


def _card(artefact: Artefact, collection: Collection) -> Card:
    bins = artefact.manifest.kind == "color-bins"
    grid = artefact.details(_Details).grid or artefact.parameter("grid")
    card = Card(
        anchor=artefact.anchor,
        title=artefact.title,
        subtitle=f"grid {short(grid)}" if bins and grid else "bins" if bins else "histogram",
    )
    for name, number in artefact.manifest.counts.items():
        if number and len(card.facts) < 6:
            card.fact(short(name.replace("_", " "), 24), count_text(number))
    for name in artefact.ending(".npy"):
        try:
            if name.startswith("ab_histogram") and not name.endswith("_groups.npy"):
                _histogram(card, artefact.array(name, ndim=2, kinds="iu"))
            elif name.startswith("pts_in_hull"):
                _bins(card, artefact, collection, name)
        except SslprepError as error:
            card.note(f"{name} cannot be shown. {note(error, collection.folder)}")
    return card


def _histogram(card: Card, table: NDArray[np.integer]) -> None:
    """Show the table of counts: colour where there are pixels, strong where there are many."""
    if table.shape != (256, 256) or int(table.min()) < 0:
        raise ArrayError(f"has shape {table.shape}", expected="(256, 256) counts")
    if not table.any():
        card.note("The histogram is empty.")
        return
    used = np.argwhere(table)
    low, high = used.min(axis=0), used.max(axis=0)
    part = np.log1p(table[low[0] : high[0] + 1, low[1] : high[1] + 1].astype(float))
    colours = lab_to_srgb(60, np.moveaxis(np.indices(part.shape), 0, -1) + low - 128)
    # Few levels of strength keep the picture small and show it no worse.
    strength = np.where(part > 0, 90 + np.ceil(part / part.max() * 11) * 15, 0)
    picture = np.concatenate([colours, strength.astype(np.uint8)[..., None]], axis=-1)
    up = picture.transpose(1, 0, 2)[::-1]  # b upwards, a to the right
    top = np.unravel_index(int(table.argmax()), table.shape)
    plane = Plane(
        low - 128.5,
        high - 127.5,
        title="Colours of all pixels",
        description=(
            f"a from {low[0] - 128} to {high[0] - 128}, b from {low[1] - 128} to {high[1] - 128}; "
            f"most often a {top[0] - 128}, b {top[1] - 128}."
        ),
    )
    left, top_edge = plane.x(low[0] - 128.5), plane.y(high[1] - 127.5)
    width, height = up.shape[1] * plane.scale, up.shape[0] * plane.scale
    plane.drawing.image(left, top_edge, width, height, pixels(up).uri)
    card.fact("distinct colours (a, b)", count_text(int(np.count_nonzero(table))))
    caption = "Stronger where more pixels have the colour (logarithm of the count)."
    card.blocks.append(
        Figure(title="Colours of all pixels", drawings=[plane.drawing], caption=caption)
    )
    card.blocks.append(_chroma(table))


def _chroma(table: NDArray[np.integer]) -> Figure:
    """Show how much of the pixels is nearly grey, which is why rare colours need weight."""
    axis = np.arange(-128, 128)
    # Rounded up: entry n counts what is more than n - 1 and at most n away.
    distance = np.ceil(np.hypot(*np.meshgrid(axis, axis, indexing="ij"))).astype(int)
    counts = np.bincount(distance.ravel(), weights=table.ravel())
    share = 100 * np.cumsum(counts) / counts.sum()
    last = int(np.argmax(share >= 99.9))
    grey = share_text(float(counts[:11].sum()), float(counts.sum()))
    drawing = curves(
        [Series(name="pixels", x=np.arange(last + 1), y=share[: last + 1])],
        title="Share of the pixels by distance from grey",
        description=f"{grey} of the pixels are within 10 of grey, 99.9 % within {last}.",
        x_label="chroma: distance from grey in (a, b)",
        y_label="pixels up to it, %",
    )
    caption = f"{grey} of the pixels are within 10 of grey: why rare colours are given weight."
    return Figure(title="How grey the photos are", drawings=[drawing], caption=caption)


def _bins(card: Card, artefact: Artefact, collection: Collection, name: str) -> None:
    """Show one set of bins with its priors and weights."""
    points = artefact.array(name, ndim=2, kinds="iuf")
    if points.shape[1] != 2 or not 0 < len(points) <= 65536:
        raise ArrayError(f"has shape {points.shape}", expected="(bins, 2)")
    points = np.asarray(points, float)
    if not np.isfinite(points).all() or np.abs(points).max() > 1000:
        raise ArrayError("holds values that are no colours")
    details = artefact.details(_Details)
    tail = name.removeprefix("pts_in_hull")
    size = bin_size(points)
    corners = details.points_are == "left edges"
    label = f"bin size {size:g}"
    where = "the files name each bin by its lower corner" if corners else "points are centres"
    card.blocks.append(
        Figure(
            title=f"Gamut, {label}",
            drawings=[gamut(points, size, corners=corners, label=label)],
            caption=f"{counted(len(points), 'bin')}; {where}. "
            "Colours outside sRGB are drawn as the nearest inside.",
        )
    )
    priors = _column(card, artefact, collection.folder, f"priors{tail}", len(points))
    if priors is None:
        return
    share = float(np.sort(priors)[::-1][: max(1, len(priors) // 10)].sum() / (priors.sum() or 1))
    card.blocks.append(
        Figure(
            title=f"Prior (logarithm), {label}",
            drawings=[prior(points, size, priors, corners=corners, label=label)],
            caption=f"The most frequent tenth of the bins holds {share_text(share, 1)} of the "
            "pixels. Hollow: no pixel.",
        )
    )
    centres = centres_of(points, size, corners=corners)
    smooth = artefact.parameters(_Details).smooth
    raw = _unsmoothed(artefact, collection, centres) if smooth else None
    card.blocks.append(_ranked(priors, raw, label))
    weights = _column(card, artefact, collection.folder, f"rebalance_weights{tail}", len(points))
    if weights is not None:
        card.folded.append(_weights(priors, weights, label))


def _column(
    card: Card, artefact: Artefact, folder: Path, name: str, length: int
) -> NDArray[np.float64] | None:
    """Read one number for each bin; `None` where there are none or they are unsound."""
    if name not in artefact.ending(name):
        return None
    try:
        values = np.asarray(artefact.array(name, ndim=1, kinds="f"), float)
    except SslprepError as error:
        card.note(f"{name} cannot be shown. {note(error, folder)}")
        return None
    if len(values) != length or not np.isfinite(values).all() or values.min() < 0:
        card.note(f"{name} does not hold one number of 0 or more for each of the {length} bins.")
        return None
    return values


def _unsmoothed(
    artefact: Artefact, collection: Collection, centres: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Return the priors before smoothing, from the histogram that the bins were made from."""
    own = [n for n in artefact.ending(".npy") if n.startswith("ab_histogram")]
    sources = [(artefact, name) for name in own]
    sources += collection.sources(artefact)
    for maker, name in sources:
        try:
            table = maker.array(name, ndim=2, kinds="iu")
        except SslprepError:
            continue
        if table.shape == (256, 256) and table.any():
            counts = nearest_counts(np.asarray(table, np.int64), centres)
            return np.asarray(counts / counts.sum(), float)
    return None


def _ranked(priors: NDArray[np.float64], raw: NDArray[np.float64] | None, label: str) -> Figure:
    """Draw the priors from the most frequent bin to the rarest, before and after smoothing."""
    rank = np.arange(1, len(priors) + 1)
    order = np.argsort(-priors, kind="stable")
    least = float(priors.max()) * 10.0**-DECADES
    lines = [Series(name="as written", x=rank, y=priors[order])]
    caption = "Bins from the most frequent to the rarest."
    if raw is not None:
        lines.insert(0, Series(name="before smoothing", x=rank, y=np.sort(raw)[::-1]))
        empty = int(np.count_nonzero(raw == 0))
        caption += f" Before smoothing, {counted(empty, 'bin')} had no pixel." if empty else ""
    below = int(np.count_nonzero((priors < least) & (priors > 0)))
    if below:
        caption += f" {counted(below, 'bin')} below {least:.0e} drawn on the axis."
    drawing = curves(
        lines,
        title=f"Prior of each bin by rank, {label}",
        description=f"From {priors.max():.2g} down to {priors.min():.2g}.",
        x_label="rank of the bin",
        y_label="prior (logarithmic)",
        log=True,
        least=least,
    )
    return Figure(title=f"Prior by rank, {label}", drawings=[drawing], caption=caption)


def _weights(priors: NDArray[np.float64], weights: NDArray[np.float64], label: str) -> Figure:
    order = np.argsort(-priors, kind="stable")
    low, high = float(weights.min()), float(weights.max())
    drawing = curves(
        [Series(name="weight", x=np.arange(1, len(weights) + 1), y=weights[order])],
        title=f"Weight of each bin in the loss, {label}",
        description=f"From {low:.3g} for the most frequent to {high:.3g} for the rarest.",
        x_label="rank of the bin, by prior",
        y_label="weight",
    )
    caption = f"From {low:.3g} to {high:.3g}: rare colours count more in the loss."
    return Figure(title=f"Rebalancing weights, {label}", drawings=[drawing], caption=caption)
