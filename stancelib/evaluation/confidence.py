"""What the probabilities are worth: the figures that need them, reliability bins and the risk-coverage curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stancelib.evaluation import bootstrap, metrics
from stancelib.evaluation.metrics import Codes, Floats
from stancelib.evaluation.result import Bin, CurvePoint, Figure

CURVE_POINTS = 100
_SIMULATIONS = 200


@dataclass(frozen=True)
class Confidence:
    """Figures by name, the least confident bin first, coverage rising, and the noise in the calibration error."""

    figures: dict[str, Figure]
    bins: tuple[Bin, ...]
    curve: tuple[CurvePoint, ...]
    noise: float


def measure(
    gold: Codes, found: Codes, probabilities: Floats, groups: Codes | None, resamples: int, seed: int
) -> Confidence:
    """All that needs probabilities.

    Args:
        gold, found: codes of the true labels and of those that the rows got; shape (n,).
        probabilities: shape (n, k).
        groups: codes of what is resampled as one, or None for the rows themselves; shape (n,).
    """
    n = len(gold)
    losses, scores = metrics.log_losses(gold, probabilities), metrics.brier_scores(gold, probabilities)
    confidence, right = probabilities[np.arange(n), found], gold == found
    rising, falling = np.argsort(confidence, kind="stable"), metrics.by_confidence(confidence)
    bins = metrics.reliability(confidence, right)
    bin_starts = np.cumsum([0, *(size for size, _, _ in bins[:-1])])
    coverages = np.unique(np.linspace(1, n, min(n, CURVE_POINTS)).round().astype(np.int64)) / n

    # Sorted rows stay sorted when each is repeated in its place.
    right_rising, right_falling, gaps = right[rising], right[falling], (confidence - right)[rising]
    drawn = np.empty((resamples, 5))
    drawn_bins, drawn_curve = np.empty((resamples, len(bins))), np.empty((resamples, len(coverages)))
    for at, weights in enumerate(bootstrap.weights(n, groups, resamples, seed)):
        total, up = weights.sum(), weights[rising]
        down = np.repeat(right_falling, weights[falling])
        risks = metrics.selective_risks(down)
        drawn[at] = (
            weights @ losses / total,
            weights @ scores / total,
            metrics.error_of_gaps(np.repeat(gaps, up)),
            risks.mean(),
            metrics.selective_accuracy(down),
        )
        sizes, hits = np.add.reduceat(up, bin_starts), np.add.reduceat(up * right_rising, bin_starts)
        drawn_bins[at] = np.where(sizes > 0, hits / np.maximum(sizes, 1), np.nan)
        drawn_curve[at] = risks[np.maximum(1, np.rint(coverages * total).astype(np.int64)) - 1]

    risks = metrics.selective_risks(right_falling)
    error = metrics.calibration_error(confidence, right)
    low, high = bootstrap.centred_interval(error, drawn[:, 2]) or (None, None)
    figures = {
        "log_loss": Figure.of(float(losses.mean()), drawn[:, 0], n),
        "brier": Figure.of(float(scores.mean()), drawn[:, 1], n),
        "calibration_error": Figure(error, low, high, n),
        "aurc": Figure.of(metrics.aurc(right_falling), drawn[:, 3], n),
        "selective_accuracy_80": Figure.of(
            metrics.selective_accuracy(right_falling), drawn[:, 4], max(1, round(metrics.COVERAGE * n))
        ),
    }
    return Confidence(
        figures,
        tuple(Bin(level, Figure.of(share, drawn_bins[:, at], size)) for at, (size, level, share) in enumerate(bins)),
        tuple(
            CurvePoint(float(coverage), Figure.of(float(risks[round(coverage * n) - 1]), part, round(coverage * n)))
            for coverage, part in zip(coverages, drawn_curve.T, strict=True)
        ),
        _calibration_noise(confidence, seed),
    )


def _calibration_noise(confidence: Floats, seed: int) -> float:
    """The calibration error that chance alone gives to confidences that are all true: mean over simulated outcomes.

    Consistency resampling: Bröcker & Smith 2007.
    """
    rng = np.random.default_rng(seed)
    sure = np.sort(confidence)
    errors = [metrics.error_of_gaps(sure - (rng.random(len(sure)) < sure)) for _ in range(_SIMULATIONS)]
    return float(np.mean(errors))
