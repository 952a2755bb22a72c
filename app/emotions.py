"""The seven expression labels in the order of the model's outputs. This is the only place that lists them."""

from typing import NamedTuple


class Emotion(NamedTuple):
    """One expression: its label and the words and sign that clients may show for it."""

    name: str
    emoji: str
    description: str
    message: str


EMOTIONS: tuple[Emotion, ...] = (
    Emotion(
        "angry",
        "\N{ANGRY FACE}",
        "Lowered, drawn-together brows, a hard stare, lips pressed or squared.",
        "The face shows anger.",
    ),
    Emotion(
        "disgust",
        "\N{NAUSEATED FACE}",
        "A wrinkled nose, a raised upper lip, narrowed eyes.",
        "The face shows disgust.",
    ),
    Emotion(
        "fear",
        "\N{FEARFUL FACE}",
        "Raised, drawn-together brows, wide eyes, lips stretched or parted.",
        "The face shows fear.",
    ),
    Emotion(
        "happy",
        "\N{SMILING FACE WITH OPEN MOUTH}",
        "Raised lip corners, lifted cheeks, often teeth and crow's feet.",
        "The face shows happiness.",
    ),
    Emotion(
        "neutral",
        "\N{NEUTRAL FACE}",
        "Relaxed features without a marked expression.",
        "The face shows no marked expression.",
    ),
    Emotion(
        "sad",
        "\N{CRYING FACE}",
        "Raised inner brows, drooping eyelids, lip corners pulled down.",
        "The face shows sadness.",
    ),
    Emotion(
        "surprise",
        "\N{ASTONISHED FACE}",
        "Raised brows, wide eyes, a dropped jaw.",
        "The face shows surprise.",
    ),
)

LABELS: tuple[str, ...] = tuple(emotion.name for emotion in EMOTIONS)
