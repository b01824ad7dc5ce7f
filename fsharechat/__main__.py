"""`python -m fsharechat` is `fsharechat`."""

import sys

from fsharechat.cli import main

if __name__ == "__main__":
    sys.exit(main())
