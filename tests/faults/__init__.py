"""Faults on purpose: short in `make test`, long in `make soak`."""

import os

SOAK = bool(os.environ.get("PERFHOUSE_SOAK"))
"""Whether there is time for the long form."""
