"""The switch: what makes an endpoint slower or fail, for how long, and its command line."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import httpx
from pydantic import BaseModel, ConfigDict, Field, model_validator

EVERY_ENDPOINT = "*"
PATH = "/demo/faults"
DEFAULT_FOR_S = 600.0
DEFAULT_PORT = 8000
CALL_TIMEOUT_S = 5.0
EX_DATA = 65
EX_UNAVAILABLE = 69

FieldMs = Annotated[float, Field(ge=0, le=60_000)]


class Fault(BaseModel):
    """What is wrong with an endpoint, and for how many seconds.

    `delay_ms` (give or take up to `jitter_ms`) passes before the endpoint begins. Every statement
    sleeps `slow_query_ms` inside PostgreSQL. A share `error_ratio` of the requests fails: answered
    with 500 (`status`), never answered (`hang`), or their connection reset (`reset`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    delay_ms: FieldMs = 0
    jitter_ms: FieldMs = 0
    slow_query_ms: Annotated[float, Field(ge=0, le=30_000)] = 0
    error_ratio: Annotated[float, Field(ge=0, le=1)] = 0
    error: Literal["status", "hang", "reset"] = "status"
    for_s: Annotated[float, Field(gt=0, le=86_400)] = DEFAULT_FOR_S

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if "error" in self.model_fields_set and "error_ratio" not in self.model_fields_set:
            object.__setattr__(self, "error_ratio", 1.0)  # a validator may complete what is frozen
            return self
        if not (self.delay_ms or self.jitter_ms or self.slow_query_ms or self.error_ratio):
            raise ValueError(
                "expected at least one of delay_ms, jitter_ms, slow_query_ms, error_ratio, error"
            )
        return self


class FaultOn(Fault):
    """A fault and the endpoint to put it on: `METHOD /route/{template}`, or `*` for all."""

    endpoint: Annotated[str, Field(min_length=1, max_length=200)]


@dataclass(frozen=True)
class ActiveFault:
    """A fault that is switched on, and the instant of the monotonic clock at which it ends."""

    endpoint: str
    fault: Fault
    until: float

    @property
    def remaining_s(self) -> float:
        """Seconds until it ends by itself."""
        return max(0.0, self.until - time.monotonic())


class FaultBoard:
    """The faults that are on, at most one per endpoint; they end by themselves."""

    def __init__(self) -> None:
        self._active: dict[str, ActiveFault] = {}

    def switch_on(self, endpoint: str, fault: Fault) -> ActiveFault:
        """Put a fault on an endpoint (`METHOD /route/{template}`) or on `*`, in place of the present one."""
        active = ActiveFault(endpoint, fault, time.monotonic() + fault.for_s)
        self._active[endpoint] = active
        return active

    def find(self, endpoint: str) -> ActiveFault | None:
        """The endpoint's own fault, else that of `*`."""
        self._forget_ended()
        return self._active.get(endpoint) or self._active.get(EVERY_ENDPOINT)

    def active(self) -> list[ActiveFault]:
        """Every fault that is on."""
        self._forget_ended()
        return list(self._active.values())

    def clear(self, endpoint: str | None = None) -> int:
        """Switch one endpoint's fault off, or all; how many were on."""
        self._forget_ended()
        ended = [name for name in self._active if endpoint in (None, name)]
        for name in ended:
            del self._active[name]
        return len(ended)

    def _forget_ended(self) -> None:
        at = time.monotonic()
        self._active = {name: active for name, active in self._active.items() if active.until > at}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m demo.faults", description="Make the demo slow, or break it."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    put = commands.add_parser("set", help="switch a fault on, in place of the present one")
    put.add_argument("endpoint", help='as "GET /api/v1/invoices/", or "*" for every endpoint')
    put.add_argument("--delay-ms", type=float, help="wait before the endpoint begins")
    put.add_argument("--jitter-ms", type=float, help="vary the delay by up to this, both ways")
    put.add_argument("--slow-query-ms", type=float, help="sleep inside each of its SQL statements")
    put.add_argument("--error-ratio", type=float, help="share of requests that fail, 0 to 1; with a 500")
    how = put.add_mutually_exclusive_group()
    for name, what in (("hang", "are never answered"), ("reset", "get their connection reset")):
        how.add_argument(
            f"--{name}", dest="error", action="store_const", const=name, help=f"failing requests {what}"
        )
    put.add_argument(
        "--for-s", type=float, help=f"seconds until it ends by itself (default {DEFAULT_FOR_S:g})"
    )
    commands.add_parser("list", help="show what is switched on")
    clear = commands.add_parser("clear", help="switch off one endpoint's fault, or all")
    clear.add_argument("endpoint", nargs="?", help="default: all")
    for command in commands.choices.values():
        command.add_argument(
            "--port", type=int, default=DEFAULT_PORT, help="the demo's (default %(default)s)"
        )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    given = vars(_parser().parse_args(arguments))
    command, port, endpoint = given.pop("command"), given.pop("port"), given.pop("endpoint", None)
    fault = {name: value for name, value in given.items() if value is not None}
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", timeout=CALL_TIMEOUT_S, trust_env=False
        ) as client:
            if command == "set":
                answer = client.post(PATH, json={"endpoint": endpoint, **fault})
            elif command == "clear":
                answer = client.delete(
                    PATH,
                    params={"endpoint": endpoint} if endpoint else {},
                    headers={"Content-Type": "application/json"},
                )
            else:
                answer = client.get(PATH)
    except httpx.HTTPError as error:
        print(f"demo: no answer at 127.0.0.1:{port} ({error}). Is the demo running there?", file=sys.stderr)
        return EX_UNAVAILABLE
    if not answer.is_success:
        print(f"demo: refused: {_reason(answer)}", file=sys.stderr)
        return EX_DATA
    _report(command, answer.json())
    return 0


def _report(command: str, answer: dict[str, Any]) -> None:
    if command == "clear":
        print(f"{answer['cleared']} cleared")
        return
    faults = [answer] if command == "set" else answer["faults"]
    for fault in faults:
        effects = ", ".join(
            f"{name} {value}"
            for name, value in fault["fault"].items()
            if value and name not in ("for_s", "error")
        )
        kind = f" ({fault['fault']['error']})" if fault["fault"]["error_ratio"] else ""
        print(f"{fault['endpoint']}: {effects}{kind}, {fault['remaining_s']:.0f} s left")
    if not faults:
        print("nothing is switched on")


def _reason(answer: httpx.Response) -> str:
    """What the demo objects to, in one line."""
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"
    if isinstance(detail, list):
        return "; ".join(
            f"{'.'.join(map(str, fault['loc'][1:]))} {fault['msg']}".replace("Value error, ", "").strip()
            for fault in detail
        )
    return str(detail)


if __name__ == "__main__":
    sys.exit(main())
