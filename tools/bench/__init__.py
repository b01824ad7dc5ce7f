"""The load generator of `scripts/bench` (docs/benchmark.md). It starts the server and is all its clients."""
