"""Who holds what, measured: spans in the sentences of the test split, and holders of whole documents.

A span counts as found when a predicted one has the same words (strict) or overlaps it (relaxed), and the same stance.
A document's holder counts as found when a predicted one of the same stance shares a name or alias with it. Authors are
counted apart. Intervals are by bootstrap over the sentences, or the documents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from stancelib.document import Document
from stancelib.holders import Holder
from stancelib.prediction import Prediction

RESAMPLES = 2000
SEED = 1


def f1_with_interval(counts: Sequence[tuple[int, int, int]]) -> dict[str, Any]:
    """Precision, recall and micro-F1 from (hits, predicted, gold) of each unit, with a 95 % interval over the units."""
    table = np.array(counts, dtype=np.int64).reshape(-1, 3)
    drawn = np.random.default_rng(SEED).integers(len(table), size=(RESAMPLES, len(table)))
    hits, predicted, gold = table[drawn].sum(axis=1).T
    scores = 2 * hits / np.maximum(predicted + gold, 1)
    all_hits, all_predicted, all_gold = table.sum(axis=0).tolist()
    return {
        "f1": 2 * all_hits / max(1, all_predicted + all_gold),
        "f1_interval": np.percentile(scores, [2.5, 97.5]).tolist(),
        "precision": all_hits / max(1, all_predicted),
        "recall": all_hits / max(1, all_gold),
        "n": all_gold,
    }


def _matched(gold: list[Any], found: list[Any], same: Callable[[Any, Any], bool]) -> int:
    """How many of ``gold`` have a partner of their own in ``found``."""
    free, hits = list(found), 0
    for one in gold:
        partner = next((other for other in free if same(one, other)), None)
        if partner is not None:
            free.remove(partner)
            hits += 1
    return hits


def span_scores(rows: Sequence[dict[str, Any]], predictions: Sequence[Prediction]) -> dict[str, Any]:
    """``strict``, ``relaxed`` (named holders) and ``author`` figures for labelled sentences."""

    def strict(gold: dict[str, str], found: Holder) -> bool:
        return gold["name"] == found.text and gold["stance"] == found.stance

    def relaxed(gold: dict[str, str], found: Holder) -> bool:
        start = text.find(found.text, max(0, found.start))
        places = [i for i in range(len(text)) if text.startswith(gold["name"], i)]
        overlap = any(place < found.end and start < place + len(gold["name"]) for place in places)
        return overlap and gold["stance"] == found.stance

    units: dict[str, list[tuple[int, int, int]]] = {"strict": [], "relaxed": [], "author": []}
    for row, prediction in zip(rows, predictions, strict=True):
        text = row["text"]
        named = [holder for holder in row["holders"] if holder["name"]]
        found = [holder for holder in prediction.holders if not holder.is_author]
        for name, same in (("strict", strict), ("relaxed", relaxed)):
            units[name].append((_matched(named, found, same), len(found), len(named)))
        authors = [holder for holder in row["holders"] if not holder["name"]]
        own = [holder for holder in prediction.holders if holder.is_author]
        units["author"].append((_matched(authors, own, strict), len(own), len(authors)))
    return {name: f1_with_interval(counts) for name, counts in units.items()}


def document_scores(gold: Sequence[dict[str, Any]], found: Sequence[Document]) -> dict[str, Any]:
    """Holder × stance pairs of whole documents; the holders that pronouns may mean are predictions like others."""

    def same(one: dict[str, Any], other: Any) -> bool:
        names = {one["name"].lower(), *(alias.lower() for alias in one["aliases"])}
        return one["stance"] == other.stance and bool(names & {n.lower() for n in (other.name, *other.aliases)})

    return f1_with_interval(
        [
            (_matched(one["holders"], list(other.holders), same), len(other.holders), len(one["holders"]))
            for one, other in zip(gold, found, strict=True)
        ]
    )
