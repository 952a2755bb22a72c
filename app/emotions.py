"""The seven expression labels in the order of the model's outputs. This is the only place that lists them."""

from collections.abc import Sequence
from typing import NamedTuple


class Emotion(NamedTuple):
    """One expression: its label, and what clients may show for it.

    Attributes:
        name: the label.
        display_name: the label as a word for people.
        emoji: one character.
        description: how it looks.
        noun: what a face with it shows.
        colour: `#rrggbb`.
    """

    name: str
    display_name: str
    emoji: str
    description: str
    noun: str
    colour: str

    @property
    def message(self) -> str:
        """A sentence about a face that certainly has this expression."""
        return f"The face shows {self.noun}."


EMOTIONS: tuple[Emotion, ...] = (
    Emotion(
        "angry",
        "Angry",
        "\N{ANGRY FACE}",
        "Lowered, drawn-together brows, a hard stare, lips pressed or squared.",
        "anger",
        "#e5484d",
    ),
    Emotion(
        "disgust",
        "Disgusted",
        "\N{NAUSEATED FACE}",
        "A wrinkled nose, a raised upper lip, narrowed eyes.",
        "disgust",
        "#6a9f2a",
    ),
    Emotion(
        "fear",
        "Afraid",
        "\N{FEARFUL FACE}",
        "Raised, drawn-together brows, wide eyes, lips stretched or parted.",
        "fear",
        "#9b6bdf",
    ),
    Emotion(
        "happy",
        "Happy",
        "\N{SMILING FACE WITH OPEN MOUTH}",
        "Raised lip corners, lifted cheeks, often teeth and crow's feet.",
        "happiness",
        "#e6a700",
    ),
    Emotion(
        "neutral",
        "Neutral",
        "\N{NEUTRAL FACE}",
        "Relaxed features without a marked expression.",
        "no marked expression",
        "#8b93a5",
    ),
    Emotion(
        "sad",
        "Sad",
        "\N{CRYING FACE}",
        "Raised inner brows, drooping eyelids, lip corners pulled down.",
        "sadness",
        "#3b82e0",
    ),
    Emotion(
        "surprise",
        "Surprised",
        "\N{ASTONISHED FACE}",
        "Raised brows, wide eyes, a dropped jaw.",
        "surprise",
        "#ef7234",
    ),
)

LABELS: tuple[str, ...] = tuple(emotion.name for emotion in EMOTIONS)


def doubtful_message(plausible: Sequence[Emotion]) -> str:
    """A sentence about a face that may have any of these expressions, at least one."""
    *others, last = [emotion.noun for emotion in plausible]
    return f"The face may show {', '.join(others)}{' or ' if others else ''}{last}."
