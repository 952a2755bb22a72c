"""Answers as a table for people: grouped by file, as wide as the terminal, labels in their colours."""

import shutil
import textwrap
import unicodedata
from collections.abc import Sequence
from typing import TextIO

from PIL import ImageColor

from app.cli.terminal import WIDTH
from app.emotions import EMOTIONS
from app.schemas import Face

_BOLD, _PLAIN = "\033[1m", "\033[0m"


class Table:
    """Writes each file's name, and under it its faces, or the words for why there is none."""

    def __init__(self, out: TextIO, colours: bool) -> None:
        """
        Args:
            out: written to. A terminal gets lines of its width at most; elsewhere names of files are never shortened.
            colours: whether `out` shows them.
        """
        self._out = out
        self._terminal = out.isatty()
        self._width = shutil.get_terminal_size((WIDTH, 24)).columns if self._terminal else WIDTH
        self._colours = colours

    def file(self, name: str) -> None:
        """Begin the group of a file."""
        shown = _printable(name)
        self._line(self._in(_BOLD, _shortened(shown, self._width) if self._terminal else shown))

    def faces(self, faces: Sequence[Face], time: float | None) -> None:
        """One line a face: time of the frame, place, label, confidence, and what else is plausible."""
        for face in faces:
            box = face.face_coordinates
            start = f"{_start(time)}{f'{box.x},{box.y} {box.width}x{box.height}':<21}  "
            label = f"{face.emotion}{'' if face.certain else '?'}"
            end = f"{face.confidence:>{14 - len(label)}.0%}"
            if len(face.plausible) > 1:
                room = max(self._width - len(start) - len(label) - len(end) - 2, 5)
                end += "  " + textwrap.shorten("or " + ", ".join(face.plausible[1:]), room, placeholder=" ...")
            self._line(f"{start}{self._in(_COLOURS[face.emotion], label)}{end}")

    def words(self, words: str, time: float | None) -> None:
        """Why a picture or frame has no face to show."""
        start = _start(time)
        lines = textwrap.wrap(_printable(words), self._width, initial_indent=start, subsequent_indent=" " * len(start))
        for line in lines:
            self._line(line)

    def _line(self, text: str) -> None:
        self._out.write(f"{text}\n")

    def _in(self, style: str, text: str) -> str:
        return f"{style}{text}{_PLAIN}" if self._colours else text


def _start(time: float | None) -> str:
    return "  " if time is None else f"  {time:8.2f} s  "


def _escape(colour: str) -> str:
    """The colour of the 6x6x6 cube of 256-colour terminals (xterm's ctlseqs) that is nearest to `#rrggbb`."""
    red, green, blue = (0 if part < 48 else max(1, round((part - 55) / 40)) for part in ImageColor.getrgb(colour)[:3])
    return f"\033[38;5;{16 + 36 * red + 6 * green + blue}m"


_COLOURS = {emotion.name: _escape(emotion.colour) for emotion in EMOTIONS}


def _printable(text: str) -> str:
    """Without what a terminal would take for commands."""
    return "".join(one if one.isprintable() else "?" for one in text)


def _cells(letter: str) -> int:
    """Columns that a terminal gives a letter: those of East Asia are wide, accents stand over the letter before."""
    return 2 if unicodedata.east_asian_width(letter) in "WF" else int(not unicodedata.combining(letter))


def _shortened(name: str, width: int) -> str:
    """The end of a name, which tells more than its beginning."""
    if sum(map(_cells, name)) <= width:
        return name
    room, kept = width - 3, len(name)
    while room >= (next_one := _cells(name[kept - 1])):
        kept, room = kept - 1, room - next_one
    return f"...{name[kept:]}"
