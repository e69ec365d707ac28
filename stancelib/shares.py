"""Shares of each stance in a corpus, corrected for the classifier's errors with a random sample coded by hand.

Prediction-powered inference: Angelopoulos, Bates, Fannjiang, Jordan & Zrnic (2023), Science 382; with the tuned weight
of PPI++: Angelopoulos, Duchi & Zrnic (2023), arXiv:2311.01453.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stancelib.errors import InputError, MissingExtraError
from stancelib.labels import LABELS

Interval: TypeAlias = tuple[float, float]
Floats: TypeAlias = NDArray[np.float64]

MINIMUM = 10  # gold rows; with fewer the normal approximation means nothing


@dataclass(frozen=True, slots=True)
class Share:
    """One label's share by each of the three ways, each with its interval."""

    label: str
    naive: float
    naive_interval: Interval
    gold: float | None
    gold_interval: Interval | None
    corrected: float | None
    corrected_interval: Interval | None


@dataclass(frozen=True, slots=True)
class GroupPrevalence:
    """Shares in the corpus (``group`` None) or a group; ``weight`` is lambda; ``note`` says why none is corrected."""

    group: Any
    n: int
    n_gold: int
    weight: float | None
    shares: tuple[Share, ...]
    note: str | None = None

    def rows(self) -> list[dict[str, Any]]:
        """One flat row a label."""
        found = []
        for share in self.shares:
            row: dict[str, Any] = {"group": self.group, "label": share.label, "n": self.n, "n_gold": self.n_gold}
            for way in ("naive", "gold", "corrected"):
                low, high = getattr(share, f"{way}_interval") or (None, None)
                row |= {way: getattr(share, way), f"{way}_low": low, f"{way}_high": high}
            found.append(row | {"note": self.note})
        return found


@dataclass(frozen=True, slots=True)
class Prevalence:
    """What ``prevalence()`` gives. ``left_out`` rows had no prediction, and count nowhere."""

    confidence: float
    overall: GroupPrevalence
    groups: tuple[GroupPrevalence, ...] = ()
    left_out: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Everything, as what JSON can hold."""
        return asdict(self)

    def rows(self) -> list[dict[str, Any]]:
        """One flat row a group and label, the whole corpus (group None) first."""
        return [row for part in (self.overall, *self.groups) for row in part.rows()]

    def __str__(self) -> str:
        lines = [["group", "label", "n", "gold n", "naive", "", "gold only", "", "corrected", ""]]
        for row in self.rows():
            group = "all" if row["group"] is None else str(row["group"])
            cells = [group, row["label"], str(row["n"]), str(row["n_gold"])]
            for way in ("naive", "gold", "corrected"):
                if row[way] is None:
                    cells += ["-", ""]
                else:
                    cells += [f"{row[way]:.3f}", f"[{row[f'{way}_low']:.3f}, {row[f'{way}_high']:.3f}]"]
            lines.append(cells)
        widths = [max(len(cells[at]) for cells in lines) for at in range(len(lines[0]))]
        aligned = ["  ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)).rstrip() for cells in lines]
        notes = [f"{part.group}: {part.note}" for part in self.groups if part.note]
        notes += [f"{self.left_out} rows without a prediction are left out"] * bool(self.left_out)
        return "\n".join([*aligned, *notes, f"Intervals: {self.confidence:.0%}."])


def prevalence(
    predicted: Sequence[str | None] | NDArray[Any],
    gold: Sequence[str | None],
    *,
    labels: Sequence[str] = LABELS,
    groups: Sequence[Any] | None = None,
    confidence: float = 0.95,
) -> Prevalence:
    """Shares of ``labels``: naive, from the gold rows only, and corrected.

    ``predicted`` holds a label a row (None: no prediction, the row is left out) or an (n, k) array of probabilities in
    the order of ``labels``; ``gold`` the coded label of the same rows, None where not coded. The coded rows must be a
    random sample of all; with ``groups`` (None: in no group), of each group.

    With predictions f and codes Y (a 0/1 column a label) on the n coded rows, and predictions F on the N others::

        share    = lambda * mean(F) + mean(Y - lambda * f)
        variance = lambda^2 * var(F) / N + var(Y - lambda * f) / n
        lambda   = sum of cov(Y, f) / ((1 + n / N) * sum of var(f)), sums over labels, clipped to [0, 1]

    PPI++ tunes lambda for each label; here it is one for all labels, which minimises the sum of their variances, so
    that the shares add up to 1. var(f) is that of the coded rows, so that a classifier without error gives its share in
    the whole corpus. The interval is the normal one, clipped to [0, 1]; the share itself is not clipped.
    The gold-only interval is Wilson's, the naive one Wald's. Shares are of what the rows were drawn from.

    Raises:
        InputError: unequal lengths, an unknown label, what are no probabilities, a confidence outside (0, 1), or fewer
            than 10 coded rows. Groups with fewer have no corrected shares, and a note.
        MissingExtraError: scipy is not installed.
    """
    try:
        from scipy import stats
    except ImportError:
        raise MissingExtraError("prevalence", "scipy", "eval") from None
    if not 0 < confidence < 1:
        raise InputError(f"confidence must lie between 0 and 1, it is {confidence}")
    for name, other in (("gold", gold), ("groups", groups)):
        if other is not None and len(other) != len(predicted):
            raise InputError(f"{len(predicted)} predictions, but {len(other)} {name}; give one a row")
    codes = _one_hot(gold, labels, "gold")
    scores = _scores(predicted, labels)
    kept: NDArray[np.bool_] = ~np.isnan(scores[:, 0])
    coded: NDArray[np.bool_] = kept & ~np.isnan(codes[:, 0])
    if coded.sum() < MINIMUM:
        raise InputError(f"{coded.sum()} gold rows with a prediction; at least {MINIMUM} are needed")
    z = float(stats.norm.ppf((1 + confidence) / 2))

    def wilson(count: int, n: int) -> Interval:
        interval = stats.binomtest(count, n).proportion_ci(confidence, method="wilson")
        return float(interval.low), float(interval.high)

    def part(group: Any, chosen: NDArray[np.bool_]) -> GroupPrevalence:
        all_scores, y, f = scores[chosen], codes[chosen & coded], scores[chosen & coded]
        n, n_gold = len(all_scores), len(y)
        naive = all_scores.mean(axis=0)
        spread = z * np.sqrt(_variance(all_scores) / n)
        weight, note = None, None
        corrected = error = None
        if n_gold < MINIMUM:
            note = f"{n_gold} gold rows; at least {MINIMUM} are needed to correct"
        else:
            weight, corrected, variance = _ppi(y, f, scores[chosen & ~coded])
            error = z * np.sqrt(variance)
        shares = []
        for at, label in enumerate(labels):
            count = int(y[:, at].sum())
            shares.append(
                Share(
                    label,
                    float(naive[at]),
                    _clipped(naive[at], spread[at]),
                    count / n_gold if n_gold else None,
                    wilson(count, n_gold) if n_gold else None,
                    None if corrected is None else float(corrected[at]),
                    None if corrected is None or error is None else _clipped(corrected[at], error[at]),
                )
            )
        return GroupPrevalence(group, n, n_gold, weight, tuple(shares), note)

    parts = []
    if groups is not None:
        members: dict[Any, list[int]] = {}
        for at, group in enumerate(groups):
            if group is not None and kept[at]:
                members.setdefault(group, []).append(at)
        for group in sorted(members, key=str):
            chosen = np.zeros(len(kept), dtype=np.bool_)
            chosen[members[group]] = True
            parts.append(part(group, chosen))
    return Prevalence(confidence, part(None, kept), tuple(parts), int((~kept).sum()))


def _ppi(y: Floats, f: Floats, unlabelled: Floats) -> tuple[float, Floats, Floats]:
    """Lambda, shares and their variances, by the formula in ``prevalence()``."""
    n, others = len(y), len(unlabelled)
    spread = float(_variance(f).sum())
    if not others or not spread:
        return 0.0, y.mean(axis=0), _variance(y) / n
    covariance = float(((y - y.mean(axis=0)) * (f - f.mean(axis=0))).sum() / (n - 1))
    weight = min(1.0, max(0.0, covariance / ((1 + n / others) * spread)))
    shares = weight * unlabelled.mean(axis=0) + (y - weight * f).mean(axis=0)
    return weight, shares, weight**2 * _variance(unlabelled) / others + _variance(y - weight * f) / n


def _variance(values: Floats) -> Floats:
    # A single row tells nothing of the spread: that of a share is at most 1/4.
    found: Floats = values.var(axis=0, ddof=1) if len(values) > 1 else np.full(values.shape[1], 0.25)
    return found


def _clipped(share: float, error: float) -> Interval:
    low, high = np.clip([share - error, share + error], 0, 1)
    return float(low), float(high)


def _one_hot(values: Iterable[Any], labels: Sequence[str], name: str) -> Floats:
    """A 0/1 column a label; rows of None are nan."""
    places = {label: at for at, label in enumerate(labels)}
    values = list(values)
    columns = np.zeros((len(values), len(labels)))
    for row, value in enumerate(values):
        if value is None:
            columns[row] = np.nan
        elif isinstance(value, str) and value in places:
            columns[row, places[value]] = 1
        else:
            raise InputError(f"{name}, row {row}: {value!r} is none of the labels {', '.join(labels)}")
    return columns


def _scores(predicted: Sequence[str | None] | NDArray[Any], labels: Sequence[str]) -> Floats:
    if not isinstance(predicted, np.ndarray) or predicted.ndim == 1:
        return _one_hot(predicted, labels, "predicted")
    if predicted.ndim != 2 or predicted.shape[1] != len(labels):
        raise InputError(f"probabilities of shape {predicted.shape}; it must be (rows, {len(labels)})")
    scores = predicted.astype(np.float64)
    wrong = ~((scores >= 0).all(axis=1) & (abs(scores.sum(axis=1) - 1) < 0.01))
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(f"predicted, row {row}: {scores[row].tolist()} are no probabilities that add up to 1")
    normal: Floats = scores / scores.sum(axis=1, keepdims=True)
    return normal
