"""The seven expression labels in the order of the model's outputs. This is the only place that lists them."""

from typing import NamedTuple


class Emotion(NamedTuple):
    """One expression: its label and the words, sign and colour (`#rrggbb`) that clients may show for it."""

    name: str
    display_name: str
    emoji: str
    description: str
    message: str
    colour: str


EMOTIONS: tuple[Emotion, ...] = (
    Emotion(
        "angry",
        "Angry",
        "\N{ANGRY FACE}",
        "Lowered, drawn-together brows, a hard stare, lips pressed or squared.",
        "The face shows anger.",
        "#e5484d",
    ),
    Emotion(
        "disgust",
        "Disgusted",
        "\N{NAUSEATED FACE}",
        "A wrinkled nose, a raised upper lip, narrowed eyes.",
        "The face shows disgust.",
        "#6a9f2a",
    ),
    Emotion(
        "fear",
        "Afraid",
        "\N{FEARFUL FACE}",
        "Raised, drawn-together brows, wide eyes, lips stretched or parted.",
        "The face shows fear.",
        "#9b6bdf",
    ),
    Emotion(
        "happy",
        "Happy",
        "\N{SMILING FACE WITH OPEN MOUTH}",
        "Raised lip corners, lifted cheeks, often teeth and crow's feet.",
        "The face shows happiness.",
        "#e6a700",
    ),
    Emotion(
        "neutral",
        "Neutral",
        "\N{NEUTRAL FACE}",
        "Relaxed features without a marked expression.",
        "The face shows no marked expression.",
        "#8b93a5",
    ),
    Emotion(
        "sad",
        "Sad",
        "\N{CRYING FACE}",
        "Raised inner brows, drooping eyelids, lip corners pulled down.",
        "The face shows sadness.",
        "#3b82e0",
    ),
    Emotion(
        "surprise",
        "Surprised",
        "\N{ASTONISHED FACE}",
        "Raised brows, wide eyes, a dropped jaw.",
        "The face shows surprise.",
        "#ef7234",
    ),
)

LABELS: tuple[str, ...] = tuple(emotion.name for emotion in EMOTIONS)
