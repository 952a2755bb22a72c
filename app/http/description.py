"""Completes FastAPI's OpenAPI description with a true example of each answer, and with problem documents as errors."""

import json
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Route

from app.http.problem_details import SCHEMAS
from app.schemas import Problem, VideoEnd, VideoSample

EXAMPLES = Path(__file__).with_name("examples.json")
"""Answers to the portrait in `app/static/samples`, by operation. `python -m bench.examples` writes the file."""

LLMS = Path(__file__).with_name("llms.txt")
"""A description of the service for agents, in the form of https://llmstxt.org."""

TAGS = [
    {"name": "predict", "description": "Pictures or a video in, expressions out."},
    {"name": "pictures", "description": "Pictures in, pictures out: what was found, drawn, and why."},
    {"name": "info", "description": "What the service is, how well it does, and how it fares."},
]

TEXT = """Finds the faces in a picture or a video and names the expression that each shows: angry, disgust, fear, happy,
neutral, sad or surprise. An expression is what a face shows, not what a person feels. Nothing that is sent is stored.

Besides what is listed here, the WebSocket `/live` takes a camera's frames as binary messages, each a picture's file,
and answers each frame with JSON: `{"frame": 1, "passed": 0, "faces": [...]}`.

[Demo page](.) · [Swagger UI](docs) · [Redoc](redoc)"""

LICENCE = {"name": "MIT License", "identifier": "MIT"}

CONTACT = {"name": "The facial-expression service's authors"}

_UNUSED = ("HTTPValidationError", "ValidationError")


def operation_id(route: APIRoute) -> str:
    """The name of a route's function, which generated clients take for theirs."""
    return route.name


def install(app: FastAPI) -> None:
    """Make `app` complete its description when it is first asked for, and serve it compressed."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(plain())
        return plain()

    app.openapi = openapi  # type: ignore[method-assign]
    (route,) = (route for route in app.routes if isinstance(route, Route) and route.path == app.openapi_url)
    route.app = GZipMiddleware(route.app)


def _complete(description: dict[str, Any]) -> None:
    examples = json.loads(EXAMPLES.read_text())
    for operation in [operation for path in description["paths"].values() for operation in path.values()]:
        responses = operation["responses"]
        if example := examples.get(operation["operationId"]):
            responses["200"]["content"]["application/json"]["example"] = example
        if "HTTPValidationError" in str(responses.get("422")):
            del responses["422"]  # Errors are problem documents, and these operations have nothing to validate.
        for parameter in operation.get("parameters", []):
            _without_null(parameter["schema"])
    schemas = description["components"]["schemas"]
    for name in _UNUSED:
        schemas.pop(name, None)
    for answer in (Problem, VideoSample, VideoEnd):
        schema = answer.model_json_schema(ref_template=f"{SCHEMAS}{{model}}", mode="serialization")
        schemas |= schema.pop("$defs") | {answer.__name__: schema}


def _without_null(schema: dict[str, Any]) -> None:
    """Describe a parameter that may be left out by its own type alone: a query has no null."""
    if kinds := [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]:
        del schema["anyOf"]
        (kind,) = kinds
        schema |= kind
