"""Stand-ins for the agent's tests: a warehouse in memory, and a launcher that writes rows and no load."""

import json
import sys
import textwrap
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from loadtests.folder import Folder
from warehouse.errors import RefusedError, WarehouseAwayError

ROW = 32


def rows(*numbers: int) -> bytes:
    """A row for each number, told apart by its first bytes."""
    return b"".join(number.to_bytes(ROW, "little") for number in numbers)


class MemoryDoor:
    """Stores as the warehouse does: a batch once, whatever becomes of the answer."""

    def __init__(self) -> None:
        self.waiting: list[dict[str, Any]] = []
        self.cancels: list[dict[str, str]] = []
        self.batches: dict[str, bytes] = {}
        self.reports: dict[str, list[dict[str, Any]]] = {}
        self.claims: list[list[str]] = []
        self.requested: list[tuple[str, str, str]] = []
        self.is_away = False
        self.loses_answers = 0
        self.refuses_reports_of: set[str] = set()
        self.refuses: RefusedError | None = None
        self._lock = threading.Lock()

    def claim(
        self, agent: str, *, version: str = "", advertise: str = "", busy: Iterable[str] = ()
    ) -> dict[str, Any]:
        self._answer()
        self.claims.append(list(busy))
        with self._lock:
            given = self.waiting.pop(0) if self.waiting else None
        return {"run": given, "cancel": list(self.cancels), "seats": []}

    def report_run(self, run_id: str, **report: Any) -> None:
        self._answer()
        if run_id in self.refuses_reports_of:
            raise RefusedError(f"{run_id} is not yours", status=409, field="agent")
        self.reports.setdefault(run_id, []).append(report)

    def send_rows(self, run_id: str, worker: int, file: str, offset: int, body: bytes) -> None:
        self._store(f"{run_id}:{file}:{offset}", body)

    def send_events(self, run_id: str, worker: int, file: str, offset: int, body: bytes) -> None:
        self._store(f"{run_id}:{file}:{offset}", body)

    def stored_spool(self, run_id: str) -> dict[str, Any]:
        self._answer()
        last: dict[str, dict[str, int]] = {}
        for key, body in self.batches.items():
            run, file, offset = key.split(":")
            if run == run_id and int(offset) >= last.get(file, {"offset": 0})["offset"]:
                rows = len(body) // 32 if file.endswith(".bin") else body.count(b"}\n")
                last[file] = {"offset": int(offset), "rows": rows}
        return last

    def request_run(self, target: str, preset: str, scenario: str | None = None, *, via: str) -> None:
        self._answer()
        self.requested.append((target, preset, via))

    def stored(self, run_id: str, file: str) -> bytes:
        """What is stored of a file, in the order of its offsets."""
        prefix = f"{run_id}:{file}:"
        offsets = sorted(int(key.removeprefix(prefix)) for key in self.batches if key.startswith(prefix))
        return b"".join(self.batches[f"{prefix}{offset}"] for offset in offsets)

    def last(self, run_id: str) -> dict[str, Any]:
        """The last report of a run; empty before the first."""
        return (self.reports.get(run_id) or [{}])[-1]

    def _store(self, batch_id: str, body: bytes) -> None:
        self._answer()
        if self.refuses is not None:
            raise self.refuses
        with self._lock:
            assert self.batches.setdefault(batch_id, body) == body, f"{batch_id} came with other bytes"
            loses = self.loses_answers > 0
            self.loses_answers -= loses
        if loses:
            raise WarehouseAwayError("the answer was lost")

    def _answer(self) -> None:
        if self.is_away:
            raise WarehouseAwayError("nobody answers")


LAUNCHER = textwrap.dedent(
    '''
    """Writes a row each 20 ms and says that it lives, until its plan's end or until it is asked to stop."""
    import json, os, signal, subprocess, sys, time
    run = sys.argv[1]
    plan = json.load(open(f"{run}/plan.json"))
    state = {"state": "running", "pid": os.getpid(), "started_at_us": time.time_ns() // 1000}
    def say(**more):
        state.update(more, heartbeat_at_us=time.time_ns() // 1000)
        with open(f"{run}/state.draft", "w") as file:
            json.dump(state, file)
        os.replace(f"{run}/state.draft", f"{run}/state.json")
    if plan.get("child"):
        code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
        subprocess.Popen([sys.executable, "-c", code])
    spool = os.open(f"{run}/requests-0.bin", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    say()
    until = time.monotonic() + plan["duration_s"]
    number = 0
    while time.monotonic() < until and not os.path.exists(f"{run}/cancel"):
        number += 1
        os.write(spool, number.to_bytes(32, "little"))
        if not plan.get("silent"):
            say()
        time.sleep(0.02)
    with open(f"{run}/events-0.jsonl", "a") as events:
        events.write(json.dumps({"kind": "life", "state": "stopped"}) + "\\n")
    cancelled = os.path.exists(f"{run}/cancel")
    say(state="cancelled" if cancelled else "finished", ended_at_us=time.time_ns() // 1000)
    '''
)


def stand_in(folder: Folder) -> Sequence[str]:
    """The command of a launcher that makes no load."""
    return [sys.executable, "-c", LAUNCHER, str(folder.path)]


def request(number: int, **plan: Any) -> dict[str, Any]:
    """A run request as a claim is answered with it."""
    planned = {"target": "shop", "preset": "smoke", "duration_s": 0.5, "agents": 0, **plan}
    return {"run_id": run_name(number), "plan": planned}


def run_name(number: int) -> str:
    """The name of the nth run."""
    return f"r20261124130000-{number:06x}"


def new_folder(runs_dir: Path, number: int = 1, **plan: Any) -> Folder:
    """A run's directory, made and not started."""
    folder = Folder(runs_dir / run_name(number))
    folder.make(json.dumps(request(number, **plan)["plan"]), None)
    return folder
