"""The service and its commands.

    python -m app serve --port 9000
    python -m app predict photo.jpg clip.mp4 holiday/
    python -m app bulk pictures/ --out results.csv
    python -m app card

Serves where no command is named. Each command has its own --help.
"""

import argparse
import sys
from collections.abc import Callable, Sequence

from app import __version__
from app.program import PROGRAM, command_parser

Words = Sequence[str]


def serve(words: Words) -> int:
    """Serve over HTTP."""
    from app import serve  # noqa: PLC0415

    return serve.main(words)


def predict(words: Words) -> int:
    """Answer pictures, videos and folders of them without a server."""
    from app import cli  # noqa: PLC0415

    return cli.main(words)


def bulk(words: Words) -> int:
    """Answer millions of pictures, so that a stopped job goes on."""
    try:
        from jobs import bulk  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "jobs":
            raise
        sys.stderr.write("Cannot go on: bulk jobs are in the repository; they are not installed here.\n")
        return 2
    return bulk.main(words)


def card(words: Words) -> int:
    """Print what the model is and how well it does."""
    from app import card  # noqa: PLC0415

    return card.main(words)


COMMANDS: dict[str, Callable[[Words], int]] = {"serve": serve, "predict": predict, "bulk": bulk, "card": card}


def main() -> int:
    """Run a command; returns the exit status. What a command does not need is not imported."""
    name, *words = sys.argv[1:] or ["serve"]
    if name.startswith("-") and name not in ("-h", "--help", "--version"):
        name, words = "serve", sys.argv[1:]
    parser = command_parser("", __doc__, usage="%(prog)s [COMMAND] [OPTION ...]")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    parser.add_argument("command", choices=COMMANDS, help=argparse.SUPPRESS)
    parser.epilog = "commands:\n" + "\n".join(f"  {one:<9}{run.__doc__ or ''}" for one, run in COMMANDS.items())
    return COMMANDS[parser.parse_args([name]).command](words)


if __name__ == "__main__":
    sys.exit(main())
