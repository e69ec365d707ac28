"""A first stage for corpora: a linear model that recognises sentences which surely take no position.

It reads a sentence as a bag of hashed words, pairs of words and letters within words (Weinberger et al. 2009), gives it
one score, the log-odds that it supports or opposes a deployment, and costs some ten thousandths of what the model
costs. What scores below a threshold is `neutral` without having been read by the model. So is, in a document, what
stands `NEAR` no word of the military: alone, "We should never have gone in" may well be a position, but not in a report
on a merger. ``python -m training.gate`` makes ``gate.safetensors`` and measures what both miss.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from stancelib.checkpoint import GATE
from stancelib.errors import ModelError
from stancelib.labels import LABELS
from stancelib.prediction import Prediction
from stancelib.texts import clean

BUCKETS = 1 << 17
_WORD = re.compile(r"\w+(?:['’]\w+)*")
_LETTERS = 4
# The model reads 256 tokens, which are no more words.
_MOST_WORDS = 256

NEAR = 10
"""So many sentences before or after one that has a word of the military are read too."""
_MILITARY = re.compile(
    r"troop|soldier|militar|\barm(?:y|ies)\b|\bdeploy|\bmarines?\b|peacekeep|blue helmet|national guard"
    r"|guards?(?:men|man)\b|battalion|brigade|regiment|platoon|infantry|paratroop|commando|legionn|gendarme|garrison"
    r"|contingent|\bforces\b|\b(?:ground|international|multinational|stabili[sz]ation|expeditionary) force\b|\bnato\b"
    r"|combat|\bwars?\b|boots on|\binva(?:de|sion)|\boccup(?:ier|ation|ying)|\bwithdr(?:aw|ew)|drawdown|\breinforce"
    r"|navy|sailors|\b(?:training|military|peace|combat|un|support) mission\b|trainers|instructors",
    re.IGNORECASE,
)


def word_buckets(word: str) -> list[int]:
    """Buckets of a word in lower case: one for itself, and one for each run of four letters in ``<word>``."""
    marked = f"<{word}>"
    grams = (marked[i : i + _LETTERS] for i in range(len(marked) - _LETTERS + 1))
    return [_bucket(word), *(_bucket(f"#{gram}") for gram in grams)]


def pair_bucket(first: str, second: str) -> int:
    return _bucket(f"{first} {second}")


def words(text: str) -> list[str]:
    """The words of ``text`` that count, in lower case."""
    return _WORD.findall(clean(text).lower().replace("’", "'"))[:_MOST_WORDS]


def features(text: str) -> Iterator[int]:
    """The buckets of ``text``, one an occurrence: what the weights are learnt on, each worth 1 / sqrt(how many)."""
    found = words(text)
    for word in found:
        yield from word_buckets(word)
    for first, second in itertools.pairwise(found):
        yield pair_bucket(first, second)


def near_the_military(sentences: Sequence[str], title: str | None = None) -> list[bool]:
    """For each sentence of one document, whether it, or one of the `NEAR` on either side, has a word of the military.

    All have, if the ``title`` has; and in a document of no more than `NEAR` sentences, such as a post, all count as
    near: it may take its topic for granted.
    """
    if len(sentences) <= NEAR or (title and _MILITARY.search(title)):
        return [True] * len(sentences)
    near = [False] * len(sentences)
    for index, sentence in enumerate(sentences):
        if _MILITARY.search(sentence):
            first, last = max(0, index - NEAR), min(len(sentences), index + NEAR + 1)
            near[first:last] = [True] * (last - first)
    return near


def _bucket(feature: str) -> int:
    return crc32(feature.encode("utf-8", "replace")) % BUCKETS


@dataclass(eq=False)
class Gate:
    """Scores sentences, and tells which of them the model must read. Safe to share between threads.

    Attributes:
        weights: of the buckets, int8, shape (`BUCKETS`,); times ``scale``, log-odds.
        bias: the score of a text whose words weigh nothing.
        floor: a sentence that scores less surely takes no position.
        slope, intercept: P(support or oppose) = sigmoid(slope * score + intercept), fitted on held-out text (Platt
            1999); below the floor at most a half.
        support_share: of held-out sentences that score low and take a position all the same, the share that supports.
    """

    weights: NDArray[np.int8]
    scale: float
    bias: float
    floor: float
    slope: float
    intercept: float
    support_share: float

    def __post_init__(self) -> None:
        if self.weights.shape != (BUCKETS,) or self.weights.dtype != np.int8:
            raise ValueError("weights of another shape or type")
        numbers = self._numbers()
        if not all(map(math.isfinite, numbers.values())):
            raise ValueError("numbers that are not finite")
        if not (self.slope >= 0 and self.slope * self.floor + self.intercept <= 0 and 0 <= self.support_share <= 1):
            raise ValueError("probabilities by which what scores below the floor is not neutral")
        self._integers: list[int] = self.weights.tolist()  # faster than numpy, one at a time
        # A word's share of the score does not depend on its neighbours, and most words have been met before.
        self._of_word = lru_cache(1 << 16)(self._sum_and_count)

    def _numbers(self) -> dict[str, float]:
        return {field.name: float(getattr(self, field.name)) for field in fields(self) if field.name != "weights"}

    @classmethod
    def open(cls, folder: Path) -> Gate | None:
        """The gate of a model folder, None if it has none.

        Raises:
            ModelError: ``gate.safetensors`` is damaged.
        """
        path = folder / GATE
        if not path.is_file():
            return None
        try:
            content = path.read_bytes()
            (length,) = struct.unpack_from("<Q", content)
            header = json.loads(content[8 : 8 + length])
            tensor = header["weights"]
            start, end = tensor["data_offsets"]
            if tensor["dtype"] != "I8" or tensor["shape"] != [BUCKETS] or len(content) != 8 + length + end:
                raise ValueError("weights of another shape or type")
            weights = np.frombuffer(content, np.int8, end - start, 8 + length + start)
            return cls(weights, **{name: float(value) for name, value in header["__metadata__"].items()})
        except (OSError, ValueError, LookupError, TypeError, AttributeError, struct.error, RecursionError) as error:
            raise ModelError(f"{path} is damaged ({error}); fetch the model again, or delete the file") from None

    def save(self, folder: Path) -> None:
        """Write ``gate.safetensors`` into a model folder: the weights, and the numbers as its metadata."""
        header = json.dumps(
            {
                "__metadata__": {name: repr(number) for name, number in self._numbers().items()},
                "weights": {"dtype": "I8", "shape": [BUCKETS], "data_offsets": [0, BUCKETS]},
            }
        ).encode()
        header += b" " * (-len(header) % 8)
        (folder / GATE).write_bytes(struct.pack("<Q", len(header)) + header + self.weights.tobytes())

    def scores(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Log-odds, float32 of shape (n,), that each text takes a position; `floor` for one without words."""
        return np.fromiter(map(self._score, texts), dtype=np.float32, count=len(texts))

    def keeps(self, scores: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Which of the texts with these scores the model must read, shape (n,)."""
        kept: NDArray[np.bool_] = scores >= np.float32(self.floor)
        return kept

    def probabilities(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores (n,) -> probabilities (n, 3) in the order of `LABELS`, as measured on held-out text."""
        takes = 1 / (1 + np.exp(-(self.slope * scores.astype(np.float64) + self.intercept)))
        by_label = {
            "support": takes * self.support_share,
            "oppose": takes * (1 - self.support_share),
            "neutral": 1 - takes,
        }
        return np.stack([by_label[label] for label in LABELS], axis=-1).astype(np.float32)

    def predictions(self, texts: Sequence[str], near: Sequence[bool] | None = None) -> list[Prediction | None]:
        """A neutral `Prediction`, marked ``gated``, of each text that surely takes no position; None of the others.

        ``near`` tells which of them stand near the military (`near_the_military`), by default all. Others take none.
        """
        scores = self.scores(texts)
        kept = self.keeps(scores)
        if near is not None:
            kept &= np.array(near, dtype=bool)
        rows = self.probabilities(np.where(kept, scores, np.minimum(scores, np.float32(self.floor)))).tolist()
        made: list[Prediction | None] = []
        for text, keep, row in zip(texts, kept.tolist(), rows, strict=True):
            probabilities = dict(zip(LABELS, row, strict=True))
            neutral = Prediction("neutral", probabilities["neutral"], probabilities, text, gated=True)
            made.append(None if keep else neutral)
        return made

    def _score(self, text: str) -> float:
        found = words(text)
        if not found:
            return self.floor  # emoji and the like: for the model to judge
        total, count = 0, len(found) - 1
        for word in found:
            own, buckets = self._of_word(word)
            total += own
            count += buckets
        for first, second in itertools.pairwise(found):
            total += self._integers[pair_bucket(first, second)]
        return float(self.bias + self.scale * total / count**0.5)

    def _sum_and_count(self, word: str) -> tuple[int, int]:
        buckets = word_buckets(word)
        return sum(self._integers[bucket] for bucket in buckets), len(buckets)
