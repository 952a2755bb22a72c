"""What a command tells the person at its terminal, besides its results."""

import re
import shutil
import sys
import textwrap

WIDTH = 80
"""Columns where the output is no terminal."""


_TIE = "\N{NO-BREAK SPACE}"


def say(words: str) -> None:
    """Write lines to standard error; on a terminal they break between words, but not after a number."""
    width = min(shutil.get_terminal_size((WIDTH, 24)).columns, WIDTH)
    for line in words.splitlines():
        fitting = [line]
        if sys.stderr.isatty():
            tied = re.sub(r"(?<=\d) ", _TIE, line)
            fitting = textwrap.wrap(tied, width, break_long_words=False, break_on_hyphens=False)
        sys.stderr.writelines(f"{part.replace(_TIE, ' ')}\n" for part in fitting)


def counted(number: int, noun: str) -> str:
    """`1 face`, `2 faces`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
