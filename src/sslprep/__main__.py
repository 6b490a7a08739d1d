"""`sslprep`, and `python -m sslprep`."""

import atexit
import gc
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; Ctrl-C while it is being loaded is no traceback either."""
    atexit.register(gc.freeze)  # else Python looks for cycles among all its objects: 15 ms
    try:
        from sslprep import interrupts

        with interrupts.held():  # C code that Ctrl-C stops half-way in its import crashes later
            from sslprep import cli
    except KeyboardInterrupt:
        sys.exit(130)
    cli.main()


if __name__ == "__main__":
    main()
