"""A long action runs once at a time, and the next may begin however the one before ended."""

from collections.abc import Iterator

import pytest

from warehouse.api_steps import lines, streamed
from warehouse.errors import RefusedError, StorageError
from warehouse.place import Place


def steps(first: object, then: Exception | None = None) -> Iterator[object]:
    yield first
    if then:
        raise then


def test_a_second_one_is_refused_until_the_first_has_ended() -> None:
    place = Place("it is compacted already")
    running = streamed(place, steps({"part": "copy"}))
    with pytest.raises(RefusedError, match="it is compacted already") as refused:
        streamed(place, steps({"part": "copy"}))
    assert refused.value.status == 409
    running._blocks.close()
    streamed(place, steps({"part": "copy"}))


def test_the_place_is_free_after_an_end_an_error_and_one_that_never_began() -> None:
    place = Place("it runs already")
    place.take()
    assert list(lines(steps({"part": "end"}), place)) == [b'{"part":"end"}\n']
    place.take()
    *_, told = lines(steps({"part": "copy"}, StorageError("the disk is full", "Free space.")), place)
    assert told == b'{"part":"error","message":"the disk is full","hint":"Free space."}\n'

    def refused() -> Iterator[object]:
        raise StorageError("the disk is full")
        yield

    with pytest.raises(StorageError):
        streamed(place, refused())
    place.take()
