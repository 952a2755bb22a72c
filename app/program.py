"""The parsers of the commands: their help names the program as it was called."""

import argparse
import sys
from pathlib import Path
from typing import Any

_MODULE = "python -m app"

PROGRAM = "expressions" if Path(sys.argv[0]).stem == "expressions" else _MODULE
"""`expressions` where the package is installed, `python -m app` in a clone."""


def command_parser(command: str, description: str | None, **options: Any) -> argparse.ArgumentParser:
    """A parser for one command.

    Args:
        command: its name.
        description: its help, with examples that start with `python -m app`; None where Python drops docstrings.
        options: further ones of the parser.
    """
    return argparse.ArgumentParser(
        f"{PROGRAM} {command}".rstrip(),
        description=(description or "").replace(_MODULE, PROGRAM),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **options,
    )
