"""What every command does at a terminal: reads its arguments, and tells a person what happens besides the results."""

import argparse
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress

PROGRAM = "expressions"
"""The command. `python -m app` is the same."""

WIDTH = 80
"""Width of output that is not a terminal, in columns."""

_TIE = "\N{NO-BREAK SPACE}"


def command_parser(command: str, description: str | None, **options: Any) -> argparse.ArgumentParser:
    """Make the parser of a command, or of the program if `command` is empty. Under `-OO` there is no description."""
    return argparse.ArgumentParser(
        f"{PROGRAM} {command}".rstrip(),
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **options,
    )


def say(words: str) -> None:
    """Write lines to standard error. A terminal gets them wrapped between words, but never after a number."""
    width = min(shutil.get_terminal_size((WIDTH, 24)).columns, WIDTH)
    for line in words.splitlines():
        fitting = [line]
        if sys.stderr.isatty():
            tied = re.sub(r"(?<=\d) ", _TIE, line)
            fitting = textwrap.wrap(tied, width, break_long_words=False, break_on_hyphens=False)
        sys.stderr.writelines(f"{part.replace(_TIE, ' ')}\n" for part in fitting)


def counted(number: int, noun: str) -> str:
    """A number with its noun: `1 face`, `2 faces`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def progress(shown: bool = True) -> "Progress":
    """Make a bar that counts pictures. It is drawn on standard error if that is a terminal, and erased at the end."""
    # Imported here, because this takes a tenth of a second that a server and `--help` need not spend.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    console = Console(stderr=True)
    return Progress(
        *(BarColumn(), MofNCompleteColumn(), TextColumn("pictures"), TimeRemainingColumn()),
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
        disable=not (shown and console.is_interactive),
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Silence stderr at the file descriptor, because native libraries bypass `sys.stderr`."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
