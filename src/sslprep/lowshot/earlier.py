"""What stands in the folder already: samples of an earlier run, and of others."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from sslprep import manifest
from sslprep.errors import ManifestError
from sslprep.lowshot.draw import GENERATOR
from sslprep.lowshot.sampleset import KIND, SAMPLE_NAME, SampleSet
from sslprep.lowshot.shots import Shot

logger = logging.getLogger(__name__)


def extend(samples: SampleSet) -> tuple[SampleSet, tuple[str, ...]]:
    """Take into account what an earlier run with the same manifest name wrote.

    Sizes that it drew in the same way (all but the sizes being equal) stay part of the set: they
    are written again, to the same bytes. So adding a k to a finished folder does what it says,
    and the manifest is the one of a single run. Files of another draw are removed: one set under
    one name never mixes two draws.

    Returns:
        The set with those sizes, and the names of files that are obsolete.
    """
    path = samples.output_path / samples.manifest_name
    try:
        old = manifest.read(path)
    except ManifestError:
        return samples, ()
    if old.kind != KIND:
        return samples, ()
    if _same_draw(samples, old):
        key = "k_values" if samples.shots[0].k else "fraction"
        sizes = old.details.get(key, [])
        more = {Shot(**{"k" if key == "k_values" else "fraction": size}) for size in sizes}
        if more := {shot for shot in more - set(samples.shots) if samples.population.allows(shot)}:
            kept = ", ".join(shot.name for shot in sorted(more))
            logger.info("%s: %s of an earlier run, the same draw, kept", path, kept)
        samples = replace(samples, shots=tuple(sorted({*samples.shots, *more})))
    now = {n for pair in samples.pairs() for n in samples.data_files(*pair)}
    now |= {samples.index_file(*pair) for pair in samples.pairs()}
    gone = [file.file for file in old.outputs if file.file not in now]
    # Only names of samples: a manifest from elsewhere must not have other files removed.
    gone = [name for name in gone if SAMPLE_NAME.fullmatch(name) and Path(name).name == name]
    if gone:
        logger.warning("%s: %d files of an earlier run, another draw, are removed", path, len(gone))
    return samples, tuple(gone)


def _same_draw(samples: SampleSet, old: manifest.Manifest) -> bool:
    sizes = {"k_values", "fraction", "skip_impossible"}
    paths = {name for name in samples.parameters if name.endswith("_data_file")}
    ours = msgspec.to_builtins(samples.parameters, enc_hook=str)

    def rest(parameters: dict[str, Any]) -> dict[str, Any]:
        return {n: v for n, v in parameters.items() if n not in sizes | paths}

    return (
        old.generator == GENERATOR
        and old.command == samples.command
        and rest(old.parameters) == rest(ours)
        and [(r.bytes, r.sha256) for r in old.inputs]
        == [(r.bytes, r.sha256) for r in samples.inputs.records()]
        and ("k_values" in old.parameters) == bool(samples.shots[0].k)
    )


def strangers(samples: SampleSet, ours: set[str]) -> tuple[str, ...]:
    """Warn of samples under the names of this run that are not of it (2019 runs, say)."""
    if not samples.output_path.is_dir():
        return ()
    heads = {samples.stem, *(head for head, _ in samples.files)}
    names = sorted(
        path.name
        for path in samples.output_path.iterdir()
        if (match := SAMPLE_NAME.fullmatch(path.name))
        and match["stem"] in heads
        and path.name not in ours
    )
    if not names:
        return ()
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return (f"{samples.output_path}: {names[0]}{more} of another run stay beside this one's",)
