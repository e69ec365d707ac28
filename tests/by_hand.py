"""Documents read without a model: holders marked in the text, or taken from the gold, or told word by word."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stancelib import LABELS, Document, Holder, Label, Prediction, StanceClassifier
from stancelib.checkpoint import DEFAULT_MODEL, HOLDER_HEAD, Checkpoint, shipped
from stancelib.document import build
from stancelib.holders import TAGS
from stancelib.sentences import split
from training import documents

STANCES: dict[str, Label] = {"+": "support", "-": "oppose", "?": "neutral"}
_MARK = re.compile(r"\[([^\[\]]*?)([+\-?])(\d*)\]")


def prediction(text: str, holders: Sequence[Holder] = (), label: Label | None = "neutral") -> Prediction:
    return Prediction(label, 0.8, {"support": 0.1, "oppose": 0.1, "neutral": 0.8}, text, False, tuple(holders))


def read(marked: str, **given: Any) -> Document:
    """``"[Berlin-] said no."``: Berlin opposes; ``[+]`` the author supports, ``[he?60]`` he is undecided, at 0.60."""
    text, marks, position = "", [], 0
    for match in _MARK.finditer(marked):
        text += marked[position : match.start()]
        marks.append((len(text), match[1], STANCES[match[2]], int(match[3] or 90) / 100))
        text += match[1]
        position = match.end()
    text += marked[position:]
    spans, predictions, placed = split(text), [], 0
    for start, end in spans:
        holders = []
        for at, words, stance, confidence in marks:
            if start <= at < end:
                low = at - start if words else 0
                holders.append(Holder(words, stance, confidence, low, low + len(words)))
        placed += len(holders)
        predictions.append(prediction(text[start:end], holders))
    assert placed == len(marks), "a mark stands outside of all sentences"
    return build(text, spans, predictions, **given)


def mentions(marked: str) -> dict[str, list[str]]:
    """Name of each holder -> the words that were merged into it, in order; ``""`` is the author."""
    document = read(marked)
    everybody = (*document.holders, *([document.author] if document.author else []))
    found = {holder.name: [evidence.mention for evidence in holder.evidence] for holder in everybody}
    assert len(found) == len(everybody), f"two holders of one name: {document}"
    return found


def read_gold(document: dict[str, Any]) -> Document:
    """A gold document as a perfect tagger would find its holders, merged by our rules."""
    predictions = []
    for sentence in document["sentences"]:
        holders = []
        for holder in sentence["holders"]:
            start = sentence["text"].find(holder["name"]) if holder["name"] else 0
            holders.append(Holder(holder["name"], holder["stance"], 0.9, start, start + len(holder["name"])))
        predictions.append(prediction(sentence["text"], holders, sentence["label"]))
    return build(document["text"], documents.spans(document), predictions)


class WordTagger:
    """Stands for a model: knows some words that name holders, and some that give the author away."""

    def __init__(self, holders: Mapping[str, Label], authors: Mapping[str, Label]) -> None:
        self.holders, self.authors = holders, authors

    def learn(self, clf: StanceClassifier) -> None:
        def pieces(words: Mapping[str, Label]) -> list[tuple[list[int], Label]]:
            return [(clf._encoder([word])[0].ids[1:-1], stance) for word, stance in words.items()]

        self._holders, self._authors = pieces(self.holders), pieces(self.authors)

    def __call__(self, ids: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        stances = np.tile(np.float32([0, 0, 3]), (len(ids), 1))
        tags = np.zeros((*ids.shape, len(TAGS)), dtype=np.float32)
        tags[..., 0] = 4
        for row, tokens in enumerate(ids.tolist()):
            for kinds, is_author in ((self._holders, False), (self._authors, True)):
                for pieces, stance in kinds:
                    opening, size = TAGS.index(f"B-{stance}"), len(pieces)
                    for start in range(len(tokens) - size + 1):
                        if tokens[start : start + size] == pieces:
                            stances[row, LABELS.index(stance)] = 6
                            if is_author:
                                tags[row, 0, opening] = 9
                            else:
                                tags[row, start, opening] = 9
                                tags[row, start + 1 : start + size, opening + 1] = 9
        return stances, tags


def word_classifier(folder: Path, tagger: WordTagger) -> StanceClassifier:
    """A classifier with the shipped tokenizer, whose model is ``tagger``; ``folder`` is filled."""
    for file in ("config.json", "tokenizer.json"):
        (folder / file).symlink_to(shipped()[DEFAULT_MODEL] / file)
    (folder / HOLDER_HEAD).touch()
    clf = StanceClassifier(Checkpoint(folder), tagger)
    tagger.learn(clf)
    return clf
