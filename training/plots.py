"""The two pictures of a model card: reliability, and risk against coverage."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # the backend must be chosen first

from stancelib.evaluation import metrics

COLOURS = ("#1b6ca8", "#c1572e")  # told apart in grey, and by colour-blind readers
Scored = dict[str, tuple[NDArray[np.float32], NDArray[np.bool_]]]  # data set -> confidence, whether right


def reliability(scored: Scored, path: Path) -> None:
    """Share of right labels against confidence, in bins of equal mass; the diagonal is perfect calibration."""
    figure, axes = plt.subplots(figsize=(4.8, 4.6), layout="constrained")
    axes.plot([1 / 3, 1], [1 / 3, 1], color="0.6", linewidth=1, label="perfect")
    for colour, (name, (confidence, right)) in zip(COLOURS, scored.items(), strict=False):
        points = [(level, share) for _, level, share in metrics.reliability(confidence.astype(np.float64), right)]
        axes.plot(
            *zip(*points, strict=True), marker="o", markersize=4, color=colour, label=f"{name}, n = {len(right):,}"
        )
    axes.set(xlabel="confidence", ylabel="share right", xlim=(0.33, 1.01), ylim=(0, 1.03))
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(figure)


def risk_coverage(scored: Scored, path: Path) -> None:
    """Share of wrong labels among the most confident sentences, against how many are kept (El-Yaniv & Wiener 2010)."""
    figure, axes = plt.subplots(figsize=(4.8, 3.8), layout="constrained")
    for colour, (name, (confidence, right)) in zip(COLOURS, scored.items(), strict=False):
        risks = metrics.selective_risks(right[metrics.by_confidence(confidence)])
        coverage = np.arange(1, len(risks) + 1) / len(risks)
        axes.plot(coverage, risks, color=colour, label=f"{name}, n = {len(right):,}")
    axes.set(xlabel="coverage: share of the sentences kept", ylabel="risk: share wrong", xlim=(0, 1.01), ylim=(0, None))
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(figure)
