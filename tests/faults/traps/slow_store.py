"""A store at `slow://` URLs, which is this disk, and which may answer too late.

The folder SSLPREP_STORE says how: `once` in it is taken away, and one request times out; `always`
stays, and all of them do.
"""

import os
from pathlib import Path

from fsspec.implementations.local import LocalFileSystem


class SlowStore(LocalFileSystem):
    """Files of this disk, read by requests that can time out."""

    protocol = "slow"

    def cat_ranges(self, paths, starts, ends, **how):  # type: ignore[no-untyped-def]
        """Return the content of each file, or the error that its request met."""
        control = Path(os.environ["SSLPREP_STORE"])
        if (control / "always").exists() or (control / "once").exists():
            (control / "once").unlink(missing_ok=True)
            return [TimeoutError("the store did not answer in time") for _ in paths]
        return [Path(self._strip_protocol(path)).read_bytes() for path in paths]
