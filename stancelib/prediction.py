"""`Prediction`: the stance of one sentence."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from stancelib.labels import Label


@dataclass(frozen=True)
class Prediction:
    """The stance that one text conveys on a troop deployment.

    Attributes:
        label: ``"support"``, ``"oppose"`` or ``"neutral"``: the most probable one.
        confidence: the probability of ``label``, 0 to 1, calibrated on held-out text.
        probabilities: label -> probability, in the order of `stancelib.LABELS`; they add up to 1.
        text: the text that was classified, as it was passed in.
        truncated: True when the text was longer than the model reads, so that only its beginning counted.
    """

    label: Label
    confidence: float
    probabilities: dict[Label, float] = field(hash=False)
    text: str = field(repr=False)
    truncated: bool = False

    def __repr__(self) -> str:
        numbers = ", ".join(f"{label!r}: {p:.2f}" for label, p in self.probabilities.items())
        cut = ", truncated=True" if self.truncated else ""
        return f"Prediction(label={self.label!r}, confidence={self.confidence:.2f}, probabilities={{{numbers}}}{cut})"

    def __str__(self) -> str:
        text = " ".join(self.text.split())
        shown = text if len(text) <= 100 else text[:99] + "…"
        return f"{self.label:<7} {self.confidence:.2f}  {shown}" + ("  (truncated)" if self.truncated else "")

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain Python values, ready for JSON or a data frame."""
        return asdict(self)

    def to_json(self) -> str:
        """The fields as one line of JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False)
