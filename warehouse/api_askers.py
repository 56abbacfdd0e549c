"""Who asks, as routes are told it: the headers beside the token, and the dependency that reads them."""

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Header

from warehouse.access import Asker, asker
from warehouse.tokens import Token

Person = Annotated[str | None, Header(alias="X-Person", max_length=1000)]
Local = Annotated[str | None, Header(alias="X-Local", max_length=1)]
RequestId = Annotated[
    str | None, Header(alias="X-Request-Id", min_length=8, max_length=64, pattern="^[A-Za-z0-9_-]+$")
]


def asking(may: Callable[..., Token]) -> Callable[..., Asker]:
    """The dependency that tells who asks, of those whose token `may`."""

    def asks(token: Annotated[Token, Depends(may)], x_person: Person = None, x_local: Local = None) -> Asker:
        return asker(token, x_person, x_local)

    return asks
