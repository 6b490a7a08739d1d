"""`lowshot verify`: proves from the files alone that samples are what their names say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, groupby
from pathlib import Path

from sslprep import console
from sslprep.errors import ArrayError
from sslprep.files import reading
from sslprep.lowshot.check_lists import check_lists
from sslprep.lowshot.check_matrices import check_matrix
from sslprep.lowshot.checked import Checked, SampleProof
from sslprep.lowshot.found import FoundSet, find_sets, holds_matrix, output_problems
from sslprep.lowshot.full import Full, read_full


@dataclass(frozen=True, kw_only=True)
class LowshotVerified:
    """What `lowshot verify` found.

    Attributes:
        folder: What was looked through.
        samples: Every sample.
        problems: One line for everything that is wrong.
        unproven: What could not be checked, and what would make it possible.
    """

    folder: Path
    samples: tuple[SampleProof, ...]
    problems: tuple[str, ...]
    unproven: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def text(self) -> str:
        """Lay the samples out as a table, then what is wrong and what is not proven."""
        words = {True: "yes", False: "NO", None: "not checked"}
        rows = [
            (
                s.file.relative_to(self.folder),
                s.classes,
                s.positives,
                "-" if s.negatives is None else s.negatives,
                words[s.subset],
                words[s.redrawn],
                "WRONG" if s.problems else "ok",
            )
            for s in self.samples
        ]
        headers = ("sample", "classes", "positives", "negatives", "subset", "redrawn", "result")
        lines = [console.table(headers, rows), ""]
        lines += [f"wrong: {text}" for text in self.problems]
        lines += [f"not proven: {text}" for text in self.unproven]
        end = f"{len(self.problems)} problems" if self.problems else "nothing wrong"
        return "\n".join([*lines, f"{len(self.samples)} samples, {end}"])


def equal_samples(checked: Sequence[Checked]) -> list[str]:
    """Find samples of one size that are equal where they could differ.

    Equal samples are right where every class is drawn whole, and where drawing them again by
    their seed shows that it happened by chance (few images, small k).
    """
    problems = []
    by_size = sorted(checked, key=lambda item: item.found.shot)
    for _, group in groupby(by_size, key=lambda item: item.found.shot):
        for one, other in combinations(group, 2):
            if one.content is None or one.content != other.content or one.only_one:
                continue
            if one.proof.redrawn and other.proof.redrawn:
                continue
            problems.append(
                f"{one.found.main} and {other.found.main.name} are equal"
                + ("" if one.proof.subset else " (the full targets would show if they must be)")
            )
    return problems


def _check_set(found: FoundSet, full: Full | None) -> list[Checked]:
    if not found.multi_label:
        return check_lists(found.samples, full)
    checked = []
    with console.progress(len(found.samples), "samples") as advance:
        for sample in found.samples:
            checked.append(check_matrix(sample, full))
            advance(1)
    return checked


def _unlisted(found: FoundSet) -> list[str]:
    """Say which samples no manifest speaks of, or which numbers seem to be missing."""
    place = found.folder / found.stem
    if found.manifest is not None:
        return [
            f"{sample.main}: how it was drawn: {found.manifest_path} does not list it"
            for sample in found.samples
            if not sample.listed
        ]
    numbers = {sample.sample for sample in found.samples}
    texts = []
    for shot in sorted({sample.shot for sample in found.samples}):
        here = {sample.sample for sample in found.samples if sample.shot == shot}
        if missing := [str(n) for n in sorted(numbers - here)]:
            texts.append(
                f"{place}: that the set is complete: {shot.name} has no sample {', '.join(missing)}"
            )
    return texts


def verify_samples(
    *,
    folder: Path,
    targets_data_file: Path | None = None,
    images_data_file: Path | None = None,
) -> LowshotVerified:
    """Prove that low-shot samples are what their names say.

    From the files alone, also those of other programs: every class of every sample has exactly k
    positives (and, multi-label, (classes - 1)·k negatives); every label is that of the full
    targets; no two samples are equal that could differ. Where a manifest tells the seed, the
    samples are drawn again and compared; index files and manifests must agree with the samples.

    Args:
        folder: Samples named like `train_targets_sample1_k4.npy`; folders below are read too.
        targets_data_file: The full targets (.npy or JSON); by default those that the manifest
            beside the samples names. Without them subsets are not proven.
        images_data_file: For single-label samples the full image list; by default the manifest's,
            or the one beside the targets.

    Returns:
        What was proven, what is wrong, and what could not be checked.

    Raises:
        DatasetError: No folder, or no samples in it.
        ArrayError: The full targets that were given cannot be read.
    """
    sets, problems = find_sets(folder)
    unproven: list[str] = []
    proofs: list[SampleProof] = []
    given = None
    if targets_data_file is not None:
        with reading(targets_data_file):
            targets_data_file.stat()
        given = holds_matrix(targets_data_file)
        if sets and all(found.multi_label != given for found in sets):
            kind = "a list of class ids" if given else "a label matrix (images, classes)"
            raise ArrayError("does not fit the samples", where=targets_data_file, expected=kind)
    for found in sets:
        mine = targets_data_file if found.multi_label == given else None
        full, reason = read_full(found, mine, images_data_file)
        checked = _check_set(found, full)
        proofs += [item.proof for item in checked]
        problems += output_problems(found)
        problems += [text for item in checked for text in item.proof.problems]
        problems += equal_samples(checked)
        place = found.folder / found.stem
        if full is None:
            unproven.append(f"{place}: that samples are subsets: {reason}")
        elif full.labels is not None and full.images is None:
            unproven.append(f"{place}: that samples are subsets: pass --images-data-file")
        unproven += _unlisted(found)
    return LowshotVerified(
        folder=folder, samples=tuple(proofs), problems=tuple(problems), unproven=tuple(unproven)
    )
