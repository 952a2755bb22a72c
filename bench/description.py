"""Write `openapi.json`, from which clients are made: the description that `/openapi.json` serves without keys.

python -m bench.description
"""

import json
from pathlib import Path

from app.main import create_app
from app.settings import Settings

FILE = Path(__file__).resolve().parent.parent / "openapi.json"


def text() -> str:
    """The whole file."""
    return json.dumps(create_app(Settings(api_keys=())).openapi(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
