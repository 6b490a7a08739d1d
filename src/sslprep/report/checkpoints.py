"""Checkpoints: what became of every blob, the proof, and the first filters."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sslprep.checkpoints.account import Fate
from sslprep.checkpoints.arrays import StoredArray
from sslprep.checkpoints.names import parse_caffe2, parse_torch
from sslprep.checkpoints.open import open_checkpoint
from sslprep.drawing.charts import Mark
from sslprep.drawing.dots import dots
from sslprep.drawing.numbers import count_text, counted, size_text
from sslprep.errors import SslprepError
from sslprep.input_files import read_json
from sslprep.report.blocks import (
    Block,
    Card,
    Cell,
    Column,
    Figure,
    Gallery,
    Lines,
    Photo,
    Section,
    Table,
    cells,
    numbers,
    short,
)
from sslprep.report.collect import LARGEST_JSON, Artefact, Collection, Count, note, regular_file
from sslprep.report.pictures import Picture, find_file, pixels

LARGEST_CHECKPOINT = 4_000_000_000
"""Bytes; the file is mapped, and only its names and the first filters are read."""

_MOST_BLOBS, _MOST_FILTERS = 1200, 128
_ACTIONS = ("kept", "renamed", "folded", "dropped", "unknown")
_STAGES = ("stem", "res2", "res3", "res4", "res5", "head", "training run", "other")
_CONV1 = re.compile(r"(?:.*\.)?(?:conv1_w|conv1(?:_s[0-9]+)?_w|conv1\.weight|stem\.conv1\.weight)")

LEAD = (
    "What a conversion made of every blob of the source. Nothing is lost without a reason: each "
    "blob is kept, renamed, folded into another, or dropped for what the account says."
)


class _Proof(msgspec.Struct):
    largest_relative_difference_below: float = 0
    stages: list[str] = []
    picture: str = ""


class _Towers(msgspec.Struct):
    taken: Count | None = None


class _Details(msgspec.Struct):
    model: str = ""
    channels: str | None = None
    input_channels: Count = 0
    absorbed_std: bool = False
    towers: _Towers | None = None
    notes: list[str] = []
    settings: dict[str, Any] = {}
    proof: _Proof | None = None
    account: list[Fate] = []


class _Measured(msgspec.Struct):
    largest_relative_difference: dict[str, float]


Filters = NDArray[np.float32]
Known = dict[Path, Filters | None]
"""The first filters of each checkpoint that was opened; `None` if it has none."""


def stage_of(blob: str) -> str:
    """Return the part of the network that a blob belongs to.

    Example:
        >>> [stage_of(n) for n in ("res_conv1_bn_s0_b", "res4_5_branch2a_w", "pred_w", "lr")]
        ['stem', 'res4', 'head', 'training run']
        >>> stage_of("layer1.0.conv1.weight"), stage_of("conv3_w"), stage_of("<b>")
        ('res2', 'conv3', 'other')
    """
    if blob in ("lr", "model_iter", "epoch"):
        return "training run"
    name = parse_caffe2(blob) or parse_torch(blob.removeprefix("module."))
    if name is None:
        return "other"
    if name.momentum:
        return "training run"
    if name.unit is not None:
        return f"res{name.unit.stage}"
    if name.layer in ("conv1", "res_conv1"):
        return "stem"
    return name.layer if re.fullmatch(r"conv[2-9]", name.layer) else "head"


def section(collection: Collection) -> Section | None:
    """Describe every checkpoint of the collection, and compare them."""
    found = collection.of_kind("checkpoint")
    if not found:
        return None
    result = Section(anchor="checkpoints", title="Checkpoints", lead=LEAD, css="three")
    known: Known = {}
    shown: set[Picture] = set()
    rows = []
    for artefact in found:
        card = _card(artefact, collection, known, shown)
        result.cards.append(card)
        rows.append(_row(artefact, card))
    if len(rows) > 1:
        titles = ("kept", "renamed", "folded", "dropped", "arrays", "size before", "after")
        columns = [Column(title="checkpoint"), Column(title="source"), *numbers(*titles)]
        columns.append(Column(title="checked"))
        result.blocks.append(
            Table(title="The conversions compared", columns=columns, rows=rows, css="wide")
        )
    proven = sum(row[-1].text != "–" for row in rows)
    result.points.append(f"{counted(proven, 'model')} checked against its source by computing it")
    result.sum = counted(sum(a.count("tensors") for a in found), "array")
    return result


def _row(artefact: Artefact, card: Card) -> list[Cell]:
    tensors = artefact.count("tensors")
    return [
        Cell(text=artefact.title, link=artefact.anchor),
        *cells(
            short(artefact.details(_Details).model),
            *(count_text(artefact.count(action)) for action in _ACTIONS[:4]),
            count_text(tensors) if tensors else "–",
            *(card.facts.get(fact, "–") for fact in ("size before", "size after", "checked")),
        ),
    ]


def _card(artefact: Artefact, collection: Collection, known: Known, shown: set[Picture]) -> Card:
    details = artefact.details(_Details)
    made = filter(None, (short(details.model), short(artefact.manifest.command)))
    card = Card(anchor=artefact.anchor, title=artefact.title, subtitle=" · ".join(made))
    sizes = [record.bytes for record in artefact.manifest.inputs if record.bytes]
    card.fact("arrays", count_text(artefact.count("tensors")))
    card.fact("size before", size_text(sizes[0]) if sizes else None)
    card.fact("size after", size_text(sum(o.bytes for o in artefact.manifest.outputs)))
    taken = details.towers.taken if details.towers else None
    card.fact("tower taken", None if taken is None else str(taken))
    card.fact("std absorbed in conv1", "yes" if details.absorbed_std else None)
    if details.input_channels != 1:
        channels = artefact.parameter("channels") or details.channels or ""
        card.fact("channel order", short(channels.upper(), 12))
    for gallery in _filters(card, artefact, collection.folder, known):
        # Several conversions of one model have the same filters: they are shown once.
        pictures = {photo.picture for photo in gallery.photos if photo.picture}
        (card.folded if pictures <= shown else card.blocks).append(gallery)
        shown |= pictures
    card.blocks += _proof(card, artefact, details.proof, collection.folder)
    card.blocks += _to_know(details)
    account = [fate for fate in details.account if fate.blob]
    if account:
        card.folded += [_stages(account), _whole_account(account)]
    else:
        card.note("The manifest holds no account of the blobs.")
    return card


def _stages(account: Sequence[Fate]) -> Table:
    """Count the blobs of each stage by what became of them."""
    counts: dict[str, Counter[str]] = {}
    for fate in account:
        counts.setdefault(stage_of(fate.blob), Counter())[fate.action] += 1
    used = [action for action in _ACTIONS if any(c[action] for c in counts.values())]
    order = {stage: i for i, stage in enumerate(_STAGES)}
    rows = []
    for stage in sorted(counts, key=lambda s: (order.get(s, 0.5), s)):
        texts = [count_text(counts[stage][a]) if counts[stage][a] else "–" for a in used]
        rows.append(cells(stage, *texts, count_text(counts[stage].total())))
    totals = [count_text(sum(c[action] for c in counts.values())) for action in used]
    rows.append(cells("all", *totals, count_text(len(account))))
    reasons = Counter(fate.reason for fate in account if fate.action == "dropped" and fate.reason)
    dropped = ", ".join(
        f"{count_text(n)} ({short(reason)})" for reason, n in reasons.most_common(5)
    )
    return Table(
        title="Blobs by stage",
        columns=[Column(title="stage"), *numbers(*used, "blobs")],
        rows=rows,
        caption=f"Dropped: {dropped}." if dropped else "",
        css="totals",
    )


def _proof(card: Card, artefact: Artefact, proof: _Proof | None, folder: Path) -> list[Block]:
    """Show what `--check` measured, where it ran.

    The manifest holds the limit, on which all machines agree; the differences, which hang on the
    last digits of a machine's arithmetic, stand in a file beside the model.
    """
    if proof is None or not proof.stages or proof.largest_relative_difference_below <= 0:
        return []
    limit = proof.largest_relative_difference_below
    card.fact("checked", counted(len(proof.stages), "stage"))
    text = (
        f"On {short(proof.picture) or 'one photo'}, the largest difference of each stage between "
        f"source and converted model, relative to the stage's largest value: below {limit:g}. "
        "Two separate implementations computed them."
    )
    title = "Check: source against converted model"
    path = artefact.path.parent / f"{artefact.name}.check.json"
    try:
        file = regular_file(path, limit=LARGEST_JSON)
        measured = read_json(file, _Measured, SslprepError).largest_relative_difference
    except SslprepError as error:
        card.note(f"The measured differences cannot be shown. {note(error, folder)}")
        measured = {}
    known = {s: measured[s] for s in proof.stages[:20] if np.isfinite(measured.get(s, np.inf))}
    if not known:
        return [Lines(title=title, lines=[text])]
    drawing = dots(
        [short(stage, 16) for stage in known],
        [("", list(known.values()))],
        title="Largest relative difference of each stage",
        description=", ".join(f"{stage} {value:.1e}" for stage, value in known.items()),
        x_label="largest relative difference (logarithmic)",
        log=True,
        marks=[Mark(value=limit, label=f"limit of --check: {limit:g}")],
    )
    return [Figure(title=title, drawings=[drawing], caption=text)]


def _first_filters(blobs: Mapping[str, object]) -> Filters | None:
    for name, blob in blobs.items():
        if not (isinstance(blob, StoredArray) and _CONV1.fullmatch(name)):
            continue
        if len(blob.shape) == 4 and blob.shape[1] in (1, 3) and 0 < max(blob.shape[2:]) <= 16:
            return np.asarray(blob.load(), np.float32)
    return None


def draw_filters(filters: Filters) -> Picture | None:
    """Lay filters (n, 1 or 3, height, width) out as tiles; `None` if some value is not finite."""
    filters = filters[:_MOST_FILTERS]
    if not filters.size or not np.isfinite(filters).all():
        return None
    largest = float(np.abs(filters).max()) or 1.0
    count, channels, height, width = filters.shape
    across = min(16, max(1, round(count**0.5)))
    down = -(-count // across)
    sheet = np.full((down * (height + 1) + 1, across * (width + 1) + 1, 3), 128, np.uint8)
    shown = np.clip((filters / largest + 1) * 127.5, 0, 255).round().astype(np.uint8)
    for i, tile in enumerate(shown.transpose(0, 2, 3, 1)):
        y, x = divmod(i, across)
        top, left = 1 + y * (height + 1), 1 + x * (width + 1)
        sheet[top : top + height, left : left + width] = tile if channels == 3 else tile[..., :1]
    return pixels(sheet)


def _filters(card: Card, artefact: Artefact, folder: Path, known: Known) -> list[Gallery]:
    """Show the first filters in the source and as written; once where they look alike."""
    inputs, outputs = artefact.manifest.inputs, artefact.manifest.outputs
    written = [output.file for output in outputs if not output.file.endswith(".json")]
    places: dict[str, Callable[[], Path]] = {
        "in the source": lambda: find_file(inputs[0].path if inputs else "", artefact),
        "as written": lambda: artefact.file(written[0] if written else ""),
    }
    shown: dict[str, tuple[Picture, float]] = {}
    alt = caption = ""
    for title, find in places.items():
        try:
            path = find()
            if path not in known:  # each file is mapped and read once
                contents = open_checkpoint(regular_file(path, limit=LARGEST_CHECKPOINT))
                known[path] = _first_filters(contents.stored)
        except SslprepError as error:
            what = "source" if title == "in the source" else "written checkpoint"
            card.note(f"The {what} cannot be read. {note(error, folder)}")
            continue
        if (filters := known[path]) is None:
            continue
        drawn = draw_filters(filters)
        if drawn is None:
            card.note(f"The first filters {title} hold values that are not finite.")
            continue
        shown[title] = drawn, float(np.abs(filters).max())
        count, channels, height, width = filters.shape
        alt = f"{count} filters of {height} by {width} pixels and {channels} channels"
        caption = "Grey is 0."
        if channels == 3:
            caption = "First channel as red, second as green, third as blue; grey is 0."
    if len({picture.uri for picture, _ in shown.values()}) == 1 and len(shown) == 2:
        ends = " and ".join(
            f"up to ±{largest:.3g} {title}" for title, (_, largest) in shown.items()
        )
        photos = [Photo(picture=next(iter(shown.values()))[0], alt=alt, caption=ends)]
    else:
        photos = [
            Photo(picture=picture, alt=alt, caption=f"{title}, up to ±{largest:.3g}")
            for title, (picture, largest) in shown.items()
        ]
    if not photos:
        return []
    return [Gallery(title="First filters (conv1)", photos=photos, caption=caption, css="pair")]


def _to_know(details: _Details) -> list[Block]:
    """Show what the user of the checkpoint must know and set."""
    blocks: list[Block] = []
    if details.notes:
        lines = [short(text, 400) for text in details.notes[:20]]
        blocks.append(Lines(title="What to know", lines=lines))
    if details.settings:
        rows = [
            cells(short(key), short(_plain(value), 120))
            for key, value in [*details.settings.items()][:40]
        ]
        columns = [Column(title="key", kind="code"), Column(title="value", kind="code")]
        blocks.append(Table(title="What to set where it is used", columns=columns, rows=rows))
    return blocks


def _plain(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(_plain(item) for item in value[:20])
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(item)}" for key, item in [*value.items()][:20])
    return f"{value:g}" if isinstance(value, float) else str(value)


def _whole_account(account: Sequence[Fate]) -> Lines:
    """List the blobs one by one; a table would take four times the bytes."""
    lines = []
    for fate in account[:_MOST_BLOBS]:
        arrow = f" → {short(fate.became)}" if fate.became not in (None, "", fate.blob) else ""
        reason = f" ({short(fate.reason)})" if fate.reason else ""
        lines.append(f"{short(fate.action, 8):8}{short(fate.blob)}{arrow}{reason}")
    if len(account) > len(lines):
        lines.append(f"… {count_text(len(account) - len(lines))} more are in the manifest")
    title = f"All {count_text(len(account))} blobs"
    return Lines(title=title, lines=lines, code=True, css="wide", rank=3)
