"""Who holds what in a sentence: from the tags of its tokens to spans with a stance.

The model tags every token with one of `TAGS` (BIO × the three stances; Ramshaw & Marcus 1995). The token that opens
each sentence stands for its author: a B tag there says that the author takes the position.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stancelib.labels import LABELS, Label

TAGS: tuple[str, ...] = ("O", *(f"{part}-{label}" for label in LABELS for part in "BI"))
"""The order of the tag logits: O, B-support, I-support, B-oppose, I-oppose, B-neutral, I-neutral."""

# I-x may only follow B-x or I-x.
_ALLOWED = np.array([[not tag.startswith("I") or before[2:] == tag[2:] for tag in TAGS] for before in TAGS], dtype=bool)
_FORBIDDEN = np.where(_ALLOWED, 0.0, -np.inf)
_ARTICLES = ("the", "a", "an")  # which name nobody when they stand alone
_DANGLING = re.compile(r"(?:\s*[,'’]|\s+(?:and|or))\s*\Z", re.IGNORECASE)  # what parts a name from what follows
_OPENING = np.array([-np.inf if tag.startswith("I") else 0.0 for tag in TAGS])


@dataclass(frozen=True, slots=True)
class Holder:
    """Someone whose position on the deployment a text gives.

    Attributes:
        text: the words that name the holder, ``text[start:end]`` of the text; ``""`` for the text's author.
        stance: ``"support"``, ``"oppose"`` or ``"neutral"`` (explicitly undecided).
        confidence: the probability, 0 to 1, that this holder is given this stance.
        start, end: offsets into the text, in characters; both 0 for the author.
    """

    text: str
    stance: Label
    confidence: float
    start: int
    end: int

    @property
    def is_author(self) -> bool:
        return self.start == self.end

    def __str__(self) -> str:
        return f"{self.text or '(author)'}  {self.stance}  {self.confidence:.2f}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities along the last axis."""
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: NDArray[np.float32] = exponents / exponents.sum(axis=-1, keepdims=True)
    return result


def find_holders(text: str, offsets: Sequence[tuple[int, int]], logits: NDArray[np.float32]) -> tuple[Holder, ...]:
    """The holders of one text, the author first and the others as they come.

    Args:
        text: what the tokens were made of.
        offsets: start and end of each token in ``text``; ``(0, 0)`` for the marks at both ends.
        logits: (tokens, 7), columns in the order of `TAGS`.
    """
    if (logits[:, 0] >= logits[:, 1:].max(axis=1)).all():  # most sentences name nobody
        return ()
    tags = best_tags(logits)
    probabilities = softmax(logits)
    found = []
    for first, last, stance in _spans(tags):
        confidence = float(stance_probabilities(probabilities[first:last]).mean(axis=0)[stance])
        if first == 0:
            found.append(Holder("", LABELS[stance], confidence, 0, 0))
            # What follows the mark at the start is a span of its own only if it has a B tag.
            continue
        # The mark at the end lies at (0, 0).
        start, end = _whole_words(text, offsets[first][0], max(end for _, end in offsets[first:last]))
        if dangling := _DANGLING.search(text, start, end):
            end = dangling.start()
        if text[start:end].casefold() in _ARTICLES:
            continue
        if start < end and not any(start < holder.end and holder.start < end for holder in found):
            found.append(Holder(text[start:end], LABELS[stance], confidence, start, end))
    return tuple(found)


def mentions(text: str, name: str, any_case: bool = True) -> list[tuple[int, int]]:
    """Where ``text`` has the whole words ``name``, whatever their case; ``[(0, 0)]`` for ``""``, the author."""
    if not name.strip():
        return [(0, 0)]
    pattern = r"\s+".join(map(re.escape, name.split()))
    return [match.span() for match in re.finditer(rf"(?<!\w){pattern}(?!\w)", text, re.IGNORECASE if any_case else 0)]


def stance_probabilities(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """(tokens, 7) tag probabilities -> (tokens, 3): of belonging to a holder with each stance, B or I alike."""
    return probabilities[:, 1::2] + probabilities[:, 2::2]


def best_tags(logits: NDArray[np.float32]) -> list[int]:
    """The likeliest sequence of tags in which no span opens with I or changes its stance (Viterbi 1967)."""
    scores = logits[0] + _OPENING
    back = np.empty(logits.shape, dtype=np.intp)
    for position in range(1, len(logits)):
        # An I tag can't continue the author's mark at position 0.
        through = scores[:, None] + (_FORBIDDEN if position > 1 else np.broadcast_to(_OPENING, _FORBIDDEN.shape))
        back[position] = through.argmax(axis=0)
        scores = through.max(axis=0) + logits[position]
    tags = [int(scores.argmax())]
    for position in range(len(logits) - 1, 0, -1):
        tags.append(int(back[position][tags[-1]]))
    return tags[::-1]


def _spans(tags: list[int]) -> Iterator[tuple[int, int, int]]:
    """First token, one past the last, and index of the stance of each span."""
    position = 0
    while position < len(tags):
        tag = tags[position]
        end = position + 1
        if tag:
            while end < len(tags) and tags[end] == tag + 1:
                end += 1
            yield position, end, (tag - 1) // 2
        position = end


def _whole_words(text: str, start: int, end: int) -> tuple[int, int]:
    """Grow a span to the ends of the words that it cuts, and drop blanks around it."""
    while 0 < start < end and _in_word(text, start):
        start -= 1
    while start < end < len(text) and _in_word(text, end):
        end += 1
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


def _in_word(text: str, position: int) -> bool:
    """Whether ``position`` parts a word: two letters or digits, or an apostrophe in N'Djamena from one of its sides."""
    before, after = text[position - 1], text[position]
    if before.isalnum() and after.isalnum():
        return True
    if before in "'’":
        return after.isupper() and text[position - 2 : position - 1].isalnum()
    return after in "'’" and before.isalnum() and text[position + 1 : position + 2].isupper()
