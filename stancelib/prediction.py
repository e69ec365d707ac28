"""`Prediction`: the stance of one sentence."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from stancelib.holders import Holder

ABSTAINED = "unsure"  # what is printed and written for a label of None


@dataclass(frozen=True)
class Prediction:
    """The stance that one text conveys on a troop deployment.

    Attributes:
        label: ``"support"``, ``"oppose"`` or ``"neutral"`` (or one of the labels of a model that has others): the most
            probable one. None when the model abstains, which it does only where ``abstain_below`` asks for it.
        confidence: the probability of the most probable label, 0 to 1, calibrated on held-out text.
        probabilities: label -> probability, in the order of the classifier's ``labels``; they add up to 1.
        text: the text that was classified, as it was passed in.
        holders: whose position the text gives, as spans of ``text``, each with its own stance; the author first. Empty
            when it gives nobody's, or the model has no holder head.
        truncated: True when the text was longer than the model reads, so that only its beginning counted.
        gated: True when a corpus command's first stage (`stancelib.gate`) told that the text surely takes no position,
            and the model did not read it; the probabilities are then the first stage's.
    """

    label: str | None
    confidence: float
    probabilities: dict[str, float] = field(hash=False)
    text: str = field(repr=False)
    truncated: bool = False
    holders: tuple[Holder, ...] = ()
    gated: bool = False

    def __repr__(self) -> str:
        numbers = ", ".join(f"{label!r}: {p:.2f}" for label, p in self.probabilities.items())
        cut = ", truncated=True" if self.truncated else ""
        who = f", holders=[{', '.join(map(str, self.holders))}]" if self.holders else ""
        return (
            f"Prediction(label={self.label!r}, confidence={self.confidence:.2f}, probabilities={{{numbers}}}{who}{cut})"
        )

    def __str__(self) -> str:
        text = " ".join(self.text.split())
        shown = text if len(text) <= 100 else text[:99] + "…"
        return f"{self.label or ABSTAINED:<7} {self.confidence:.2f}  {shown}" + (
            "  (truncated)" if self.truncated else ""
        )

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain Python values, ready for JSON or a data frame."""
        return asdict(self) | {"holders": [holder.to_dict() for holder in self.holders]}

    def to_json(self) -> str:
        """The fields as one line of JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False)
