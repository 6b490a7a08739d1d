"""Write all samples of a run: data, index files, and the manifest last."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sslprep import console, manifest
from sslprep.files import OutputSet
from sslprep.lowshot import earlier, index
from sslprep.lowshot.draw import GENERATOR
from sslprep.lowshot.sampleset import KIND, SampleSet
from sslprep.lowshot.shots import Shot

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SamplesWritten:
    """What a low-shot command wrote.

    Attributes:
        written: All files.
        manifest: The manifest, written last.
        rows: Rows of the full targets.
        classes: Number of classes.
        samples: Number of independent samples of each size.
        sizes: The k (or fractions) that were written.
        skipped: The k that were left out because some class has too few.
        seed: The seed.
        warnings: What to be aware of.
    """

    written: tuple[Path, ...]
    manifest: Path
    rows: int
    classes: int
    samples: int
    sizes: tuple[int | float, ...]
    skipped: tuple[int, ...]
    seed: int
    warnings: tuple[str, ...]

    def text(self) -> str:
        """Say in a few lines what was drawn."""
        kind = "fraction" if isinstance(self.sizes[0], float) else "k"
        lines = [
            f"{self.samples} samples each of {kind} = {', '.join(map(str, self.sizes))}, "
            f"seed {self.seed}, from {self.rows:,} rows of {self.classes} classes"
        ]
        if self.skipped:
            lines.append(f"LEFT OUT: k = {', '.join(map(str, self.skipped))} (too few images)")
        lines.append(f"{len(self.written)} files in {self.manifest.parent}")
        return "\n".join(lines)


def write(
    samples: SampleSet, save: Callable[[OutputSet, Shot, int], index.Index], *, overwrite: bool
) -> SamplesWritten:
    """Write all samples of a run, their index files, and the manifest last.

    Args:
        samples: What to write.
        save: Writes the data files of one sample and returns its index.
        overwrite: Replace existing files; see `earlier.extend`.

    Raises:
        OutputError: Files exist, or cannot be written.
    """
    obsolete: tuple[str, ...] = ()
    if overwrite:
        samples, obsolete = earlier.extend(samples)
    # What the folder held is told to the user; the manifest says only what was drawn.
    here = earlier.strangers(samples, obsolete)
    if obsolete:
        here += (f"{samples.output_path}: {len(obsolete)} files of an earlier draw are removed",)
    pairs = list(samples.pairs())
    with (
        OutputSet(
            samples.output_path,
            samples.names(),
            manifests=[samples.manifest_name],
            overwrite=overwrite,
            also_replaces=obsolete,
        ) as out,
        console.progress(len(pairs), "samples") as advance,
    ):
        for pair in pairs:
            out.save_bytes(samples.index_file(*pair), index.encode(save(out, *pair)))
            advance(1)
        _write_manifest(out, samples)
        out.commit()
    warnings = (*samples.warnings, *here)
    for text in warnings:
        logger.warning("%s", text)
    return SamplesWritten(
        written=tuple(samples.output_path / file.name for file in out.written),
        manifest=samples.output_path / samples.manifest_name,
        rows=samples.rows,
        classes=len(samples.population.ids),
        samples=samples.num_samples,
        sizes=_sizes(samples.shots),
        skipped=tuple(shot.k for shot in samples.skipped),
        seed=samples.seed,
        warnings=warnings,
    )


def _sizes(shots: Sequence[Shot]) -> tuple[int | float, ...]:
    return tuple(shot.k or shot.fraction for shot in shots)


def _size_parameters(shots: Sequence[Shot]) -> dict[str, list[int | float]]:
    return {"k_values" if shots[0].k else "fraction": list(_sizes(shots))}


def _write_manifest(out: OutputSet, samples: SampleSet) -> None:
    population = samples.population
    asked = tuple(sorted({*samples.shots, *samples.skipped}))
    classes = [
        {
            "id": int(id_),
            **({"name": population.names[i]} if population.names else {}),
            "positives": int(population.positives[i]),
            **(
                {"negatives": int(population.negatives[i])}
                if population.negatives is not None
                else {}
            ),
        }
        for i, id_ in enumerate(population.ids)
    ]
    manifest.write(
        out,
        samples.manifest_name,
        kind=KIND,
        command=samples.command,
        parameters={**samples.parameters, **_size_parameters(asked)},
        inputs=samples.inputs.records(),
        seed=samples.seed,
        generator=GENERATOR,
        counts={
            "rows": samples.rows,
            "classes": len(population.ids),
            "samples": samples.num_samples,
            "sizes": len(samples.shots),
        },
        warnings=samples.warnings,
        labels=samples.labels,
        details={
            "multi_label": population.negatives is not None,
            **_size_parameters(samples.shots),
            "skipped": [shot.k for shot in samples.skipped],
            "largest_k": population.largest_k,
            "classes": classes,
            "sets": [
                {
                    **shot.fields,
                    "sample": sample,
                    "files": samples.data_files(shot, sample),
                    "index": samples.index_file(shot, sample),
                }
                for shot, sample in samples.pairs()
            ],
        },
    )
