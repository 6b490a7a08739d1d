"""Step A: one tower of a Jigsaw model under the names of a model without towers."""

from __future__ import annotations

from pathlib import Path

from sslprep.checkpoints.account import ConversionResult, Converted
from sslprep.checkpoints.conversion import Conversion
from sslprep.checkpoints.pickling import save_pickle
from sslprep.parameters import NotNegative, command


@command(renamed={"model_file": "model", "output_file": "output"})
def convert_jigsaw(
    model: Path,
    output: Path,
    *,
    tower: NotNegative | None = None,
    allow_unknown: bool = False,
    allow_missing: bool = False,
    overwrite: bool = False,
    hash_inputs: bool = False,
) -> ConversionResult:
    """Take one tower of a Jigsaw model and give its blobs the names of an ordinary model.

    The towers share their convolutions and differ in their batch norms; the manifest says by
    how much. Momentum and bookkeeping stay, as in the script of 2019.

    Args:
        model: The Jigsaw checkpoint, a Caffe2 pickle.
        output: The pickle to write: `{'blobs': {name: array}}`, protocol 2.
        tower: The tower to take; the first one by default.
        allow_unknown: Keep blobs whose names are none of the benchmark's.
        allow_missing: Go on when the network is not whole.
        overwrite: Replace existing outputs.
        hash_inputs: Hash inputs above 1 GB too.

    Returns:
        What was written, and what became of the blobs.

    Raises:
        CheckpointError: The model has no towers (or they were renamed already), lacks the tower,
            or is not a whole and sound network.
        UnsafeFileError: The file cannot be read safely.
    """
    run = Conversion("convert jigsaw", locals())
    with run.open() as out:
        source = run.source(need_towers=True)
        weights = source.weights()
        if source.tower is None:
            source.warn("convert detectron took the tower; copied as it is")
        source.keep_unknown()
        made = Converted(form="caffe2", takes=source.preprocessing)
        for text, fate in source.fates.items():
            if fate.became is not None:
                made.put(fate.became, fate.became, source.value(text))
        save_pickle(out, output.name, {"blobs": made.arrays, **source.marked(made.takes)})
        notes = [source.preprocessing.text()]
        if (apart := source.distances.get("riv")) is not None:
            # Taking one tower is a choice that the user should know of.
            largest = f"{apart['largest_difference']:.3g} ({apart['blob']})"
            notes.insert(
                0,
                f"The other towers' running variances differ by up to {largest}; all distances "
                "are in the manifest.",
            )
        return run.finish(out, source, weights, made, notes=notes, details={})
