"""Refuses query parameters that an endpoint does not have; ignored, they would change an answer unnoticed."""

from difflib import get_close_matches

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError


async def known_parameters(request: Request) -> None:
    """Dependency of HTTP routes.

    Raises:
        RequestValidationError: the query has a parameter of another name.
    """
    if not request.query_params:
        return
    known = _names(request.scope["route"].dependant)
    if unknown := sorted(request.query_params.keys() - known):
        raise RequestValidationError([{"loc": ("query", name), "msg": _hint(name, known)} for name in unknown])


def _names(dependant: Dependant) -> set[str]:
    return {field.alias for field in dependant.query_params}.union(*map(_names, dependant.dependencies))


def _hint(name: str, known: set[str]) -> str:
    likely = get_close_matches(name, sorted(known), 1) or sorted(known)
    return f"There is no such parameter; there is {', '.join(likely)}"
