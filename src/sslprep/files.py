"""Former place of what is in `atomic`, `npy` and `input_files` now."""

from sslprep.atomic import MANIFEST_SUFFIX, OutputSet, WrittenFile
from sslprep.input_files import read_json, reading, sha256_of
from sslprep.npy import (
    parse_array_header,
    read_array,
    read_array_header,
    write_array,
    write_strings,
)

__all__ = [
    "MANIFEST_SUFFIX",
    "OutputSet",
    "WrittenFile",
    "parse_array_header",
    "read_array",
    "read_array_header",
    "read_json",
    "reading",
    "sha256_of",
    "write_array",
    "write_strings",
]
