"""Rows to read: where the model is sure and wrong, and where the label may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stancelib.data import LabelledData
from stancelib.evaluation.metrics import Codes, Floats

LISTED = 50


@dataclass(frozen=True, slots=True)
class Mistake:
    """A row whose true and found label differ.

    Attributes:
        place: where it stands.
        text: all of it.
        gold: the label that it has in the data.
        found: the label that it got.
        confidence: the probability of ``found``.
        self_confidence: the probability of ``gold``.
    """

    place: str
    text: str
    gold: str
    found: str
    confidence: float | None
    self_confidence: float | None


def confident_errors(
    data: LabelledData, labels: Sequence[str], gold: Codes, found: Codes, probabilities: Floats | None
) -> list[Mistake]:
    """Wrong rows, the most confident first, at most `LISTED`; in their own order if there are no probabilities."""
    rows = np.flatnonzero(gold != found)
    if probabilities is not None:
        rows = rows[np.argsort(-probabilities[rows, found[rows]], kind="stable")]
    return _mistakes(rows[:LISTED], data, labels, gold, found, probabilities)


def label_errors(
    data: LabelledData, labels: Sequence[str], gold: Codes, found: Codes, probabilities: Floats
) -> tuple[str, list[Mistake]]:
    """Rows whose label is likely wrong, the likeliest first, at most `LISTED`; before them, how they were found.

    With cleanlab, those that confident learning finds (Northcutt, Jiang & Chuang 2021), else all wrong rows; in both
    cases in the order of self-confidence, the probability of the given label. That says something of labels only
    where the model has not learned from these rows.
    """
    of_gold = probabilities[np.arange(len(gold)), gold]
    try:
        from cleanlab.filter import find_label_issues
    except ImportError:
        rows = np.flatnonzero(gold != found)
        method = "wrong rows by self-confidence"
    else:
        # It wants codes without gaps, and labels that no row has are nobody's error.
        present, codes = np.unique(gold, return_inverse=True)
        of_present = probabilities[:, present]
        suspicious = np.zeros(len(gold), dtype=bool)
        if len(present) > 1:
            sums = of_present.sum(axis=1, keepdims=True)
            of_present = np.where(sums > 0, of_present / np.where(sums > 0, sums, 1), 1 / len(present))
            suspicious = find_label_issues(codes, of_present, n_jobs=1)
        rows = np.flatnonzero(suspicious & (gold != found))
        method = "confident learning (cleanlab), by self-confidence"
    rows = rows[np.argsort(of_gold[rows], kind="stable")]
    return method, _mistakes(rows[:LISTED], data, labels, gold, found, probabilities)


def _mistakes(
    rows: Codes, data: LabelledData, labels: Sequence[str], gold: Codes, found: Codes, probabilities: Floats | None
) -> list[Mistake]:
    return [
        Mistake(
            data.places[row],
            data.texts[row],
            labels[gold[row]],
            labels[found[row]],
            None if probabilities is None else float(probabilities[row, found[row]]),
            None if probabilities is None else float(probabilities[row, gold[row]]),
        )
        for row in map(int, rows)
    ]
