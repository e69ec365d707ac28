"""Two sets of predictions for the same rows: which is better, and may that be said at all?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stancelib.errors import InputError, MissingExtraError
from stancelib.evaluation.bootstrap import PERCENTILES, RESAMPLES, SEED
from stancelib.evaluation.metrics import macro_f1_of_sums

SIGNIFICANT = 0.05
SHOWN = 10
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measure with its 95 % interval; shares, not per cent."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class McNemar:
    """How many rows both, only one, or none got right, and the p-value of McNemar's exact test (McNemar 1947)."""

    both_right: int
    only_a_right: int
    only_b_right: int
    both_wrong: int
    p_value: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `compare` found. Pairs are (A, B), differences are B - A; ``groups`` counts the groups, if given.

    ``disagreements`` are the indices of the rows of which A and B say different things.
    """

    names: tuple[str, str]
    n: int
    groups: int | None
    accuracy: tuple[Estimate, Estimate]
    macro_f1: tuple[Estimate, Estimate]
    accuracy_difference: Estimate
    macro_f1_difference: Estimate
    mcnemar: McNemar
    disagreements: tuple[int, ...]

    @property
    def conclusion(self) -> str:
        """One sentence on what may be concluded, at the 5 % level.

        Macro-F1 is judged by its interval, accuracy by McNemar's test; with groups, by its interval, since the test
        takes rows as independent.
        """
        a, b = self.names
        if not self.disagreements:
            return f"{a} and {b} say the same of all {self.n} rows."
        f1 = self.macro_f1_difference
        by_f1 = _ahead(f1, self.groups or self.n)
        if self.groups is None:
            ahead = self.mcnemar.only_b_right - self.mcnemar.only_a_right
            by_accuracy = _sign(ahead) if self.mcnemar.p_value < SIGNIFICANT else 0
            test, judge = f"McNemar {_p(self.mcnemar.p_value)}, n = {self.n}", "McNemar's test"
        else:
            accuracy = self.accuracy_difference
            by_accuracy = _ahead(accuracy, self.groups)
            test = f"{_points(accuracy)} of accuracy, n = {self.n} in {self.groups} groups"
            judge = "the interval of accuracy"
        difference = f"B - A is {_points(f1)} of macro-F1, {test}".replace("B - A", f"{b} - {a}", 1)
        if by_f1 == by_accuracy == 0:
            rows = f"These {self.n} rows do" if self.n > 1 else "This one row does"
            return f"{rows} not tell which is better: {difference}."
        if by_f1 == by_accuracy:
            better, worse = (b, a) if by_f1 > 0 else (a, b)
            return f"{better} is right more often than {worse}: {difference}."
        says = {1: f"puts {b} ahead", -1: f"puts {a} ahead", 0: "does not tell which is better"}
        return (
            f"The measures disagree, so take neither as proven better: the interval of macro-F1 {says[by_f1]}, "
            f"{judge} {says[by_accuracy]}: {difference}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain dicts and lists, for JSON."""
        found = asdict(self)
        for measure in ("accuracy", "macro_f1"):
            found[measure] = dict(zip("ab", found[measure], strict=True))
        return found | {
            "names": dict(zip("ab", self.names, strict=True)),
            "disagreements": list(self.disagreements),
            "conclusion": self.conclusion,
        }

    def table(self) -> str:
        """The measures in per cent with their intervals, the counts, and the conclusion."""
        rows = [["", *self.names, "difference"]]
        for title, pair, difference in (
            ("accuracy", self.accuracy, self.accuracy_difference),
            ("macro-F1", self.macro_f1, self.macro_f1_difference),
        ):
            rows.append([title, *(_percent(each) for each in (*pair, difference))])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        m = self.mcnemar
        a, b = self.names
        lines += [
            "",
            f"both right {m.both_right}, only {a} {m.only_a_right}, only {b} {m.only_b_right}, "
            f"both wrong {m.both_wrong}; McNemar {_p(m.p_value)}"
            + ("" if self.groups is None else " (takes rows as independent, whatever their groups)"),
            "",
            self.conclusion,
        ]
        return "\n".join(lines)

    def __str__(self) -> str:
        if not self.disagreements:
            return self.table()
        some = ", ".join(map(str, self.disagreements[:SHOWN])) + (", …" if len(self.disagreements) > SHOWN else "")
        return f"{self.table()}\n\n{len(self.disagreements)} disagreements, at {some}"


def compare(
    gold: Sequence[str],
    a: Sequence[str],
    b: Sequence[str],
    *,
    names: tuple[str, str] = ("A", "B"),
    groups: Sequence[Any] | None = None,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Comparison:
    """Compare two sets of predictions with the true labels of the same rows.

    Intervals are 95 % percentile bootstrap intervals (Efron & Tibshirani 1993); every resample serves A and B, so
    that differences are paired. With ``groups`` (speeches, authors, …; one value a row) whole groups are resampled
    (cluster bootstrap; Cameron, Gelbach & Miller 2008). Macro-F1 is over the classes that occur in the true or the
    predicted labels, as scikit-learn's.

    Raises:
        InputError: no rows, unequal lengths, a label or group missing, fewer than two groups, or no resamples.
        MissingExtraError: scipy is not installed.
    """
    try:
        from scipy.stats import binomtest
    except ImportError:
        raise MissingExtraError("Comparing predictions", "scipy", "eval") from None

    columns = {"gold": list(gold), "a": list(a), "b": list(b)}
    n = len(columns["gold"])
    lengths = {name: len(labels) for name, labels in columns.items()}
    members = None if groups is None else list(groups)
    if members is not None:
        lengths["groups"] = len(members)
    if len(set(lengths.values())) > 1:
        raise InputError("unequal lengths: " + ", ".join(f"{name} has {size}" for name, size in lengths.items()))
    if n == 0:
        raise InputError("no rows to compare")
    if resamples < 1:
        raise InputError(f"resamples must be at least 1, not {resamples}")
    for name, labels in columns.items():
        for index, label in enumerate(labels):
            if not isinstance(label, str) or not label.strip():
                raise InputError(f"{name}[{index}] is {label!r}, not a label; leave that row out of all")

    codes = {label: code for code, label in enumerate(sorted({str(x) for each in columns.values() for x in each}))}
    true, of_a, of_b = (np.array([codes[str(label)] for label in labels]) for labels in columns.values())
    right_a, right_b = true == of_a, true == of_b
    one_hot = np.eye(len(codes))
    # All measures follow from five sums for each class: true, predicted by A and by B, hit by A and by B.
    sums = np.stack(
        [
            one_hot[true],
            one_hot[of_a],
            one_hot[of_b],
            one_hot[true] * right_a[:, None],
            one_hot[true] * right_b[:, None],
        ],
        axis=1,
    ).reshape(n, -1)
    units, size = (sums, None) if members is None else _by_group(sums, members)
    # Equal units are drawn together; in the order of their first, so that swapping A and B draws the same.
    _, first, counts = np.unique(units, axis=0, return_index=True, return_counts=True)
    order = np.argsort(first)
    drawn = np.random.default_rng(seed).multinomial(len(units), counts[order] / len(units), size=resamples)
    measured = _measures(sums.sum(axis=0)[None])[0]
    resampled = _measures(drawn @ units[first[order]])
    low, high = np.percentile(resampled, PERCENTILES, axis=0)
    accuracy_a, accuracy_b, f1_a, f1_b, accuracy, f1 = (
        Estimate(*map(float, each)) for each in zip(measured, low, high, strict=True)
    )

    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    discordant = only_a + only_b
    return Comparison(
        names=names,
        n=n,
        groups=size,
        accuracy=(accuracy_a, accuracy_b),
        macro_f1=(f1_a, f1_b),
        accuracy_difference=accuracy,
        macro_f1_difference=f1,
        mcnemar=McNemar(
            int((right_a & right_b).sum()),
            only_a,
            only_b,
            int((~right_a & ~right_b).sum()),
            float(binomtest(only_b, discordant).pvalue) if discordant else 1.0,
        ),
        disagreements=tuple(map(int, np.flatnonzero(of_a != of_b))),
    )


def _by_group(sums: Array, groups: list[Any]) -> tuple[Array, int]:
    numbers: dict[Any, int] = {}
    for index, group in enumerate(groups):
        if group is None or group != group:
            raise InputError(f"groups[{index}] is {group!r}; leave that row out of all")
        numbers.setdefault(group, len(numbers))
    if len(numbers) < 2:
        raise InputError("all rows are of one group; at least two are needed")
    total = np.zeros((len(numbers), sums.shape[1]))
    np.add.at(total, [numbers[group] for group in groups], sums)
    return total, len(numbers)


def _measures(sums: Array) -> Array:
    """Accuracy of A and B, macro-F1 of A and B, difference of both, for each row of sums."""
    true, of_a, of_b, hit_a, hit_b = np.moveaxis(sums.reshape(len(sums), 5, -1), 1, 0)
    n = true.sum(axis=1)
    accuracy_a, accuracy_b = hit_a.sum(axis=1) / n, hit_b.sum(axis=1) / n
    f1_a, f1_b = macro_f1_of_sums(true, of_a, hit_a), macro_f1_of_sums(true, of_b, hit_b)
    return np.stack([accuracy_a, accuracy_b, f1_a, f1_b, accuracy_b - accuracy_a, f1_b - f1_a], axis=1)


def _sign(number: float) -> int:
    return (number > 1e-12) - (number < -1e-12)


def _ahead(difference: Estimate, units: int) -> int:
    """The sign of a difference by its interval, 0 if that holds 0.

    Where all units show the same difference, resamples do not vary: then by the sign test over the units.
    """
    if difference.high - difference.low < 1e-12:
        return _sign(difference.value) if 2.0 ** (1 - units) < SIGNIFICANT else 0
    return _sign(difference.low) if _sign(difference.low) == _sign(difference.high) else 0


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def _percent(estimate: Estimate) -> str:
    return f"{estimate.value:.1%} ({estimate.low:.1%} to {estimate.high:.1%})".replace("%", "")


def _points(estimate: Estimate) -> str:
    return f"{100 * estimate.value:+.1f} points ({100 * estimate.low:.1f} to {100 * estimate.high:.1f})"
