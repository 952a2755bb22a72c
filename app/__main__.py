"""The service and its commands.

    expressions serve --port 9000
    expressions predict photo.jpg clip.mp4 holiday/
    expressions bulk pictures/ --out results.csv
    expressions card

Serves where no command is named. Each command has its own --help.
`python -m app` is the same program.
"""

import argparse
import sys
from collections.abc import Callable, Sequence

from app import __version__
from app.cli.terminal import PROGRAM, command_parser, say

Words = Sequence[str]


def serve(words: Words) -> int:
    """Serve over HTTP."""
    from app.cli import serve  # noqa: PLC0415

    return serve.main(words)


def predict(words: Words) -> int:
    """Answer pictures, videos and folders of them without a server."""
    from app.cli import predict  # noqa: PLC0415

    return predict.main(words)


def bulk(words: Words) -> int:
    """Answer millions of pictures, so that a stopped job goes on."""
    try:
        from jobs import bulk  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "jobs":
            raise
        say("Cannot go on: bulk jobs are in the repository; they are not installed here.")
        return 2
    return bulk.main(words)


def card(words: Words) -> int:
    """Print what the model is and how well it does."""
    from app.cli import card  # noqa: PLC0415

    return card.main(words)


# Each imports its module when it runs, because the others need packages that take seconds to import.
COMMANDS: dict[str, Callable[[Words], int]] = {"serve": serve, "predict": predict, "bulk": bulk, "card": card}


def main(words: Words | None = None) -> int:
    """Run a command on `words`, the arguments of the process by default; returns the exit status."""
    given = list(sys.argv[1:] if words is None else words) or ["serve"]
    if given[0].startswith("-") and given[0] not in ("-h", "--help", "--version"):
        given.insert(0, "serve")
    parser = command_parser("", __doc__, usage="%(prog)s [COMMAND] [OPTION ...]")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    parser.add_argument("command", choices=COMMANDS, help=argparse.SUPPRESS)
    parser.epilog = "commands:\n" + "\n".join(f"  {name:<9}{run.__doc__ or ''}" for name, run in COMMANDS.items())
    return COMMANDS[parser.parse_args(given[:1]).command](given[1:])


if __name__ == "__main__":
    sys.exit(main())
