"""The figures. Those of labels are functions of confusion matrices, so that one line of numpy gives all resamples.

A confusion matrix has the true labels down and the found ones across; ``(..., k, k)`` stands for any number of them.
Where scikit-learn has a figure, this one is equal to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Codes: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]

CALIBRATION_BINS = 15
COVERAGE = 0.8


def confusion_matrix(gold: Codes, found: Codes, k: int) -> NDArray[np.int64]:
    """How many rows of each true label (down) got each label (across): shape (k, k). Codes are 0 to k - 1."""
    return np.bincount(gold * k + found, minlength=k * k).reshape(k, k)


def accuracy(confusion: NDArray[Any]) -> Floats:
    """Share of rows that are right; shape (...)."""
    return _ratio(_hits(confusion).sum(axis=-1), confusion.sum(axis=(-2, -1)))


def precision(confusion: NDArray[Any]) -> Floats:
    """Of the rows that got a label, the share that has it; shape (..., k), nan for labels that no row got."""
    return _ratio(_hits(confusion), confusion.sum(axis=-2))


def recall(confusion: NDArray[Any]) -> Floats:
    """Of the rows that have a label, the share that got it; shape (..., k), nan for labels that no row has."""
    return _ratio(_hits(confusion), confusion.sum(axis=-1))


def f1(confusion: NDArray[Any]) -> Floats:
    """Harmonic mean of precision and recall; shape (..., k), nan for labels that no row has or got."""
    return _ratio(2 * _hits(confusion), confusion.sum(axis=-2) + confusion.sum(axis=-1))


def macro_precision(confusion: NDArray[Any]) -> Floats:
    """Mean precision of the labels that some row has or got, 0 for those that none got; shape (...)."""
    return _macro(precision(confusion), confusion)


def macro_recall(confusion: NDArray[Any]) -> Floats:
    """Mean recall of the labels that some row has or got, 0 for those that none has; shape (...)."""
    return _macro(recall(confusion), confusion)


def macro_f1(confusion: NDArray[Any]) -> Floats:
    """Mean F1 of the labels that some row has or got; shape (...)."""
    return macro_f1_of_sums(confusion.sum(axis=-1), confusion.sum(axis=-2), _hits(confusion))


def macro_f1_of_sums(had: NDArray[Any], got: NDArray[Any], hits: NDArray[Any]) -> Floats:
    """`macro_f1` from how many rows have each label, got it, and both; shapes (..., k) to (...)."""
    whole = had + got
    return _ratio(np.nan_to_num(_ratio(2 * hits, whole)).sum(axis=-1), (whole > 0).sum(axis=-1))


def semeval_f1(confusion: NDArray[Any], labels: Sequence[str]) -> Floats:
    """Mean of F1 of support and F1 of oppose; rows of other labels count through the errors that they cause.

    The official figure of SemEval-2016 Task 6 (Mohammad et al. 2016), there of favor and against. Shape (...).

    Args:
        confusion: matrices of shape (..., k, k).
        labels: the k labels; "support" and "oppose" are among them.
    """
    both = [labels.index("support"), labels.index("oppose")]
    # A resample may lack one of the two; it then tells nothing of it.
    scores: Floats = f1(confusion)[..., both].mean(axis=-1)
    return scores


def matthews(confusion: NDArray[Any]) -> Floats:
    """Correlation of true and found labels, -1 to 1 (Matthews 1975; for k labels, Gorodkin 2004); shape (...).

    0 if all rows have, or got, one and the same label.
    """
    confusion = confusion.astype(np.float64)
    n, right = confusion.sum(axis=(-2, -1)), _hits(confusion).sum(axis=-1)
    had, got = confusion.sum(axis=-1), confusion.sum(axis=-2)
    spread = (n**2 - (got**2).sum(axis=-1)) * (n**2 - (had**2).sum(axis=-1))
    product = right * n - (had * got).sum(axis=-1)
    result: Floats = np.where(spread > 0, product / np.sqrt(np.where(spread > 0, spread, 1)), 0.0)
    return result


def kappa(confusion: NDArray[Any]) -> Floats:
    """Agreement of true and found labels beyond chance, at most 1 (Cohen 1960); shape (...).

    nan if all rows have and got one and the same label.
    """
    confusion = confusion.astype(np.float64)
    n = confusion.sum(axis=(-2, -1))
    by_chance = (confusion.sum(axis=-1) * confusion.sum(axis=-2)).sum(axis=-1)
    return _ratio(_hits(confusion).sum(axis=-1) * n - by_chance, n**2 - by_chance)


def log_losses(gold: Codes, probabilities: Floats) -> Floats:
    """Minus the natural logarithm of each row's probability of its true label; shape (n,). Their mean is the log loss.

    Probabilities of 0 count as 2.2e-16, the distance of 1 to the next number, as in scikit-learn.
    """
    of_gold = probabilities[np.arange(len(gold)), gold]
    losses: Floats = -np.log(np.clip(of_gold, np.finfo(np.float64).eps, 1.0))
    return losses


def brier_scores(gold: Codes, probabilities: Floats) -> Floats:
    """Each row's squared distance of its probabilities to 1 for the true label and 0 for the others; shape (n,).

    Their mean is the Brier score over all labels, 0 to 2 (Brier 1950).
    """
    truth = np.eye(probabilities.shape[1])[gold]
    scores: Floats = ((probabilities - truth) ** 2).sum(axis=1)
    return scores


def calibration_error(confidence: Floats, right: NDArray[np.bool_]) -> float:
    """Expected calibration error: how far confidence lies from accuracy, on average over 15 bins of equal mass.

    Naeini et al. 2015; equal mass: Nixon et al. 2019.

    Args:
        confidence: of each row, the probability of the label that it got; shape (n,).
        right: whether that is the true label; shape (n,).
    """
    return error_of_gaps((confidence - right)[np.argsort(confidence, kind="stable")])


def error_of_gaps(gaps: Floats) -> float:
    """`calibration_error` from confidence minus 1 (right) or 0 (wrong) of each row, in the order of confidence."""
    size, larger = divmod(len(gaps), CALIBRATION_BINS)
    # As numpy's array_split: the first bins have a row more; bins without a row do not count.
    sizes = [size + 1] * larger + [size] * (CALIBRATION_BINS - larger) if size else [1] * larger
    starts = np.cumsum([0, *sizes[:-1]])
    return float(np.abs(np.add.reduceat(gaps, starts)).sum()) / len(gaps)


def reliability(confidence: Floats, right: NDArray[np.bool_]) -> list[tuple[int, float, float]]:
    """Number of rows, mean confidence and accuracy of bins of equal mass, the least confident first; none is empty."""
    parts = np.array_split(np.argsort(confidence, kind="stable"), CALIBRATION_BINS)
    return [(len(rows), float(confidence[rows].mean()), float(right[rows].mean())) for rows in parts if len(rows)]


def by_confidence(confidence: NDArray[Any]) -> Codes:
    """Rows in the order of falling confidence; ties in their own order."""
    return np.argsort(-confidence, kind="stable")


def selective_risks(right: NDArray[np.bool_]) -> Floats:
    """Share of wrong rows among the first 1, 2, … n; shape (n,).

    Args:
        right: whether rows are right, in the order of falling confidence.
    """
    risks: Floats = np.cumsum(~right) / np.arange(1, len(right) + 1)
    return risks


def aurc(right: NDArray[np.bool_]) -> float:
    """Area under the risk-coverage curve: mean of `selective_risks` (El-Yaniv & Wiener 2010; Geifman et al. 2019)."""
    return float(selective_risks(right).mean())


def selective_accuracy(right: NDArray[np.bool_], coverage: float = COVERAGE) -> float:
    """Share of right rows among the first ``coverage`` of them; ``right`` as in `selective_risks`."""
    return float(right[: max(1, round(coverage * len(right)))].mean())


def _hits(confusion: NDArray[Any]) -> NDArray[Any]:
    return np.diagonal(confusion, axis1=-2, axis2=-1)


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    """nan where ``whole`` is 0."""
    result: Floats = np.where(whole != 0, part / np.where(whole != 0, whole, 1), np.nan)
    return result


def _macro(scores: Floats, confusion: NDArray[Any]) -> Floats:
    occurs = confusion.sum(axis=-2) + confusion.sum(axis=-1) > 0
    return _ratio(np.where(occurs, np.nan_to_num(scores), 0.0).sum(axis=-1), occurs.sum(axis=-1))
