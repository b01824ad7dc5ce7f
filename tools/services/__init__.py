"""Real services on this machine, for development and tests: what `scripts/services` runs."""
