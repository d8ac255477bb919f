"""`python -m segnb.cli`."""

import sys

from segnb.cli import main

if __name__ == "__main__":
    sys.exit(main())
