"""Says what answers mean, and what the deployer owes to the people in the pictures. It is the same for every model.

The law is the AI Act, Regulation (EU) 2024/1689: https://eur-lex.europa.eu/eli/reg/2024/1689/oj.
"""

from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

NOTICE = (
    "Emotion recognition is in use here: a program looks at the faces in [which pictures] and names the expression "
    "that each shows, such as happy or neutral. It cannot tell what anybody feels. [Who] uses the answers for [what] "
    "and keeps them for [how long]; questions: [contact]."
)

_AI_ACT = "Regulation (EU) 2024/1689"


class _Words(BaseModel):
    model_config = ConfigDict(frozen=True)


class NoticeDuty(_Words):
    """The duty to tell people that emotion recognition is used on them."""

    region: Literal["EU"] = Field(description="Where the law holds.")
    law: str
    article: str
    applies_from: date
    duty_of: Literal["deployer"] = Field(
        description="`deployer`: whoever uses the service for other than private purposes."
    )
    at_the_latest: Literal["first_exposure"] = Field(description="When people must be told at the latest.")
    covers: tuple[Literal["live", "recordings", "bulk"], ...] = Field(description="Kinds of use that need the notice.")
    exceptions: tuple[Literal["criminal_offences"], ...] = Field(
        description="`criminal_offences`: detecting, preventing or investigating them where a law permits that."
    )
    text: str = Field(description="A notice to put up. The deployer replaces what is in brackets.")


class ProhibitedUse(_Words):
    """A use that is prohibited."""

    use: str = Field(examples=["workplace"])
    prohibited_by: Literal["law", "project"] = Field(description="`law`, or `project`: the makers of this service.")
    region: Literal["EU"] | None = Field(
        None, description="Where the law holds; null for a use that the project prohibits, everywhere."
    )
    law: str | None = None
    article: str | None = None
    applies_from: date | None = None
    exceptions: tuple[Literal["medical", "safety"], ...] = Field((), description="Reasons that make the use lawful.")


class UsePolicy(_Words):
    """The meaning of answers, and how they may be used."""

    meaning: Literal["expression_shown"] = Field(description="What an answer describes.")
    not_meant: tuple[Literal["feeling", "thought", "intention"], ...] = Field(
        description="What an answer does not describe."
    )
    stored: Literal["nothing"] = Field(description="What the service keeps of pictures and answers.")
    notice: NoticeDuty
    prohibited: tuple[ProhibitedUse, ...]


USE_POLICY = UsePolicy(
    meaning="expression_shown",
    not_meant=("feeling", "thought", "intention"),
    stored="nothing",
    notice=NoticeDuty(
        region="EU",
        law=_AI_ACT,
        article="50(3)",
        applies_from=date(2026, 8, 2),
        duty_of="deployer",
        at_the_latest="first_exposure",  # Article 50(5).
        covers=("live", "recordings", "bulk"),
        exceptions=("criminal_offences",),
        text=NOTICE,
    ),
    prohibited=(
        *(
            ProhibitedUse(
                use=use,
                prohibited_by="law",
                region="EU",
                law=_AI_ACT,
                article="5(1)(f)",
                applies_from=date(2025, 2, 2),
                exceptions=("medical", "safety"),
            )
            for use in ("workplace", "education")
        ),
        *(
            ProhibitedUse(use=use, prohibited_by="project")
            for use in ("hiring", "exams", "policing", "lending", "insurance")
        ),
    ),
)

IN_WORDS = (
    "An answer names the expression that a face shows, not what a person feels, and the service stores nothing. In the "
    "European Union people must be told that emotion recognition is used on them, live or in recordings (AI Act, "
    f"Article {USE_POLICY.notice.article}); at work and in education it is prohibited, other than for medical or "
    f"safety reasons (Article {USE_POLICY.prohibited[0].article})."
)
"""The use policy in short, for people."""
