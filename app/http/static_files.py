"""Serves the page's files compressed, with a short cache time."""

from pathlib import Path
from typing import Any

from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

MAX_AGE = 300
"""How long a browser uses its copy without asking, in seconds; afterwards it sends the copy's `ETag`."""


class _KeptFiles(StaticFiles):
    def file_response(self, *arguments: Any, **options: Any) -> Response:
        response = super().file_response(*arguments, **options)
        response.headers["Cache-Control"] = f"max-age={MAX_AGE}"
        return response


def static_files(folder: Path) -> GZipMiddleware:
    """Make the application that serves a folder."""
    return GZipMiddleware(_KeptFiles(directory=folder))
