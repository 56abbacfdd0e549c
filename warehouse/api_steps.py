"""What a long action does, step by step, as lines of JSON."""

import logging
from collections.abc import Generator, Iterable
from contextlib import ExitStack

import orjson

from warehouse.declared import JSON_LINES
from warehouse.errors import PerfhouseError
from warehouse.place import Place
from warehouse.streamed import Streamed

log = logging.getLogger(__name__)


def streamed(place: Place, steps: Iterable[object]) -> Streamed:
    """The steps as an answer, if nobody has the place, which is free again at its end.

    Raises RefusedError, and what goes wrong before the first step.
    """
    place.take()
    told = lines(steps, place)
    return Streamed(next(told), told, media_type=JSON_LINES)


def lines(steps: Iterable[object], place: Place) -> Generator[bytes]:
    """The steps as lines; what goes wrong once they were begun is the last. Then the place is free again."""
    with ExitStack() as ending:
        ending.callback(place.leave)
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
