"""Certificates for tests: the authority that `scripts/services` has too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

from localservices.certificates import Authority, Pair

__all__ = ["Authority", "Pair"]
