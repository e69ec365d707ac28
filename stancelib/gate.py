"""A first stage for corpora: a linear model that recognises sentences which surely take no position.

It reads a sentence as a bag of hashed words, pairs of words and letters within words (Weinberger et al. 2009), gives it
one score, the log-odds that it supports or opposes a deployment, and costs some ten thousandths of what the model
costs. What scores below a threshold is `neutral` without having been read by the model. ``python -m training.gate``
makes ``gate.npz`` and measures what it misses.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from stancelib.errors import ModelError
from stancelib.labels import LABELS
from stancelib.texts import clean

GATE = "gate.npz"
# So many sentences before and after one that is plainly on the topic are read more leniently.
REACH = 2
BUCKETS = 1 << 17
_WORD = re.compile(r"\w+(?:['’]\w+)*")
_LETTERS = 4
# The model reads 256 tokens, which are no more words.
_MOST_WORDS = 256


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


def _bucket(feature: str) -> int:
    return crc32(feature.encode("utf-8", "replace")) % BUCKETS


@dataclass(eq=False)
class Gate:
    """Scores sentences, and tells which of them the model must read. Safe to share between threads.

    Attributes:
        weights: of the buckets, int8, shape (`BUCKETS`,); times ``scale``, log-odds.
        bias: the score of a text whose words weigh nothing.
        floor: a sentence that scores less surely takes no position, wherever it stands.
        topic: one that scores this or more is plainly on the topic.
        slope, intercept: P(support or oppose) = sigmoid(slope * score + intercept), fitted on held-out text (Platt
            1999).
        support_share: of held-out sentences that score low and take a position all the same, the share that supports.
    """

    weights: NDArray[np.int8]
    scale: float
    bias: float
    floor: float
    topic: float
    slope: float
    intercept: float
    support_share: float

    def __post_init__(self) -> None:
        self._integers: list[int] = self.weights.tolist()  # faster than numpy, one at a time
        # A word's share of the score does not depend on its neighbours, and most words have been met before.
        self._of_word = lru_cache(1 << 16)(self._sum_and_count)

    @classmethod
    def open(cls, folder: Path) -> Gate | None:
        """The gate of a model folder, None if it has none.

        Raises:
            ModelError: ``gate.npz`` is damaged.
        """
        path = folder / GATE
        if not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as file:
                values = {name: file[name] for name in (field.name for field in fields(cls))}
            if values["weights"].shape != (BUCKETS,) or values["weights"].dtype != np.int8:
                raise ValueError("weights of another shape")
            numbers = {name: float(value) for name, value in values.items() if name != "weights"}
            if not np.isfinite(list(numbers.values())).all():
                raise ValueError("numbers that are not finite")
        except Exception as error:  # zipfile, zlib and numpy raise half a dozen kinds
            raise ModelError(f"{path} is damaged ({error}); fetch the model again, or delete the file") from None
        return cls(values["weights"], **numbers)

    def save(self, folder: Path) -> None:
        """Write ``gate.npz`` into a model folder."""
        np.savez_compressed(folder / GATE, **{field.name: getattr(self, field.name) for field in fields(self)})

    def scores(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Log-odds, float32 of shape (n,), that each text takes a position; `floor` for one without words."""
        return np.fromiter(map(self._score, texts), dtype=np.float32, count=len(texts))

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

    def keeps(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Which of some sentences without context the model must read, shape (n,)."""
        return self.scores(texts) >= self.floor

    def keeps_in_document(self, sentences: Sequence[str]) -> NDArray[np.bool_]:
        """Which sentences of one document, in order, the model must read, shape (n,).

        Those plainly on the topic, and within `REACH` of one, all but those that score below the floor: "Bring them
        home" needs neighbours to be understood. None of a document without a sentence on the topic.
        """
        return kept_in_document(self.scores(sentences), self.floor, self.topic)

    def probabilities(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores (n,) -> probabilities (n, 3) in the order of `LABELS`, as measured on held-out text."""
        takes = 1 / (1 + np.exp(-(self.slope * scores.astype(np.float64) + self.intercept)))
        by_label = {
            "support": takes * self.support_share,
            "oppose": takes * (1 - self.support_share),
            "neutral": 1 - takes,
        }
        return np.stack([by_label[label] for label in LABELS], axis=-1).astype(np.float32)


def kept_in_document(scores: NDArray[np.float32], floor: float, topic: float) -> NDArray[np.bool_]:
    """`Gate.keeps_in_document` from the scores of the sentences."""
    plain = scores >= topic
    near = plain.copy()
    for distance in range(1, REACH + 1):
        near[distance:] |= plain[:-distance]
        near[:-distance] |= plain[distance:]
    result: NDArray[np.bool_] = plain | (near & (scores >= floor))
    return result


def features(text: str) -> Iterator[int]:
    """The buckets of ``text``, one an occurrence: what the weights are learnt on, each worth 1 / sqrt(how many)."""
    found = words(text)
    for word in found:
        yield from word_buckets(word)
    for first, second in itertools.pairwise(found):
        yield pair_bucket(first, second)
