"""Faults in a cluster under load, and their effects: see docs/chaos.md."""
