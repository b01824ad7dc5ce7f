"""A cluster of fsharechat on this machine; `scripts/cluster` runs it."""
