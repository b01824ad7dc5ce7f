"""Real services on this machine, for development and tests; `scripts/services` runs them."""
