"""`sslprep`, and `python -m sslprep`."""

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; Ctrl-C while it is being loaded is no traceback either."""
    from sslprep import interrupts

    try:
        with interrupts.held():  # C code that Ctrl-C stops half-way in its import crashes later
            from sslprep import cli
    except KeyboardInterrupt:
        sys.exit(130)
    cli.main()


if __name__ == "__main__":
    main()
