"""Blocks of the spool: whole, bounded, and the same bytes for the same id whatever happens."""

import random
from pathlib import Path

import pytest

from loadtests.folder import Folder
from loadtests.shipping import BLOCK_BYTES, Block, Shipment
from tests.loadtests.standins import MemoryDoor, new_folder, rows, run_name
from warehouse.errors import WarehouseAwayError

RUN = run_name(1)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return new_folder(tmp_path)


def append(folder: Folder, name: str, body: bytes) -> None:
    with (folder.path / name).open("ab") as file:
        file.write(body)


def send(door: MemoryDoor, block: Block, *, dies: bool = False) -> None:
    door.send_rows(RUN, block.file.worker, block.file.name, block.offset, block.body)
    if dies:
        raise WarehouseAwayError("the agent died before it heard the answer")


def ship_all(shipment: Shipment, door: MemoryDoor) -> None:
    if shipment.is_lost:
        shipment.recover(door.stored_spool(RUN))
    while not shipment.has_all:
        for block in shipment.blocks():
            send(door, block)
            shipment.acknowledge(block)


def test_only_whole_rows_and_lines_are_sent(folder: Folder) -> None:
    append(folder, "requests-3.bin", rows(1, 2)[:-1])
    append(folder, "events-3.jsonl", b'{"a":1}\n{"b"')
    shipment = Shipment(folder)
    blocks = list(shipment.blocks())
    assert [(block.file.name, block.file.worker, block.body) for block in blocks] == [
        ("events-3.jsonl", 3, b'{"a":1}\n'),
        ("requests-3.bin", 3, rows(1)),
    ]
    for block in blocks:
        shipment.acknowledge(block)
    assert shipment.has_all
    append(folder, "requests-3.bin", rows(1, 2)[-1:])
    assert not shipment.has_all
    (block,) = shipment.blocks()
    assert (block.offset, block.body) == (32, rows(2))


def test_a_long_spool_goes_in_bounded_blocks(folder: Folder) -> None:
    whole = rows(*range(1, BLOCK_BYTES // 32 + 6))
    append(folder, "requests-0.bin", whole)
    door = MemoryDoor()
    ship_all(Shipment(folder), door)
    assert sorted(map(len, door.batches.values())) == [5 * 32, BLOCK_BYTES]
    assert door.stored(RUN, "requests-0.bin") == whole


def test_a_block_is_the_same_after_a_crash_though_its_file_grew(folder: Folder) -> None:
    append(folder, "requests-0.bin", rows(1))
    (before,) = Shipment(folder).blocks()
    append(folder, "requests-0.bin", rows(2))
    shipment = Shipment(folder)
    (again,) = shipment.blocks()
    assert again == before
    shipment.acknowledge(again)
    (following,) = shipment.blocks()
    assert following.body == rows(2)


@pytest.mark.parametrize("seed", range(5))
def test_crashes_and_lost_answers_leave_every_byte_once(folder: Folder, seed: int) -> None:
    """The spool grows while agents die before, during and after sending, and answers get lost."""
    chance = random.Random(seed)
    door = MemoryDoor()
    written = {"requests-0.bin": b"", "requests-1.bin": b"", "events-0.jsonl": b""}
    shipment = Shipment(folder)
    for number in range(400):
        name = chance.choice(list(written))
        body = rows(number + 1) if name.endswith("bin") else f'{{"n":{number}}}\n'.encode()
        cut = chance.randrange(len(body))
        append(folder, name, body[:cut])
        if chance.random() < 0.5:
            door.loses_answers = int(chance.random() < 0.3)
            try:
                for block in shipment.blocks():
                    send(door, block, dies=chance.random() < 0.2)
                    shipment.acknowledge(block)
            except WarehouseAwayError:
                if chance.random() < 0.5:
                    shipment = Shipment(folder)
        append(folder, name, body[cut:])
        written[name] += body
    door.loses_answers = 0
    ship_all(Shipment(folder), door)
    assert {name: door.stored(RUN, name) for name in written} == written


def test_what_a_failed_machine_took_from_the_end_holds_nothing_up(folder: Folder) -> None:
    append(folder, "requests-0.bin", rows(1, 2, 3))
    assert list(Shipment(folder).blocks())
    spool = folder.path / "requests-0.bin"
    spool.write_bytes(spool.read_bytes()[:70])
    door = MemoryDoor()
    ship_all(Shipment(folder), door)
    assert door.stored(RUN, "requests-0.bin") == rows(1, 2)


def test_room_that_holds_no_rows_yet_is_not_sent(folder: Folder) -> None:
    append(folder, "requests-0.bin", rows(1, 2) + bytes(64))
    door = MemoryDoor()
    shipment = Shipment(folder)
    ship_all(shipment, door)
    assert list(shipment.blocks()) == []
    with (folder.path / "requests-0.bin").open("r+b") as file:
        file.seek(64)
        file.write(rows(3))
    ship_all(shipment, door)
    assert door.stored(RUN, "requests-0.bin") == rows(1, 2, 3)


def test_rows_that_a_failed_machine_emptied_hold_nothing_up(folder: Folder) -> None:
    append(folder, "requests-0.bin", rows(1, 2, 3))
    assert list(Shipment(folder).blocks())
    spool = folder.path / "requests-0.bin"
    spool.write_bytes(rows(1) + bytes(32) + rows(3))
    append(folder, "requests-0.bin", rows(4))
    door = MemoryDoor()
    ship_all(Shipment(folder), door)
    assert sorted(door.batches.values()) == [rows(1), rows(4)]


def test_a_refused_block_is_told_and_the_next_goes_on(folder: Folder) -> None:
    append(folder, "requests-0.bin", rows(1))
    shipment = Shipment(folder)
    (block,) = shipment.blocks()
    shipment.refuse(block, "an endpoint that is not planned")
    append(folder, "requests-0.bin", rows(2))
    again = Shipment(folder)
    assert again.refusal == "32 bytes were refused: an endpoint that is not planned"
    (following,) = again.blocks()
    assert following.body == rows(2)


def test_a_line_without_end_is_not_held_for_ever(folder: Folder) -> None:
    append(folder, "events-0.jsonl", b"x" * (BLOCK_BYTES + 10) + b"\n")
    door = MemoryDoor()
    ship_all(Shipment(folder), door)
    assert len(door.stored(RUN, "events-0.jsonl")) == BLOCK_BYTES + 11


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{",
        '{"files": {"requests-0.bin": {"acknowledged": 33, "promised": 96}}}',
        '{"files": {"requests-0.bin": {"acknowledged": 32, "promised": 99}}}',
        '{"files": {"requests-0.bin": {"acknowledged": 96, "promised": 64}}}',
        '{"files": {"requests-0.bin": {"acknowledged": -32, "promised": 64}}}',
        '{"files": {"requests-0.bin": {"acknowledged": 3200, "promised": 3200}}}',
    ],
)
def test_a_damaged_note_of_what_was_shipped_is_mended_by_what_the_warehouse_has(
    folder: Folder, damage: str
) -> None:
    """Blocks sent before were shorter: sent again from the start, their rows would be lost or doubled."""
    door = MemoryDoor()
    written = {"requests-0.bin": b"", "events-0.jsonl": b""}

    def write(numbers: range) -> None:
        for number in numbers:
            for name, body in (("requests-0.bin", rows(number + 1)), ("events-0.jsonl", line(number))):
                append(folder, name, body)
                written[name] += body

    shipment = Shipment(folder)
    for numbers in (range(3), range(3, 8)):
        write(numbers)
        ship_all(shipment, door)
    write(range(8, 30))
    (folder.path / "shipped.json").write_text(damage)
    shipment = Shipment(folder)
    assert shipment.is_lost
    assert not shipment.has_all
    ship_all(shipment, door)
    assert door.stored(RUN, "requests-0.bin") == written["requests-0.bin"]
    assert telling(door.stored(RUN, "events-0.jsonl")) == telling(written["events-0.jsonl"])
    assert not Shipment(folder).is_lost


def telling(body: bytes) -> list[bytes]:
    """The lines that say something: the others may come twice, and the warehouse skips them."""
    return [each for each in body.splitlines() if each.endswith(b"}")]


def line(number: int) -> bytes:
    """A line of events; every fourth was cut short and says nothing."""
    return b'{"cut\n' if number % 4 == 3 else f'{{"n":{number}}}\n'.encode()
