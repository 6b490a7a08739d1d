"""Two small writers that prove the campaign itself: one uses `OutputSet`, one does what is usual.

python -m tests.faults.stand_in careful  --source FILE --output_dir DIR [--overwrite]
python -m tests.faults.stand_in careless --source FILE --output_dir DIR [--overwrite]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sslprep import cli, manifest
from sslprep.atomic import OutputSet
from sslprep.errors import SslprepError
from sslprep.input_files import reading

NAMES = ("first.bin", "second.bin")
MANIFEST = "set.manifest.json"


def careful(source: Path, output_dir: Path, overwrite: bool) -> None:
    """Write two files as every command of sslprep does."""
    inputs = manifest.Inputs()
    inputs.add_file(source)
    with reading(source, SslprepError):
        data = source.read_bytes()
    with OutputSet(output_dir, NAMES, manifests=[MANIFEST], overwrite=overwrite) as out:
        for name in NAMES:
            with out.create(name) as file:
                for start in range(0, len(data), 8192):
                    file.write(data[start : start + 8192])
        records = inputs.records()
        manifest.write(out, MANIFEST, kind="x", command="x", parameters={}, inputs=records)
        out.commit()


def careless(source: Path, output_dir: Path, overwrite: bool) -> None:
    """Write them under their final names from the start."""
    output_dir.mkdir(parents=True, exist_ok=True)
    data = source.read_bytes()
    for name in (*NAMES, "done.txt"):
        if (output_dir / name).exists() and not overwrite:
            raise SslprepError("exists already", where=name)
        with open(output_dir / name, "wb") as file:
            for start in range(0, len(data), 8192):
                file.write(data[start : start + 8192])


def main() -> None:
    """Run one of the two with the exit codes of sslprep."""
    parser = argparse.ArgumentParser()
    parser.add_argument("how", choices=["careful", "careless"])
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--overwrite", action="store_true")
    given = parser.parse_args()
    write = careful if given.how == "careful" else careless
    cli.exit_with(lambda: write(given.source, given.output_dir, given.overwrite))


if __name__ == "__main__":
    main()
