"""Sums up the results of a bulk job, as text and as an HTML page with contact sheets."""

import asyncio
import base64
import heapq
import html
import io
from collections import Counter
from collections.abc import Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import count
from pathlib import Path, PurePath

from PIL import Image

from app.answers.rows import Row
from app.cli.terminal import counted
from app.emotions import EMOTIONS, LABELS, Emotion
from app.errors import ServiceError
from app.settings import Settings
from app.vision.decoder import Picture, PixelPicture
from app.vision.faces import face_pixels
from app.vision.geometry import Box, Pixels
from app.vision.percent import percent
from app.vision.sampling import EVERY_SECOND, Sampling
from app.vision.video import reading
from jobs.sources import UNREADABLE, read

SHEET = 24
"""Faces on a contact sheet, which are those of the highest confidence."""

THUMBNAIL = 160
"""Side of a face on a contact sheet, in pixels."""


ROUNDING = Fraction(1, 1000)
"""Error of a row's time, in seconds."""


@dataclass
class Summary:
    """Counts of the results.

    Attributes:
        pictures: all pictures, answered or not.
        faces: faces by label.
        certain: certain faces by label.
        codes: pictures without a face or an answer, by code.
        best: the most confident faces of each label: confidence, number of the row, row.
    """

    pictures: int = 0
    faces: Counter[str] = field(default_factory=Counter)
    certain: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    best: dict[str, list[tuple[float, int, Row]]] = field(default_factory=lambda: {label: [] for label in LABELS})

    def text(self) -> str:
        """The counts as a few lines for a terminal."""
        total = self.faces.total()
        lines = [f"{counted(self.pictures, 'picture')}, {counted(total, 'face')}"]
        lines.append(f"  {'':<18}{'faces':>10}{'share':>10}{'certain':>10}")
        for label in LABELS:
            share = self.faces[label] / total if total else 0
            lines.append(f"  {label:<18}{self.faces[label]:>10}{percent(share):>10}{self.certain[label]:>10}")
        if self.codes:
            lines.append(f"  {'':<18}{'pictures':>10}")
        lines += [f"  {code:<18}{number:>10}" for code, number in sorted(self.codes.items())]
        return "\n".join(lines) + "\n"


def summarize(rows: Iterable[Row]) -> Summary:
    """Count rows, and keep the most confident faces of each label."""
    summary, order = Summary(), count()
    for row in rows:
        if row["code"] is not None:
            summary.pictures += 1
            summary.codes[row["code"]] += 1
            continue
        if row["face"] == 0:
            summary.pictures += 1
        summary.faces[row["emotion"]] += 1
        if row["certain"]:
            summary.certain[row["emotion"]] += 1
        best, entry = summary.best[row["emotion"]], (row["confidence"], -next(order), row)
        if len(best) < SHEET:
            heapq.heappush(best, entry)
        else:
            heapq.heappushpop(best, entry)
    return summary


def page(summary: Summary, settings: Settings) -> str:
    """The report as an HTML page without further files. Its faces are cut out of their pictures again."""
    figures = "".join(_figures(emotion, summary) for emotion in EMOTIONS)
    codes = "".join(f"<tr><th>{html.escape(code)}</th><td>{number}</td></tr>" for code, number in summary.codes.items())
    failed = f"<h2>Without an answer</h2>\n<table>{codes}</table>" if codes else ""
    sheets = "".join(
        f'<h2 style="border-color: {emotion.colour}">{emotion.emoji} {emotion.name}</h2>'
        f"<p>The most confident of {summary.faces[emotion.name]}.</p>"
        f'<div class="sheet" style="--colour: {emotion.colour}">{_faces(summary.best[emotion.name], settings)}</div>'
        for emotion in EMOTIONS
        if summary.best[emotion.name]
    )
    return _PAGE.format(
        pictures=summary.pictures, faces=summary.faces.total(), figures=figures, failed=failed, sheets=sheets
    )


def _figures(emotion: Emotion, summary: Summary) -> str:
    faces = summary.faces[emotion.name]
    share = faces / max(summary.faces.total(), 1)
    return (
        f"<tr><th>{emotion.emoji} {emotion.name}</th><td>{faces}</td><td>{percent(share)}</td>"
        f"<td>{summary.certain[emotion.name]}</td>"
        f'<td><div class="bar"><div style="width: {share:.2%}; background: {emotion.colour}"></div></div></td></tr>'
    )


def _faces(best: list[tuple[float, int, Row]], settings: Settings) -> str:
    return "".join(_face(row, settings) for _, _, row in sorted(best, key=lambda entry: entry[:2], reverse=True))


def _face(row: Row, settings: Settings) -> str:
    words = html.escape(f"{row['file']}: {row['emotion']} {percent(row['confidence'], 0)}", quote=True)
    try:
        picture = _picture(row, settings)
        box = Box(row["x"], row["y"], row["width"], row["height"])
        face = face_pixels(picture, box, THUMBNAIL, row["angle"] or 0)
    except (*UNREADABLE, ServiceError):
        return f'<figure title="{words}"><p>The picture is gone.</p>{_caption(row)}</figure>'
    stream = io.BytesIO()
    Image.fromarray(face).resize((THUMBNAIL, THUMBNAIL)).save(stream, "JPEG", quality=80)
    data = base64.b64encode(stream.getvalue()).decode()
    return f'<figure title="{words}"><img src="data:image/jpeg;base64,{data}" alt="{words}">{_caption(row)}</figure>'


def _picture(row: Row, settings: Settings) -> Picture | PixelPicture:
    """The picture of a row, or the frame of its video.

    Raises:
        UNREADABLE, ServiceError.
    """
    if row["time"] is None:
        return Picture(read(row["file"], settings.max_file_bytes), settings.picture_limits)
    return PixelPicture(asyncio.run(_frame(row, settings)), settings.picture_limits)


async def _frame(row: Row, settings: Settings) -> Pixels:
    start = Fraction(row["time"]) - ROUNDING
    sampling = Sampling(EVERY_SECOND, max(start, Fraction(0)))
    async with (
        reading(Path(row["file"]), sampling, settings.recording_limits) as video,
        aclosing(video.samples()) as samples,
    ):
        return (await anext(samples)).pixels


def _caption(row: Row) -> str:
    name = html.escape(PurePath(row["file"]).name)
    return f"<figcaption>{percent(row['confidence'], 0)}{'' if row['certain'] else '?'}<br>{name}</figcaption>"


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Expressions in {pictures} pictures</title>
<style>
  body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem; font: 16px/1.5 system-ui, sans-serif; }}
  th {{ text-align: left; font-weight: 400; padding-right: 2rem; }}
  td {{ text-align: right; padding-left: 1.5rem; font-variant-numeric: tabular-nums; }}
  .bar {{ width: 16rem; height: 0.8rem; border-radius: 6px; background: #8883; overflow: hidden; }}
  .bar div {{ height: 100%; }}
  h2 {{ border-left: 0.5rem solid #888; padding-left: 0.75rem; }}
  .sheet {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(160px, 1fr)); gap: 1rem; }}
  figure {{ margin: 0; width: 160px; font-size: 0.8rem; overflow-wrap: anywhere; }}
  figure > :first-child {{ width: 160px; box-sizing: border-box; }}
  img {{ display: block; border-radius: 6px; border-bottom: 4px solid var(--colour); }}
</style>
<h1>Expressions in {pictures} pictures</h1>
<p>{faces} faces. This is what faces show, not what people feel.</p>
<table>
  <tr><th>Label</th><td>Faces</td><td>Share</td><td>Certain</td><td>of 100 %</td></tr>
  {figures}
</table>
{failed}
{sheets}
</html>
"""
