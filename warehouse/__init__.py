"""The ground floor: the process that owns the DuckDB file, and its client."""

import os

VERSION = "0.1.0"

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# what is solved here is small: threads that help with it spin ten times longer than one takes; numpy reads
# this when it is imported, which every part of Perfhouse does after this
