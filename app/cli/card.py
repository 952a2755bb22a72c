"""Print the model's card in words.

The card says what the model is, how well it does, what is not known about it,
and how its answers may be used.

    expressions card
    EMOTION_MODEL_PATH=other.keras expressions card

`GET /model` has every figure.
"""

import sys
import textwrap
from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from app.cli.terminal import WIDTH, command_parser, say
from app.errors import StartError
from app.model.card import LICENCE, NOT_KNOWN, Card, Figures, read_card
from app.model.use_policy import IN_WORDS
from app.settings import Settings, cannot
from app.vision.percent import percent


def text(card: Card) -> str:
    """The card as paragraphs and tables, in lines of at most 80 columns."""
    parts = [f"{card.name} {card.version}"]
    for figures in card.evaluation.values():
        parts += [textwrap.fill(sentences, WIDTH) for sentences in _sentences(card, figures)]
    if main := next(iter(card.evaluation.values()), None):
        parts += ["\n".join(_labels(main)), "\n".join(_calibration(main))]
    endings = {"Not known": NOT_KNOWN, "Licence": LICENCE, "Use": IN_WORDS}
    parts += [textwrap.fill(f"{head}: {words}", WIDTH) for head, words in endings.items()]
    return "\n\n".join(parts) + "\n"


def _sentences(card: Card, figures: Figures) -> Iterator[str]:
    low, high = figures.accuracy_interval_95
    right = "what most of ten people chose" if figures.truth == "crowd" else "the label of the data"
    yield (
        f"{figures.data}, {figures.count} faces; right is {right}: {percent(figures.accuracy)} "
        f"(95 % interval {percent(low)} to {percent(high)}). "
        f"Answers with a confidence of {card.certain_from} or more count as certain: "
        f"{percent(figures.certain_share)} of all, of which {percent(figures.certain_accuracy)} are right."
    )
    if figures.clear_accuracy is not None:
        yield (
            f"Where seven or more of ten people agree, {figures.clear_count} faces: "
            f"{percent(figures.clear_accuracy)}, mean recall of the labels {percent(figures.clear_macro_recall or 0)}."
        )


def _labels(figures: Figures) -> Iterator[str]:
    yield f"{figures.data:<12}{'precision':>12}{'recall':>12}{'F1':>12}{'faces':>12}"
    for label, row in figures.labels.items():
        yield f"  {label:<10}{percent(row.precision):>12}{percent(row.recall):>12}{row.f1:>12.3f}{row.count:>12}"


def _calibration(figures: Figures) -> Iterator[str]:
    yield f"{figures.data:<12}{'confidence':>12}{'right':>12}{'faces':>12}"
    for bin in figures.calibration:
        yield f"{'':<12}{percent(bin.confidence):>12}{percent(bin.accuracy):>12}{bin.count:>12}"


def main(words: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    command_parser("card", __doc__).parse_args(words)
    try:
        settings = Settings()
        card = read_card(settings.model_path, "int8" if settings.engine == "litert" else None)
    except (ValidationError, StartError) as error:
        say(cannot("go on", error))
        return 2
    sys.stdout.write(text(card))
    return 0
