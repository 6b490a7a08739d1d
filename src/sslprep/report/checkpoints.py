"""Checkpoints: what became of every blob, the proof, and the first filters."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from sslprep.checkpoints.names import parse_caffe2, parse_torch
from sslprep.drawing.numbers import count_text, size_text
from sslprep.errors import SslprepError
from sslprep.files import read_json
from sslprep.report.blocks import Card, Cell, Column, Gallery, Lines, Section, Shot, Table, short
from sslprep.report.collect import LARGEST_JSON, Artefact, Collection, note, regular_file
from sslprep.report.fields import Fields
from sslprep.report.filters import Opened, draw_filters, open_for_look
from sslprep.report.photos import find_file

_MOST_BLOBS = 1200
_ACTIONS = ("kept", "renamed", "folded", "dropped", "unknown")
_STAGES = ("stem", "res2", "res3", "res4", "res5", "head", "training run", "other")

LEAD = (
    "What a conversion made of every blob of the source. Nothing is lost without a reason: each "
    "blob is kept, renamed, folded into another, or dropped for what the account says."
)


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
    """Describe every checkpoint of the collection."""
    found = collection.of_kind("checkpoint")
    if not found:
        return None
    result = Section(anchor="checkpoints", title="Checkpoints", lead=LEAD)
    for artefact in found:
        card = _card(artefact, collection)
        result.cards.append(card)
    tensors = sum(Fields(a.manifest.counts).whole("tensors") or 0 for a in found)
    result.sum = f"{count_text(tensors)} arrays"
    return result


def _card(artefact: Artefact, collection: Collection) -> Card:
    details = artefact.details
    made = (short(details.text("model")), short(artefact.manifest.command))
    card = Card(
        anchor=artefact.anchor,
        title=artefact.title,
        subtitle=" · ".join(filter(None, made)),
    )
    counts = Fields(artefact.manifest.counts)
    before, after = _source(artefact), _target(artefact, card, collection.folder)
    tensors = counts.whole("tensors")
    card.fact("arrays written", None if tensors is None else count_text(tensors))
    sizes = [record.bytes for record in artefact.manifest.inputs if record.bytes]
    written = sum(output.bytes for output in artefact.manifest.outputs)
    card.fact("size before", size_text(sizes[0]) if sizes else None)
    card.fact("size after", size_text(written))
    taken = details.part("towers").whole("taken")
    card.fact("tower taken", None if taken is None else str(taken))
    card.fact("std absorbed in conv1", "yes" if details.flag("absorbed_std") else None)
    channels = artefact.parameters.text("channels") or details.text("channels")
    if details.whole("input_channels") != 1:
        card.fact("channel order written", short(channels.upper(), 12))
    for warning in artefact.manifest.warnings:
        card.note(f"Warning of the run: {warning}")
    account = _account(details)
    if account:
        card.add(_stages(account, before))
    else:
        card.note("The manifest holds no account of the blobs.")
    _filters(card, before, after, collection.folder)
    _proof(card, artefact, collection.folder)
    _settings(card, details)
    if account:
        card.add(_whole_account(account))
    return card


def _source(artefact: Artefact) -> Opened:
    if not artefact.manifest.inputs:
        return Opened(problem="the manifest names no source")
    text = artefact.manifest.inputs[0].path
    try:
        return open_for_look(find_file(text, artefact))
    except SslprepError as error:
        return Opened(problem=f"{text}: {error}")


def _target(artefact: Artefact, card: Card, folder: Path) -> Opened:
    names = [name for name in artefact.names if not name.endswith(".json")]
    try:
        opened = (
            open_for_look(artefact.file(names[0]))
            if names
            else Opened(problem="no output is named")
        )
    except SslprepError as error:
        opened = Opened(problem=str(error))
    if opened.problem:
        text = note(SslprepError(opened.problem), folder)
        card.note(f"The written checkpoint cannot be read. {text}")
    return opened


@dataclass(frozen=True, kw_only=True)
class _Fate:
    blob: str
    became: str
    action: str
    reason: str


def _account(details: Fields) -> list[_Fate]:
    fates = []
    for entry in details.parts("account"):
        action = entry.text("action")
        fate = _Fate(
            blob=entry.text("blob"),
            became=entry.text("became"),
            action=action if action in _ACTIONS else "unknown",
            reason=entry.text("reason"),
        )
        if fate.blob:
            fates.append(fate)
    return fates


def _stages(account: Sequence[_Fate], before: Opened) -> Table:
    """Count the blobs of each stage by what became of them."""
    counts: dict[str, Counter[str]] = {}
    sizes: Counter[str] = Counter()
    for fate in account:
        stage = stage_of(fate.blob)
        counts.setdefault(stage, Counter())[fate.action] += 1
        sizes[stage] += before.bytes_of(fate.blob) or 0
    used = [action for action in _ACTIONS if any(c[action] for c in counts.values())]
    order = {stage: i for i, stage in enumerate(_STAGES)}
    stages = sorted(counts, key=lambda s: (order.get(s, 0.5), s))
    rows = []
    for stage in stages:
        cells = [Cell(text=stage)]
        for action in used:
            number = counts[stage][action]
            cells.append(Cell(text=count_text(number) if number else "–", value=number))
        total = counts[stage].total()
        cells.append(Cell(text=count_text(total), value=total))
        if before.contents is not None:
            cells.append(Cell(text=size_text(sizes[stage]), value=sizes[stage]))
        rows.append(cells)
    totals = [sum(c[action] for c in counts.values()) for action in used]
    foot = [Cell(text="all"), *(Cell(text=count_text(n)) for n in (*totals, len(account)))]
    if before.contents is not None:
        foot.append(Cell(text=size_text(sizes.total())))
    rows.append(foot)
    heads = [Column(title="stage"), *(Column(title=action, kind="number") for action in used)]
    heads.append(Column(title="blobs", kind="number"))
    if before.contents is not None:
        heads.append(Column(title="size in the source", kind="number"))
    reasons = Counter(fate.reason for fate in account if fate.action == "dropped" and fate.reason)
    dropped = ", ".join(
        f"{count_text(n)} ({short(reason)})" for reason, n in reasons.most_common(5)
    )
    caption = f"Dropped: {dropped}." if dropped else ""
    return Table(
        title="Blobs by stage", columns=heads, rows=rows, caption=caption, css="totals broad"
    )


class _Measured(msgspec.Struct):
    largest_relative_difference: dict[str, float]


def _proof(card: Card, artefact: Artefact, folder: Path) -> None:
    """Show what `--check` proved, where it ran.

    The manifest holds the bound, on which all machines agree; the differences, which hang on the
    last digits of a machine's arithmetic, stand in a file beside the model.
    """
    proof = artefact.details.part("proof")
    below, stages = proof.number("largest_relative_difference_below"), proof.texts("stages")
    if below is None or not stages:
        return
    card.fact("proven by --check", f"{count_text(len(stages))} stages")
    picture = short(proof.text("picture")) or "one photo"
    text = (
        f"On {picture}, source and converted model computed the same: in every stage the largest "
        f"difference is below {below:g} of the stage's largest value. "
        "The two programs share no line."
    )
    path = artefact.path.parent / f"{artefact.name}.check.json"
    try:
        file = regular_file(path, limit=LARGEST_JSON)
        measured = read_json(file, _Measured, SslprepError).largest_relative_difference
    except SslprepError as error:
        card.note(f"The measured differences cannot be shown. {note(error, folder)}")
        measured = {}
    known = [(stage, measured[stage]) for stage in stages[:20] if stage in measured]
    top = max([value for _, value in known if np.isfinite(value)], default=0.0) or 1.0
    card.add(
        Table(
            title="Proof: source against converted model",
            columns=[
                Column(title="stage"),
                Column(title="largest relative difference", kind="number"),
                Column(title="bar", kind="bar"),
            ],
            rows=[
                [
                    Cell(text=short(stage, 20)),
                    Cell(text=f"{value:.1e}", value=value),
                    Cell(parts=(max(0.0, min(100.0, 100 * value / top)),)),
                ]
                for stage, value in known
                if np.isfinite(value)
            ],
            caption=text,
            css="bars",
        )
        if known
        else Lines(title="Proof: source against converted model", lines=[text])
    )


def _filters(card: Card, before: Opened, after: Opened, folder: Path) -> None:
    """Show the first filters in the source and as written, side by side."""
    if before.problem and after.filters is not None:
        text = note(SslprepError(before.problem), folder)
        card.note(f"The source's filters cannot be shown. {text}")
    shots = []
    caption = "Grey is 0."
    for title, opened in (("in the source", before), ("as written", after)):
        if opened.filters is None:
            continue
        drawn = draw_filters(opened.filters)
        if drawn is None:
            card.note(f"The first filters {title} hold values that are not finite.")
            continue
        count, channels, height, width = opened.filters.shape
        if channels == 3:
            caption = "First channel as red, second as green, third as blue; grey is 0."
        largest = float(np.abs(opened.filters).max())
        alt = f"{count} filters of {height} by {width} pixels and {channels} channels"
        shots.append(Shot(picture=drawn, alt=alt, caption=f"{title}, up to ±{largest:.3g}"))
    if shots:
        card.add(Gallery(title="First filters (conv1)", shots=shots, caption=caption, css="pair"))


def _settings(card: Card, details: Fields) -> None:
    """Show what the user of the checkpoint must know and set."""
    notes = [short(text, 400) for text in details.texts("notes")[:20]]
    if notes:
        card.add(Lines(title="What to know", lines=notes))
    settings = details.part("settings")
    rows = [
        [Cell(text=short(key)), Cell(text=short(_plain(settings.get(key)), 120))]
        for key in settings
    ]
    if rows:
        card.add(
            Table(
                title="What to set where it is used",
                columns=[Column(title="key", kind="code"), Column(title="value", kind="code")],
                rows=rows[:40],
            )
        )


def _plain(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(_plain(item) for item in value[:20])
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(item)}" for key, item in list(value.items())[:20])
    return f"{value:g}" if isinstance(value, float) else str(value)


def _whole_account(account: Sequence[_Fate]) -> Lines:
    """List the blobs one by one; a table would take four times the bytes."""
    lines = []
    for fate in account[:_MOST_BLOBS]:
        arrow = f" → {short(fate.became)}" if fate.became not in ("", fate.blob) else ""
        reason = f" ({short(fate.reason)})" if fate.reason else ""
        lines.append(f"{fate.action:8}{short(fate.blob)}{arrow}{reason}")
    more = len(account) - len(lines)
    if more > 0:
        lines.append(f"… {count_text(more)} more are in the manifest")
    title = f"All {count_text(len(account))} blobs"
    return Lines(title=title, lines=lines, code=True, rank=3)
