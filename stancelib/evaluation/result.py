"""`Evaluation`: all figures of a model on labelled texts, and the forms that they go out in."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stancelib.evaluation.bootstrap import interval
from stancelib.evaluation.mistakes import Mistake

SMALL = 20  # rows; an interval on fewer says little

TITLES = {
    "accuracy": "Accuracy",
    "macro_f1": "Macro-F1",
    "macro_precision": "Macro precision",
    "macro_recall": "Macro recall",
    "semeval_f1": "F1 of support and oppose",
    "matthews": "Matthews correlation",
    "kappa": "Cohen's kappa",
    "log_loss": "Log loss",
    "brier": "Brier score",
    "calibration_error": "Calibration error",
    "aurc": "Area under risk-coverage",
    "selective_accuracy_80": "Accuracy at 80 % coverage",
}
"""Name of a figure -> what it is called in tables. ``precision``, ``recall`` and ``f1`` are those of one label."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with its 95 % bootstrap interval, on ``n`` rows.

    ``value`` is None where there is none, such as the precision of a label that no row got; ``low`` and ``high`` also
    where resampling can't tell, because all rows are right or all come in one group.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int

    @classmethod
    def of(cls, value: float, resampled: NDArray[Any], n: int) -> Figure:
        """``value`` (nan: none) with the percentile interval of its resamples."""
        if np.isnan(value):
            return cls(None, None, None, n)
        low, high = interval(resampled) or (None, None)
        return cls(value, low, high, n)


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of the rows. ``small``: fewer than 20, too few to rely on."""

    name: str
    n: int
    small: bool
    accuracy: Figure
    macro_f1: Figure


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows of like confidence: their mean confidence, and how many of them are right."""

    confidence: float
    accuracy: Figure


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """The share of rows that are kept, the most confident ones, and the share of those that is wrong."""

    coverage: float
    risk: Figure


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found. ``print`` it for a table.

    Attributes:
        model, data: what was measured, and on what.
        labels: the order of the rows and columns of ``confusion``.
        n: rows that the figures are of.
        n_groups: how many groups they come in, if a group column was given; intervals are then of whole groups.
        resamples, seed: of the bootstrap.
        figures: name -> figure, see `TITLES`. Those of probabilities only where there are some; ``semeval_f1`` only
            where rows of both support and oppose are in the data.
        per_class: label -> ``precision``, ``recall``, ``f1``; n is the number of rows that have the label, of
            precision the number that got it.
        confusion: counts, shape (k, k): true labels down, found ones across.
        slices: what the rows are parted by -> the parts.
        reliability: bins of equal mass, the least confident first.
        calibration_noise: the calibration error that chance alone would give on rows of these confidences.
        risk_coverage: at most 100 points, coverage rising.
        confident_errors: wrong rows, the most confident first.
        label_errors: rows whose label is likely wrong, the likeliest first; ``label_error_method`` found them.
        left_out: place and reason of each row that could not be used.
        notes: what a reader of the figures must know.
    """

    model: str
    data: str
    labels: tuple[str, ...]
    n: int
    n_groups: int | None
    resamples: int
    seed: int
    figures: dict[str, Figure]
    per_class: dict[str, dict[str, Figure]]
    confusion: NDArray[np.int64]
    slices: dict[str, tuple[Slice, ...]]
    reliability: tuple[Bin, ...]
    calibration_noise: float | None
    risk_coverage: tuple[CurvePoint, ...]
    confident_errors: tuple[Mistake, ...]
    label_errors: tuple[Mistake, ...]
    label_error_method: str | None
    left_out: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={self.figures[name].value:.3f}" for name in ("accuracy", "macro_f1"))
        return f"Evaluation(model={self.model!r}, data={self.data!r}, n={self.n}, {shown})"

    def __str__(self) -> str:
        from stancelib.evaluation.terminal import table

        return table(self)

    def rows(self) -> Iterator[dict[str, Any]]:
        """One flat row a figure: ``part`` (all, class or slice), ``name`` of the label or slice, ``figure``, …"""
        for name, figure in self.figures.items():
            yield {"part": "all", "name": "", "figure": name, **asdict(figure), "small": figure.n < SMALL}
        for label, figures in self.per_class.items():
            for name, figure in figures.items():
                yield {"part": "class", "name": label, "figure": name, **asdict(figure), "small": figure.n < SMALL}
        for by, parts in self.slices.items():
            for part in parts:
                for name, figure in (("accuracy", part.accuracy), ("macro_f1", part.macro_f1)):
                    named = {"part": "slice", "name": f"{by}: {part.name}", "figure": name}
                    yield {**named, **asdict(figure), "small": part.small}

    def to_dict(self) -> dict[str, Any]:
        """Everything, as what JSON can hold; shares between 0 and 1."""
        found = asdict(self)
        return found | {
            "labels": list(self.labels),
            "confusion": self.confusion.tolist(),
            "left_out": [{"place": place, "reason": reason} for place, reason in self.left_out],
            "interval": 0.95,
        }

    def to_json(self) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=1, allow_nan=False)

    def to_csv(self) -> str:
        """`rows` as CSV, full precision; empty where there is no figure."""
        from stancelib.evaluation.sheet import csv_text

        return csv_text(self.rows())

    def to_latex(self) -> str:
        """Tables for a paper: the figures, the labels, the slices. They need the package booktabs."""
        from stancelib.evaluation.latex import tables

        return tables(self)

    def to_html(self) -> str:
        """One self-contained page with the plots; needs matplotlib."""
        from stancelib.evaluation.page import evaluation_page

        return evaluation_page(self)

    def save_report(self, folder: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write a folder with the page, the figures as JSON, CSV and LaTeX, the wrong rows, and the plots as PDF.

        Raises:
            FileError: the folder holds a report already and ``overwrite`` is false, or it can't be written.
            MissingExtraError: matplotlib is not installed.
        """
        from stancelib.evaluation.report import save

        save(self, folder, overwrite)
