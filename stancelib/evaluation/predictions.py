"""What is measured: a model, a column of predictions, or arrays, as one label a row and perhaps its probabilities."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from stancelib.classifier import WINDOW, StanceClassifier, default_classifier
from stancelib.data import LABEL_COLUMNS, LabelledData, label_order, parse_label_map
from stancelib.errors import InputError
from stancelib.evaluation.metrics import Floats
from stancelib.labels import LABELS
from stancelib.prediction import ABSTAINED, Prediction

Model: TypeAlias = Any
"""A `StanceClassifier`; its name or folder (None: the default); an object with ``predict_proba(texts)`` and ``labels``
or ``classes_``, as scikit-learn's have; or predictions in the order of the rows: labels, `Prediction`s, or an array of
probabilities."""

TOLERANCE = 0.01  # of the sum of a row's probabilities, which files hold rounded


@dataclass(frozen=True)
class Predicted:
    """Predictions for all rows of the data.

    Attributes:
        name: what made them, for people.
        labels: all labels that they could have, in order; None if only those that they have are known.
        found: the label of each row, None for rows without one.
        probabilities: shape (n, k), columns in the order of ``labels``; rows without a prediction are nan.
        notes: what a reader of the figures must know.
    """

    name: str
    labels: tuple[str, ...] | None
    found: list[str | None]
    probabilities: Floats | None
    notes: tuple[str, ...] = ()


def from_model(model: Model, data: LabelledData, progress: Callable[[int], object] | None = None) -> Predicted:
    """Classify the texts of ``data``; ``progress`` is called with the number of texts done, now and then.

    Raises:
        ModelError: there is no such model.
        InputError: the data have labels that it never gives, or its probabilities are none.
    """
    if model is None or isinstance(model, (str, os.PathLike)):
        model = default_classifier() if model is None else StanceClassifier.from_pretrained(model)
    given = getattr(model, "labels", None)
    labels = tuple(map(str, model.classes_ if given is None else given))
    _check_known(data, labels)
    name = model.checkpoint.name if isinstance(model, StanceClassifier) else type(model).__name__
    probabilities = np.empty((len(data), len(labels)))
    cut = 0
    for start in range(0, len(data), WINDOW):
        texts = data.texts[start : start + WINDOW]
        rows = slice(start, start + len(texts))
        if isinstance(model, StanceClassifier):
            answers = model.predict(texts)
            probabilities[rows] = [list(answer.probabilities.values()) for answer in answers]
            cut += sum(answer.truncated for answer in answers)
        else:
            probabilities[rows] = model.predict_proba(texts)
        if progress is not None:
            progress(rows.stop)
    probabilities = _checked(probabilities, data, np.full(len(data), True))
    notes = [f"{cut:,} of the texts had more than the model reads; only their beginning counted"] * bool(cut)
    return Predicted(name, labels, _most_probable(probabilities, labels), probabilities, tuple(notes))


def from_column(
    data: LabelledData, column: str, label_column: str | None = None, label_map: Mapping[str, str] | None = None
) -> Predicted:
    """Read predictions from a column of the data, and probabilities from its columns ``p_<label>`` if it has them.

    For the column ``predicted_stance`` these are ``predicted_p_<label>``, as `stancelib predict` calls them. A label
    that is in the label map is mapped; probabilities of labels that are mapped to one are added.

    Raises:
        InputError: there is no such column, it is the column of true labels, or the probabilities are none.
    """
    columns = list(dict.fromkeys(name for cells in data.cells for name in cells))
    if column not in columns:
        raise InputError(f"{data.name} has no column {column!r}; it has {', '.join(map(repr, columns))}")
    if column == (label_column or next((name for name in LABEL_COLUMNS if name in columns), None)):
        raise InputError(
            f"{data.name}: {column!r} can't be both the true label and the prediction; name the column of true labels "
            "(label_column, --label-column)"
        )
    mapped = {} if label_map is None else dict(label_map)
    written = _Written()
    found = [written(cells.get(column)) for cells in data.cells]
    found = [label if label is None else mapped.get(label, label) for label in found]
    prefix = column.removesuffix("stance") + "p_" if column.endswith("stance") else "p_"
    of_label = {name: written(name.removeprefix(prefix)) for name in columns if name.startswith(prefix)}
    of_label = {name: mapped.get(label, label) for name, label in of_label.items() if label is not None}
    name = f"column {column!r}"
    if not of_label:
        return _without_probabilities(name, found)
    labels = label_order(label for label in of_label.values() if label is not None)
    _check_known(data, labels, f"the columns {', '.join(of_label)} of {data.name}")
    probabilities = np.zeros((len(data), len(labels)))
    for source, label in of_label.items():
        cells = [_number(cells.get(source)) for cells in data.cells]
        probabilities[:, labels.index(str(label))] += cells
    # A row that could not be classified has neither.
    missing = np.array([label is None for label in found])
    probabilities[missing] = np.nan
    return _reconciled(name, labels, found, _checked(probabilities, data, ~missing, tuple(of_label)))


def from_arrays(predictions: Any, data: LabelledData, labels: Sequence[str] | None = None) -> Predicted:
    """Take predictions as they are: labels, `Prediction`s (None: no prediction), or an (n, k) array of probabilities.

    Args:
        predictions: one for each row that can be used.
        labels: of an array, the order of its columns; by default `stancelib.LABELS`, if the data have no others.

    Raises:
        InputError: not one for each row, no probabilities, or labels that don't fit.
    """
    name = "given predictions"
    rows = predictions if isinstance(predictions, np.ndarray) else list(predictions)
    if len(rows) != len(data):
        gone = f" ({len(data.left_out):,} more could not be used)" if data.left_out else ""
        raise InputError(
            f"{len(rows):,} predictions for {len(data):,} rows of {data.name}{gone}; give one for each row, or put "
            "them into a column of the data"
        )
    if isinstance(rows, np.ndarray) and rows.ndim == 2:
        order = tuple(map(str, LABELS if labels is None and set(data.labels) <= set(LABELS) else labels or ()))
        if len(order) != rows.shape[1] or len(set(order)) < len(order):
            raise InputError(
                f"an array of {rows.shape[1]} columns, and {'no' if labels is None else len(order)} labels for them; "
                "pass labels=, one for each column, in their order"
            )
        _check_known(data, order)
        probabilities = _checked(rows.astype(np.float64), data, ~np.isnan(rows).all(axis=1))
        return Predicted(name, order, _most_probable(probabilities, order), probabilities)
    if any(isinstance(row, Prediction) for row in rows):
        answers = [row if isinstance(row, Prediction) else None for row in rows]
        order = next(tuple(answer.probabilities) for answer in answers if answer is not None)
        _check_known(data, order)
        probabilities = np.array(
            [
                [np.nan] * len(order) if answer is None else [answer.probabilities.get(label, 0.0) for label in order]
                for answer in answers
            ]
        )
        found = [None if answer is None else answer.label or ABSTAINED for answer in answers]
        needed = np.array([answer is not None for answer in answers])
        return _reconciled(name, order, found, _checked(probabilities, data, needed))
    written = _Written()
    return _without_probabilities(name, [written(row) for row in rows])


def _without_probabilities(name: str, found: list[str | None]) -> Predicted:
    notes = ("No probabilities: log loss, Brier score, calibration and risk-coverage can't be told",)
    return Predicted(name, None, [None if label == ABSTAINED else label for label in found], None, notes)


def _reconciled(name: str, labels: tuple[str, ...], found: list[str | None], probabilities: Floats) -> Predicted:
    """Labels for those that abstained; a note where labels and probabilities differ."""
    best = _most_probable(probabilities, labels)
    abstained = sum(label == ABSTAINED for label in found) if ABSTAINED not in labels else 0
    if abstained:
        found = [top if label == ABSTAINED else label for label, top in zip(found, best, strict=True)]
    strange = sorted({label for label in found if label is not None} - set(labels))
    if strange:
        shown = ", ".join(repr(label[:60]) for label in strange[:5]) + (", …" if len(strange) > 5 else "")
        raise InputError(f"{name} has the labels {shown}, for which there are no probabilities")
    notes = [f"{abstained:,} rows are {ABSTAINED}; they count with their most probable label"] * bool(abstained)
    chosen = np.array([labels.index(label) if label is not None else 0 for label in found])
    below = probabilities[np.arange(len(found)), chosen] < np.nan_to_num(probabilities).max(axis=1) - 1e-9
    if below.any():
        notes.append(
            f"In {below.sum():,} rows the predicted label is not the most probable one; their confidence is the "
            "probability of the predicted one"
        )
    return Predicted(name, labels, found, probabilities, tuple(notes))


def _most_probable(probabilities: Floats, labels: Sequence[str]) -> list[str | None]:
    best = np.nan_to_num(probabilities).argmax(axis=1)
    missing = np.isnan(probabilities.sum(axis=1))
    return [None if gone else labels[at] for at, gone in zip(best, missing, strict=True)]


def _checked(probabilities: Floats, data: LabelledData, needed: Any, columns: Iterable[str] = ()) -> Floats:
    """``probabilities`` with rows that add up to 1; only rows that are not ``needed`` (booleans) may be nan."""
    total = probabilities.sum(axis=1)
    wrong = ~((probabilities >= 0).all(axis=1) & (abs(total - 1) <= TOLERANCE)) & (needed | ~np.isnan(total))
    if wrong.any():
        row = int(wrong.argmax())
        shown = ", ".join(f"{value:.4g}" for value in probabilities[row])
        named = f" in the columns {', '.join(columns)}; rename those that are none" if columns else ""
        raise InputError(
            f"{data.places[row]}: {shown} are no probabilities, which lie between 0 and 1 and add up to 1{named}"
        )
    normal: Floats = probabilities / total[:, None]
    return normal


def _check_known(data: LabelledData, labels: Sequence[str], what: str = "the model") -> None:
    unknown = Counter(label for label in data.labels if label not in set(labels))
    if unknown:
        shown = ", ".join(f"{label!r} ({count:,})" for label, count in unknown.most_common(5))
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        place = next(place for place, label in zip(data.places, data.labels, strict=True) if label in unknown)
        raise InputError(
            f"{data.name} has labels that {what} can't give: {shown}{more}, first in {place}. It gives "
            f"{', '.join(labels)}: say what is what with a label map (--label-map theirs=ours,…), which also leaves "
            "out the rows of labels that it does not name"
        )


class _Written:
    """Labels as `read_labelled` writes them (``1.0`` is ``"1"``); None for blanks and for what is no label."""

    def __init__(self) -> None:
        self._known: dict[str, str | None] = {}

    def __call__(self, value: Any) -> str | None:
        key = repr(value)
        if key not in self._known:
            try:
                (self._known[key],) = parse_label_map({value: value}).values()
            except (InputError, TypeError):  # blank, or a list
                self._known[key] = None
        return self._known[key]


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
