"""The account of a conversion: the model for its target, what became of every blob, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sslprep.checkpoints.batchnorm import EPS
from sslprep.checkpoints.preprocessing import Preprocessing
from sslprep.errors import CheckpointError
from sslprep.results import table

Form = Literal["torch", "safetensors", "detectron2", "caffe2"]
Action = Literal["kept", "renamed", "folded", "dropped", "unknown"]

MOMENTUM = "momentum of the optimiser"
OTHER_TOWER = "another tower"
HEAD = "head of the pretext task or classifier"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What became of one blob.

    Attributes:
        blob: Its name in the source.
        became: Its name in the target; `None` when it is not there.
        action: `kept` (same name), `renamed`, `folded` (its values went into others), `dropped`
            (for the reason given) or `unknown`.
        reason: Why, where the action does not say it.
    """

    blob: str
    became: str | None
    action: Action
    reason: str | None = None


def kept(blob: str, became: str, reason: str | None = None) -> Fate:
    """Return the fate of a blob that keeps its values, and perhaps its name."""
    action: Action = "kept" if blob == became else "renamed"
    return Fate(blob=blob, became=became, action=action, reason=reason)


def dropped(blob: str, reason: str) -> Fate:
    """Return the fate of a blob that is not in the target."""
    return Fate(blob=blob, became=None, action="dropped", reason=reason)


def unknown(blob: str, reason: str = "no such name in the benchmark's networks") -> Fate:
    """Return the fate of an array whose name the network has not."""
    return Fate(blob=blob, became=None, action="unknown", reason=reason)


def refuse_unknown(fates: Iterable[Fate], *, allow_unknown: bool) -> None:
    """Raise when blobs are unknown and that was not allowed."""
    found = [fate.blob for fate in fates if fate.action == "unknown"]
    if found and not allow_unknown:
        raise CheckpointError(
            f"{are(found)} unknown",
            expected="names of a network that is known here",
            remedy="Pass --allow-unknown to go on without knowing what they are.",
        )


def names_text(names: Sequence[str], shown: int = 3) -> str:
    """List the first names, each shortened, and count the others."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(n if len(n) <= 90 else f"{n[:89]}…" for n in names[:shown]) + more


def are(names: Sequence[str]) -> str:
    """Begin a sentence about names."""
    return f"{names_text(names)} {'is' if len(names) == 1 else 'are'}"


def short_table(fates: Iterable[Fate]) -> str:
    """Lay out the account with one line per action and reason, and an example of each.

    Example:
        >>> print(short_table([kept("conv1_s0_w", "conv1_w"), dropped("lr", "bookkeeping")]))
        blobs  what became of them   for example
        -----  --------------------  --------------------
            1  renamed               conv1_s0_w → conv1_w
            1  dropped: bookkeeping  lr
    """
    groups: dict[tuple[str, str | None], list[Fate]] = {}
    for fate in fates:
        groups.setdefault((fate.action, fate.reason), []).append(fate)
    rows = []
    for (action, reason), members in groups.items():
        example = members[0]
        arrow = f" → {example.became}" if example.became not in (None, example.blob) else ""
        what = action if reason is None else f"{action}: {reason}"
        rows.append([len(members), what, example.blob + arrow])
    return table(["blobs", "what became of them", "for example"], rows)


@dataclass(kw_only=True)
class Converted:
    """A model for its target.

    Attributes:
        form: Whose names it has.
        takes: What its user is told to feed.
        eps: What its batch norms, and the source's, add to the variance.
        classifier: The Caffe2 head that is its `fc`.
        arrays: By the target's name.
        fates: What became of each Caffe2 blob.
        other_heads: Heads that are kept and that torchvision's models have no place for.
    """

    form: Form
    takes: Preprocessing
    eps: float = EPS
    classifier: str | None = None
    arrays: dict[str, Any] = field(default_factory=dict)
    fates: dict[str, Fate] = field(default_factory=dict)
    other_heads: dict[str, None] = field(default_factory=dict)

    def put(self, text: str, name: str, array: Any) -> None:
        """Keep a blob under the target's name."""
        if name in self.arrays:
            raise CheckpointError(f"{text} and another blob would both become {name}")
        self.arrays[name] = array
        self.fates[text] = kept(text, name)


@dataclass(frozen=True, kw_only=True)
class ConversionResult:
    """What a conversion wrote.

    Attributes:
        written: The checkpoint and its manifest.
        model: What the source is, such as `R-50, Jigsaw with 9 towers`.
        blobs: Blobs of the source, by what became of them.
        tensors: Arrays in the written checkpoint.
        notes: What the user must know or set where the checkpoint is used.
        proof: Largest relative difference of each stage, where `--check` was asked for.
        warnings: What may be wrong.
        summary: The account, shortened; the whole one is in the manifest.
    """

    written: tuple[Path, ...]
    model: str
    blobs: dict[str, int]
    tensors: int
    notes: tuple[str, ...] = ()
    proof: dict[str, float] | None = None
    warnings: tuple[str, ...] = ()
    summary: str = ""

    def text(self) -> str:
        """Return what a person is shown."""
        lines = [f"{self.model}: {self.tensors} arrays written to {self.written[0]}"]
        lines += ["", self.summary]
        if self.proof is not None:
            rows = [[stage, f"{value:.1e}"] for stage, value in self.proof.items()]
            lines += ["", table(["stage", "largest relative difference"], rows)]
        if self.notes:
            lines += ["", *self.notes]
        return "\n".join(lines)
