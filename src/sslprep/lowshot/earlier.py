"""What stands in the folder already: samples of an earlier run, and of others."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from sslprep import manifest
from sslprep.errors import ManifestError, ParameterError
from sslprep.lowshot.draw import GENERATOR
from sslprep.lowshot.sampleset import KIND, SAMPLE_NAME, SampleSet
from sslprep.lowshot.shots import Shot, shots_of_fractions, shots_of_k

logger = logging.getLogger(__name__)


def extend(samples: SampleSet) -> tuple[SampleSet, tuple[str, ...]]:
    """Take into account what an earlier run with the same manifest name wrote.

    Sizes that it drew in the same way (all but the sizes being equal) stay part of the set: they
    are written again, to the same bytes. So adding a k to a finished folder does what it says,
    and the manifest is the one of a single run. Files of another draw, or of more samples, are
    removed: one set under one name never mixes two draws.

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
        more = [shot for shot in _sizes(old) if samples.population.allows(shot)]
        if kept := [shot.name for shot in more if shot not in samples.shots]:
            logger.info("%s: %s of an earlier run, the same draw, kept", path, ", ".join(kept))
        samples = replace(samples, shots=tuple(sorted({*samples.shots, *more})))
    now = set(samples.names())
    gone = [file.file for file in old.outputs if file.file not in now]
    # Only names of samples: a manifest from elsewhere must not have other files removed.
    return samples, tuple(n for n in gone if SAMPLE_NAME.fullmatch(n) and Path(n).name == n)


def _sizes(old: manifest.Manifest) -> list[Shot]:
    """Return the sizes that a manifest says were written."""
    try:
        if "fraction" in old.details:
            return [*shots_of_fractions(msgspec.convert(old.details["fraction"], list[float]))]
        return [*shots_of_k(msgspec.convert(old.details.get("k_values"), list[int]))]
    except (msgspec.ValidationError, ParameterError):
        return []


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
    )


def strangers(samples: SampleSet, gone: tuple[str, ...]) -> tuple[str, ...]:
    """Warn of samples under the names of this run that are not of it (2019 runs, say)."""
    if not samples.output_path.is_dir():
        return ()
    ours = {*samples.names(), *gone}
    heads = {samples.stem, *(head for head, _ in samples.files)}
    names = sorted(
        path.name
        for path in samples.output_path.iterdir()
        if (match := SAMPLE_NAME.fullmatch(path.name))
        and match["stem"] in heads
        and bool(match["k"]) == bool(samples.shots[0].k)
        and path.name not in ours
    )
    if not names:
        return ()
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return (f"{samples.output_path}: {names[0]}{more} of another run stay beside this one's",)
