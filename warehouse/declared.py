"""What the OpenAPI says beside the signatures: errors, media types and the body of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from warehouse import wire
from warehouse.export import MEDIA_TYPES
from warehouse.keeper import StorageState
from warehouse.model import Batch

REFUSALS: Mapping[int, str] = {
    400: "The Host is not one of warehouse.allowed_hosts",
    401: "No token, or an unknown one",
    403: "The token may not do this, or the request comes from another site's page",
    404: "There is no such thing, or no longer",
    406: "None of the media types in Accept is spoken here",
    409: "One runs already, the id was used before, or what is there would be lost",
    413: "The body or the answer is too long",
    415: "The body's media type is not spoken here",
    422: "A parameter or a field is wrong; it is named",
    429: "As many run already as may run at once; try again later",
    503: "Too much waits already, or the file cannot be used; try again later",
    504: "The question took longer than its deadline",
}
"""Why a request is refused, by status."""

JSON_LINES = "application/jsonl"


class Told(BaseModel):
    """What is wrong, for people: `field` names the parameter or field, where there is one."""

    title: str
    message: str
    hint: str
    field: str


class Refusal(BaseModel):
    """The answer to every request that is refused."""

    error: Told


class StorageHealth(BaseModel):
    """Whether batches are stored (`state` ok, paused or failing), why not, and since when.

    `catching_up`: they wait for a second or longer, and are stored when what `reason` names has ended.
    """

    state: StorageState
    reason: str
    since_at: datetime
    readable: bool
    free_bytes: int | None
    reserve_bytes: int | None


class LossHealth(BaseModel):
    """What was acknowledged and is no longer there, found since the warehouse started."""

    found_at: datetime
    text: str


class ClockHealth(BaseModel):
    """For how much longer nothing is deleted because the clock may be wrong, and why; 0 when all is well."""

    retention_held_s: float
    reason: str


class Health(BaseModel):
    """That the warehouse is up, since when, and how its storage does. `status` is ok or degraded.

    `simulated`: what it holds was made up by `perfhouse simulate`.
    """

    status: str
    version: str
    schema_version: int
    started_at: datetime
    file_bytes: int
    wal_bytes: int
    simulated: bool
    storage: StorageHealth
    losses: list[LossHealth]
    clock: ClockHealth


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The declared error answers of a route.

    They refer to the schema that `defined_refusals` brings in: a model of its own for each status of each
    route costs a warehouse half a second whenever it starts.
    """
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{Refusal.__name__}"}}}
    return {status: {"description": REFUSALS[status], "content": content} for status in statuses}


def defined_refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The same for the one route that brings in the schema of a refusal."""
    return {status: {"model": Refusal, "description": REFUSALS[status]} for status in statuses}


def answer(*, streamed: bool) -> dict[int | str, dict[str, Any]]:
    """The declared answer of a question: in any of the media types."""
    content: dict[str, Any] = {
        media.partition(";")[0]: {"schema": {"type": "string", "format": "binary"}}
        for media in MEDIA_TYPES.values()
    }
    del content[MEDIA_TYPES["json"]]
    if streamed:
        content[JSON_LINES] = {"schema": {"type": "string", "format": "binary"}}
    else:
        content[MEDIA_TYPES["json"]] = {"schema": _ROWS}
    return {200: {"description": "The answer", "content": content}}


_ROWS: dict[str, Any] = {
    "type": "object",
    "required": ["question", "columns", "rows"],
    "properties": {
        "question": {"type": "string"},
        "columns": {"type": "array", "items": {"type": "string"}},
        "rows": {"type": "array", "items": {"type": "object"}},
    },
}


def batch_body() -> dict[str, Any]:
    """The declared body of a batch: JSON, or Arrow with its headers."""
    arrow_only = f"Where the body is {wire.ARROW}: "
    return {
        "parameters": [
            _header("X-Batch-Id", f"{arrow_only}the batch's id, of 8 to 100 letters, digits or . _ : -"),
            _header("X-Source", f"{arrow_only}the source, percent-encoded; default the token's first"),
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": inlined(Batch.model_json_schema())},
                wire.ARROW: {"schema": {"type": "string", "format": "binary"}},
            },
        },
    }


def _header(name: str, described: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": described,
        "schema": {"type": "string"},
    }


def inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """A JSON schema whose references are replaced by what they refer to; it must not refer to itself."""
    definitions = schema.get("$defs", {})

    def resolve(part: Any) -> Any:
        if isinstance(part, list):
            return [resolve(each) for each in part]
        if not isinstance(part, dict):
            return part
        name = str(part.get("$ref", "")).rpartition("/")[2]
        found = {**definitions[name], **part} if name in definitions else part
        return {key: resolve(value) for key, value in found.items() if key not in ("$ref", "$defs")}

    resolved: dict[str, Any] = resolve(schema)
    return resolved
