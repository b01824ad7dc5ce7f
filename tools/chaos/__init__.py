"""Faults in a cluster under load, and what they did to it: see docs/chaos.md."""
