"""What a long action does, step by step, as lines of JSON."""

import logging
import threading
from collections.abc import Generator, Iterable
from contextlib import ExitStack

import orjson

from warehouse.errors import PerfhouseError

log = logging.getLogger(__name__)


def lines(steps: Iterable[object], place: threading.BoundedSemaphore) -> Generator[bytes]:
    """The steps as lines; what goes wrong once they were begun is the last. Then the place is free again."""
    with ExitStack() as ending:
        ending.callback(place.release)
        first = True
        try:
            for step in steps:
                yield orjson.dumps(step, option=orjson.OPT_APPEND_NEWLINE)
                first = False
        except PerfhouseError as error:
            if first:
                raise
            log.warning("broken off: %s", error)
            told = {"part": "error", "message": error.message, "hint": error.hint}
            yield orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)
