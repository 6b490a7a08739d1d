"""`python -m sslprep`."""

from sslprep.cli import main

if __name__ == "__main__":
    main()
