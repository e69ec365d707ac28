"""Several coders of the same units: how far do they agree, beyond what chance would give?"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stancelib.data import label_order
from stancelib.errors import InputError
from stancelib.evaluation.bootstrap import PERCENTILES, RESAMPLES, SEED
from stancelib.evaluation.metrics import Codes, Floats

RELIABLE, TENTATIVE = 0.8, 0.667
SHOWN = 40  # characters of a category
# More are no categories but texts, and would fill the memory.
MAX_CATEGORIES = 500
_CELLS = 4_000_000  # of the resamples × units weighed at a time


@dataclass(frozen=True, slots=True)
class Coefficient:
    """A measure of agreement, 1 at best, with its 95 % interval; None where it is undefined.

    ``n`` is what it is of: units, or for specific agreement, codings. ``undefined`` counts the resamples in which the
    measure is undefined, and which its interval leaves out.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    undefined: int


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """Two coders, over the units that both coded: Cohen's kappa (Cohen 1960), and the share of units they agree on."""

    coders: tuple[str, str]
    kappa: Coefficient
    percent_agreement: Coefficient


@dataclass(frozen=True, slots=True)
class CategoryAgreement:
    """Specific agreement on one category: given that one coder chose it, how likely another does too."""

    category: str
    agreement: Coefficient


@dataclass(frozen=True, slots=True)
class Agreement:
    """What `agreement` found. All values are shares, ``percent_agreement`` too.

    ``n`` units were coded by two coders or more, ``left_out`` by fewer; those count nowhere.
    """

    n: int
    left_out: int
    coders: tuple[str, ...]
    alpha: Coefficient
    fleiss_kappa: Coefficient
    percent_agreement: Coefficient
    pairs: tuple[PairAgreement, ...]
    categories: tuple[CategoryAgreement, ...]
    resamples: int

    @property
    def conclusion(self) -> str:
        """What alpha means by the conventions of Krippendorff (2004, Content Analysis, 2nd ed., p. 241)."""
        if self.alpha.value is None:
            return (
                "Alpha is undefined, as all codings are of one category: data that do not vary do not tell whether the "
                "coders can tell categories apart."
            )
        by = "(Krippendorff 2004)"
        value = _level(self.alpha.value)
        sentence = (
            f"Alpha is below {TENTATIVE}: too unreliable to draw conclusions from {by}",
            f"Alpha is between {TENTATIVE} and {RELIABLE}: fit for tentative conclusions only {by}",
            f"Alpha is {RELIABLE} or more: reliable enough to draw conclusions from {by}",
        )[value]
        if self.alpha.low is not None and _level(self.alpha.low) < value:
            below = (TENTATIVE, RELIABLE)[_level(self.alpha.low)]
            sentence += f", but its interval reaches below {below}, so that more units should be coded to be sure"
        return sentence + "."

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain dicts and lists, for JSON."""
        found = asdict(self)
        for pair in found["pairs"]:
            pair["coders"] = list(pair["coders"])
        return found | {
            "coders": list(self.coders),
            "pairs": list(found["pairs"]),
            "categories": list(found["categories"]),
            "conclusion": self.conclusion,
        }

    def __str__(self) -> str:
        names = ["  " + ", ".join(pair.coders) for pair in self.pairs]
        measures: list[tuple[str, Coefficient | None]] = [
            ("Krippendorff's alpha", self.alpha),
            ("Fleiss' kappa", self.fleiss_kappa),
            ("percent agreement", self.percent_agreement),
            ("Cohen's kappa, units that both coded", None),
            *zip(names, (pair.kappa for pair in self.pairs), strict=True),
            ("percent agreement, units that both coded", None),
            *zip(names, (pair.percent_agreement for pair in self.pairs), strict=True),
            ("specific agreement, codings", None),
            *(("  " + textwrap.shorten(each.category, SHOWN), each.agreement) for each in self.categories),
        ]
        rows = [["", "n", "value", "95 % interval", "undefined"], *(_row(*each) for each in measures)]
        if not any(of and of.undefined for _, of in measures):
            rows = [row[:-1] for row in rows]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        aligned = (
            [f"{cell:>{width}}" if 0 < at != 3 else f"{cell:<{width}}" for at, (cell, width) in enumerate(cells)]
            for cells in (zip(row, widths, strict=True) for row in rows)
        )
        lines = [f"{self.n} units, {len(self.coders)} coders: {', '.join(self.coders)}", ""]
        lines += ["  ".join(cells).rstrip() for cells in aligned]
        lines += ["", f"Intervals are of {self.resamples} bootstrap resamples of the units."]
        if len(widths) == 5:
            lines.append("Those in which a measure is undefined are left out of its interval.")
        if self.left_out:
            lines.append(f"Units that fewer than two coders coded, and which count nowhere: {self.left_out}.")
        return "\n".join([*lines, "", self.conclusion])


def agreement(
    codings: Mapping[str, Sequence[str | None]], *, resamples: int = RESAMPLES, seed: int = SEED
) -> Agreement:
    """Measure the agreement of coders of the same units, on nominal categories.

    - Krippendorff's alpha (2004, Content Analysis): of all units coded by two coders or more.
    - Fleiss' kappa (1971, Psychological Bulletin 76): of the units that all coders coded.
    - Percent agreement: the share of pairs of codings of a unit that agree, over all units and pairs of coders.
    - Cohen's kappa (1960, Educational and Psychological Measurement 20) and percent agreement of each pair of coders.
    - Specific agreement on each category (Cicchetti & Feinstein 1990, Journal of Clinical Epidemiology 43), over all
      pairs of coders: of the pairs of codings with that category on one side, counted once for each such side, the
      share with it on both. For two coders, 2a / (2a + b + c).

    Intervals are 95 % percentile bootstrap intervals over units (Efron & Tibshirani 1993). Resamples in which a measure
    is undefined (one category only, no unit coded by both, …) are left out of its interval, and counted.

    Args:
        codings: coder -> categories, one a unit, in the same order for all coders; None, nan or blank: not coded.
            Space around a category does not count, its case does.
        resamples: how many resamples.
        seed: for the same resamples each time.

    Raises:
        InputError: fewer than two coders, unequal lengths, a category that is no string, more than 500 categories,
            fewer than two units coded by two coders, or no resamples.
    """
    columns = {str(coder): list(column) for coder, column in codings.items()}
    if len(columns) < 2:
        raise InputError(f"agreement is between two coders or more; given: {', '.join(columns) or 'none'}")
    if len({len(column) for column in columns.values()}) > 1:
        raise InputError("unequal lengths: " + ", ".join(f"{coder} has {len(c)}" for coder, c in columns.items()))
    if resamples < 1:
        raise InputError(f"resamples must be at least 1, not {resamples}")
    cleaned = [[_category(value, coder, at) for at, value in enumerate(c)] for coder, c in columns.items()]
    units = [unit for unit in zip(*cleaned, strict=True) if len(unit) - unit.count(None) >= 2]
    if len(units) < 2:
        raise InputError(f"{len(units)} of {len(cleaned[0])} units coded by two coders or more; at least 2 are needed")
    used = {category for unit in units for category in unit if category is not None}
    if len(used) > MAX_CATEGORIES:
        raise InputError(
            f"{len(used):,} categories, more than {MAX_CATEGORIES}; is one of {', '.join(columns)} a column of texts?"
        )
    categories = [category for category in label_order(used) if category in used]
    place: dict[str | None, int] = {None: -1} | {category: at for at, category in enumerate(categories)}
    # Units that are coded alike are drawn together; in the order of their first, so that neither the order of coders
    # nor the names of categories change what is drawn.
    patterns: dict[tuple[str | None, ...], int] = dict.fromkeys(units, 0)
    for unit in units:
        patterns[unit] += 1
    codes = np.array([[place[category] for category in unit] for unit in patterns], dtype=np.int64)
    counts = np.array(list(patterns.values()), dtype=np.float64)

    measured = _measures(codes, counts[None], len(categories))[0]
    generator = np.random.default_rng(seed)
    step = max(1, _CELLS // len(patterns))
    resampled = np.concatenate(
        [
            _measures(
                codes,
                generator.multinomial(len(units), counts / len(units), size=min(step, resamples - start)),
                len(categories),
            )
            for start in range(0, resamples, step)
        ]
    )
    coded = codes >= 0
    pairs = list(itertools.combinations(range(len(columns)), 2))
    both = [int(counts[coded[:, a] & coded[:, b]].sum()) for a, b in pairs]
    codings_of = [int(((codes == at).sum(axis=1) * counts).sum()) for at in range(len(categories))]
    sizes = [len(units), int(counts[coded.all(axis=1)].sum()), len(units), *both, *both, *codings_of]
    alpha, fleiss, percent, *rest = map(_coefficient, measured, resampled.T, sizes)
    kappas, shares, specific = rest[: len(pairs)], rest[len(pairs) : 2 * len(pairs)], rest[2 * len(pairs) :]
    names = tuple(columns)
    return Agreement(
        n=len(units),
        left_out=len(cleaned[0]) - len(units),
        coders=names,
        alpha=alpha,
        fleiss_kappa=fleiss,
        percent_agreement=percent,
        pairs=tuple(
            PairAgreement((names[a], names[b]), kappa, share)
            for (a, b), kappa, share in zip(pairs, kappas, shares, strict=True)
        ),
        categories=tuple(map(CategoryAgreement, categories, specific)),
        resamples=resamples,
    )


def _category(value: Any, coder: str, at: int) -> str | None:
    if isinstance(value, str):
        return value.strip() or None
    if value is None or type(value).__name__ == "NAType" or (isinstance(value, float) and value != value):
        return None
    raise InputError(f"{coder}, unit {at}: {value!r} is no category; give strings, and None where a unit is not coded")


def _measures(codes: Codes, weights: NDArray[Any], k: int) -> Floats:
    """All measures in closed form; nan where undefined.

    Args:
        codes: units × coders, the category from 0 to k - 1, or -1.
        weights: resamples × units, how often each unit was drawn.

    Returns:
        Resamples × measures: alpha, Fleiss' kappa, percent agreement; Cohen's kappa of each pair; percent agreement of
        each pair; specific agreement on each category.
    """
    weights = weights.astype(np.float64)
    one_hot = codes[:, :, None] == np.arange(k)
    counts = one_hot.sum(axis=1).astype(np.float64)  # units × categories
    m = counts.sum(axis=1)
    agreeing = counts * (counts - 1)  # ordered pairs of codings, as in all that follows
    complete = m == codes.shape[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        totals = weights @ counts
        n = totals.sum(axis=1)
        alpha = _beyond_chance(n, weights @ (agreeing.sum(axis=1) / (m - 1)), totals, totals, n - 1)
        # Fleiss' is alpha without the correction for small samples.
        totals = weights @ (counts * complete[:, None])
        n = totals.sum(axis=1)
        fleiss = _beyond_chance(
            n, weights @ (agreeing.sum(axis=1) * complete / (codes.shape[1] - 1)), totals, totals, n
        )
        percent = weights @ agreeing.sum(axis=1) / (weights @ (m * (m - 1)))
        kappas, shares = [], []
        for a, b in itertools.combinations(range(codes.shape[1]), 2):
            both = (codes[:, a] >= 0) & (codes[:, b] >= 0)
            same = both & (codes[:, a] == codes[:, b])
            columns = [one_hot[:, a] & both[:, None], one_hot[:, b] & both[:, None], both, same]
            sums = weights @ np.column_stack(columns)
            n, agreed = sums[:, -2], sums[:, -1]
            kappas.append(_beyond_chance(n, agreed, sums[:, :k], sums[:, k:-2], n))
            shares.append(agreed / n)
        specific = (weights @ agreeing) / (weights @ (counts * (m - 1)[:, None]))
    return np.column_stack([alpha, fleiss, percent, *kappas, *shares, specific])


def _beyond_chance(n: Floats, same: Floats, of_a: Floats, of_b: Floats, scale: Floats) -> Floats:
    """1 - observed / expected disagreement, of n codings, of which ``same`` agree, with these totals by category.

    Multiplied out, so that expected disagreement, of whole numbers, is exactly 0 where only one category occurs.
    """
    found: Floats = 1 - (n - same) * scale / (n * n - (of_a * of_b).sum(axis=1))
    return found


def _coefficient(value: float, resampled: Floats, n: int) -> Coefficient:
    defined = resampled[~np.isnan(resampled)]
    undefined = len(resampled) - len(defined)
    if np.isnan(value) or not len(defined):
        return Coefficient(None if np.isnan(value) else float(value), None, None, n, undefined)
    low, high = np.percentile(defined, PERCENTILES)
    return Coefficient(float(value), float(low), float(high), n, undefined)


def _level(alpha: float) -> int:
    return (alpha >= TENTATIVE) + (alpha >= RELIABLE)


def _row(name: str, of: Coefficient | None) -> list[str]:
    if of is None:
        return [name, "", "", "", ""]
    value = "-" if of.value is None else f"{of.value:.3f}"
    interval = "-" if of.low is None or of.high is None else f"{of.low:.3f} to {of.high:.3f}"
    return [name, str(of.n), value, interval, str(of.undefined)]
