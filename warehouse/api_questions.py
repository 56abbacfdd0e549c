"""Routes that answer named questions: all of it, the first rows, or only how many there are."""

import inspect
import typing
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field, create_model

from warehouse import answers
from warehouse.bodies import InPieces
from warehouse.declared import answer, refusals
from warehouse.errors import InvalidInputError
from warehouse.export import MEDIA_TYPES, Format, format_of
from warehouse.questions import QUESTIONS, Statement
from warehouse.questions.asking import Asked
from warehouse.service import Warehouse
from warehouse.simulated import HEADER
from warehouse.tokens import Token

MOST_FIRST_ROWS = 1000

Question = Callable[[Any], Statement]


class Count(BaseModel):
    """How many rows an answer has."""

    rows: int


def question_routes(warehouse: Warehouse, may_read: Callable[..., Token]) -> APIRouter:
    """`/questions`, and `/ask` and `/count` for each of them."""
    router = APIRouter(dependencies=[Depends(may_read)], responses=refusals(400, 401, 403))

    @router.get("/questions")
    def questions() -> list[dict[str, Any]]:
        """Every question with what it answers and its parameters."""
        return [
            {
                "name": name,
                "answers": inspect.getdoc(question),
                "parameters": parameters_of(question).model_json_schema(),
            }
            for name, question in QUESTIONS.items()
        ]

    for name, question in QUESTIONS.items():
        router.add_api_route(
            f"/ask/{name}",
            _asker(warehouse, name, question),
            summary=inspect.getdoc(question),
            responses=answer(streamed=False) | refusals(406, 413, 422, 503, 504),
            response_class=Response,
        )
        router.add_api_route(
            f"/count/{name}",
            _counter(warehouse, question),
            summary=f"How many rows {name} has",
            responses=refusals(413, 422, 503, 504),
        )
    return router


def parameters_of(question: Question) -> type[Asked]:
    """The model of a question's parameters."""
    hints = typing.get_type_hints(question)
    parameters: type[Asked] = next(kind for name, kind in hints.items() if name != "return")
    return parameters


_QUERIES: dict[tuple[type[Asked], tuple[str, ...]], type[Asked]] = {}
"""Questions of the same parameters share a model: FastAPI mistakes its own fields past 128 models."""


def query_of(question: Question, **more: Any) -> Any:
    """The question's parameters and `more` (name: type and default) as the query string of a route."""
    base = parameters_of(question)
    assert not more.keys() & base.model_fields.keys(), "a question has a parameter of this name"
    key = (base, tuple(more))
    if key not in _QUERIES:
        _QUERIES[key] = create_model(f"{base.__name__}Query", __base__=base, **more) if more else base
    return Annotated[_QUERIES[key], Query()]


FORMAT = (Format | None, Field(None, alias="format"))
"""The parameter `format` of a route, as `form`."""


def form_of(request: Request, asked: Format | None, otherwise: Format) -> Format:
    """The format that was asked for by name, or else by Accept. Raises InvalidInputError."""
    if asked is not None:
        return asked
    accept = request.headers.get("accept", "*/*")
    if accept.strip() in ("", "*/*"):
        return otherwise
    form = format_of(accept)
    if form is None:
        raise InvalidInputError(
            f"expected one of {', '.join(MEDIA_TYPES.values())}", field="Accept", status=406
        )
    return form


def _asker(warehouse: Warehouse, name: str, question: Question) -> Callable[..., Response]:
    def ask(request: Request, asked: Any) -> Response:
        form = form_of(request, asked.form, "json")
        given = warehouse.answers.give(name, question, asked, form)
        headers = {HEADER: "true"} if warehouse.store.simulated else {}
        if given.was_kept:
            headers[answers.HEADER] = "true"
        return InPieces(given.body, media_type=MEDIA_TYPES[form], headers=headers)

    first = (int | None, Field(None, ge=1, le=MOST_FIRST_ROWS))
    ask.__annotations__["asked"] = query_of(question, form=FORMAT, first=first)
    return ask


def _counter(warehouse: Warehouse, question: Question) -> Callable[..., Count]:
    def count(asked: Any) -> Count:
        return Count(rows=warehouse.reader.count(question(asked)))

    count.__annotations__["asked"] = query_of(question)
    return count
