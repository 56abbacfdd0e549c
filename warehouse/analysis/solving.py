"""How many threads NumPy's linear algebra runs on."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

__all__ = ["solve_on_one_thread"]


def solve_on_one_thread() -> None:
    """For this process, from now on: what is solved here is small, and threads that help with it spin at a
    barrier for ten times as long as one of them takes.
    """
    np.linalg.qr(np.eye(2))  # loads the library whose threads are bounded
    threadpool_limits(1, user_api="blas")
