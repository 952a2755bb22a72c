"""The page's files, which browsers may keep for a while, and get compressed."""

from pathlib import Path
from typing import Any

from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

MAX_AGE = 300
"""Seconds for which a browser does not ask again; after them it sends the `ETag` that it has."""


class _KeptFiles(StaticFiles):
    def file_response(self, *arguments: Any, **options: Any) -> Response:
        response = super().file_response(*arguments, **options)
        response.headers["Cache-Control"] = f"max-age={MAX_AGE}"
        return response


def static_files(folder: Path) -> GZipMiddleware:
    """The application that serves a folder."""
    return GZipMiddleware(_KeptFiles(directory=folder))
