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
from collections.abc import Sequence
from importlib import import_module

from app import __version__
from app.cli.terminal import PROGRAM, command_parser, say

COMMANDS = {
    "serve": ("app.cli.serve", "Serve over HTTP."),
    "predict": ("app.cli.predict", "Answer pictures, videos and folders of them without a server."),
    "bulk": ("jobs.bulk", "Answer millions of pictures, so that a stopped job goes on."),
    "card": ("app.cli.card", "Print what the model is and how well it does."),
}
"""Module and help of each command. Only the module that runs is imported, because the others take seconds."""


def main(words: Sequence[str] | None = None) -> int:
    """Run a command on `words`, the arguments of the process by default; returns the exit status."""
    given = list(sys.argv[1:] if words is None else words) or ["serve"]
    if given[0].startswith("-") and given[0] not in ("-h", "--help", "--version"):
        given.insert(0, "serve")
    parser = command_parser("", __doc__, usage="%(prog)s [COMMAND] [OPTION ...]")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    parser.add_argument("command", choices=COMMANDS, help=argparse.SUPPRESS)
    parser.epilog = "commands:\n" + "\n".join(f"  {name:<9}{help}" for name, (_, help) in COMMANDS.items())
    module, _ = COMMANDS[parser.parse_args(given[:1]).command]
    try:
        command = import_module(module)
    except ModuleNotFoundError as error:
        if error.name not in ("jobs", "jobs.bulk"):
            raise
        say("Cannot go on: bulk jobs are in the repository; they are not installed here.")
        return 2
    status: int = command.main(given[1:])
    return status


if __name__ == "__main__":
    sys.exit(main())
