"""Bootstrap resamples of labelled rows, or of the groups that they come in (Efron & Tibshirani 1993).

With groups (speeches, authors, …), whole groups are drawn: rows of one group are alike, and resampling them as if they
were not gives intervals that are too narrow (cluster bootstrap: Field & Welsh 2007).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stancelib.evaluation.metrics import Codes, Floats, confusion_matrix

RESAMPLES = 2000
SEED = 1
PERCENTILES = (2.5, 97.5)
_AT_A_TIME = 4_000_000  # numbers held


def confusions(
    gold: Codes, found: Codes, k: int, groups: Codes | None = None, resamples: int = RESAMPLES, seed: int = SEED
) -> NDArray[np.int64]:
    """Confusion matrices of resamples: shape (resamples, k, k).

    Args:
        gold: codes of the true labels, 0 to k - 1; shape (n,).
        found: codes of the labels that the rows got; shape (n,).
        groups: codes of their groups, any integers; shape (n,).
    """
    rng = np.random.default_rng(seed)
    if groups is None:
        # Rows of one cell are exchangeable, so only the counts of the cells are drawn.
        cells = confusion_matrix(gold, found, k).ravel()
        return rng.multinomial(len(gold), cells / len(gold), size=resamples).reshape(resamples, k, k)
    numbers = np.unique(groups, return_inverse=True)[1]
    size = int(numbers.max()) + 1
    whole = np.bincount(numbers * k * k + gold * k + found, minlength=size * k * k).reshape(size, k * k)
    kinds, counts = np.unique(whole, axis=0, return_counts=True)
    result = np.empty((resamples, k * k), dtype=np.int64)
    step = max(1, _AT_A_TIME // len(kinds))
    for start in range(0, resamples, step):
        part = result[start : start + step]
        drawn = rng.multinomial(size, counts / size, size=len(part))
        part[:] = np.rint(drawn.astype(np.float64) @ kinds.astype(np.float64))
    return result.reshape(resamples, k, k)


def weights(
    n: int, groups: Codes | None = None, resamples: int = RESAMPLES, seed: int = SEED
) -> Iterator[NDArray[np.int64]]:
    """For each resample, how often each of ``n`` rows is drawn; shape (n,)."""
    rng = np.random.default_rng(seed)
    units = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    size = int(units.max()) + 1
    for _ in range(resamples):
        drawn = np.bincount(rng.integers(0, size, size), minlength=size)
        yield drawn if groups is None else drawn[units]


def interval(resampled: NDArray[Any]) -> tuple[float, float] | None:
    """The 95 % percentile interval of the resamples of one figure; those that don't have it (nan) are left out.

    None if they do not vary: rows that are all right, or come in one group, can't tell how sure their figure is.
    """
    known = resampled[~np.isnan(resampled)]
    if len(known) == 0 or np.ptp(known) < 1e-12:
        return None
    low, high = np.percentile(known, PERCENTILES)
    return float(low), float(high)


def centred_interval(value: float, resampled: Floats) -> tuple[float, float] | None:
    """As `interval`, moved to where the resamples have the mean ``value``, and not below 0.

    For the calibration error, which is never negative: resampling adds to it the noise that it has already (Bröcker
    2012), so that plain percentiles may lie wholly above the figure.
    """
    found = interval(resampled - np.nanmean(resampled) + value)
    return None if found is None else (max(0.0, found[0]), max(0.0, found[1]))
