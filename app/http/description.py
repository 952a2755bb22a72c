"""The OpenAPI description: FastAPI's own, with a true example of each answer and the service's form of errors alone."""

import json
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from app.http.problem_details import SCHEMAS
from app.schemas import Problem

EXAMPLES = Path(__file__).with_name("examples.json")
"""Answers to the portrait in `app/static/samples`, by operation; `python -m bench.examples` writes them."""

LLMS = Path(__file__).with_name("llms.txt")
"""The service in words for agents, in the form of https://llmstxt.org."""

TAGS = [
    {"name": "predict", "description": "Pictures in, expressions out."},
    {"name": "pictures", "description": "Pictures in, pictures out: what was found, drawn, and why."},
    {"name": "info", "description": "What the service is, how well it does, and how it fares."},
]

TEXT = """Finds the faces in a picture and names the expression that each shows: angry, disgust, fear, happy, neutral,
sad or surprise. An expression is what a face shows, not what a person feels. Nothing that is sent is stored.

Besides what is listed here, the WebSocket `/live` takes a camera's frames as binary messages, each a picture's file,
and answers each frame with JSON: `{"frame": 1, "passed": 0, "faces": [...]}`.

[Demo page](.) · [Swagger UI](docs) · [Redoc](redoc)"""

_UNUSED = ("HTTPValidationError", "ValidationError")


def operation_id(route: APIRoute) -> str:
    """The name of a route's function, which is what generated clients call it."""
    return route.name


def install(app: FastAPI) -> None:
    """Complete the description of `app`, once somebody asks for it."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(plain())
        return plain()

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(description: dict[str, Any]) -> None:
    examples = json.loads(EXAMPLES.read_text())
    for operation in [one for path in description["paths"].values() for one in path.values()]:
        responses = operation["responses"]
        if example := examples.get(operation["operationId"]):
            responses["200"]["content"]["application/json"]["example"] = example
        if "HTTPValidationError" in str(responses.get("422")):
            del responses["422"]  # Errors have the form of `Problem`, and these operations cannot be asked wrongly.
    schemas = description["components"]["schemas"]
    for name in _UNUSED:
        schemas.pop(name, None)
    problem = Problem.model_json_schema(ref_template=f"{SCHEMAS}{{model}}")
    schemas |= problem.pop("$defs") | {"Problem": problem}
