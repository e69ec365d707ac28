"""`evaluate`: a model or its predictions against labelled texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stancelib.data import LabelledData, LeftOut, label_order, parse_label_map, read_labelled
from stancelib.errors import InputError
from stancelib.evaluation import bootstrap, confidence, metrics, slices
from stancelib.evaluation.metrics import Codes, Floats
from stancelib.evaluation.mistakes import Mistake, confident_errors, label_errors
from stancelib.evaluation.predictions import Model, Predicted, from_arrays, from_column, from_model
from stancelib.evaluation.result import SMALL, Evaluation, Figure, Slice

MOST_LABELS = 100  # the resamples of their confusion matrix fill 160 MB


def evaluate(
    model: Model,
    data: Any,
    *,
    prediction_column: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    group_column: str | None = None,
    label_map: Mapping[Any, str] | str | None = None,
    slice_by: Sequence[str] = (),
    labels: Sequence[str] | None = None,
    resamples: int = bootstrap.RESAMPLES,
    seed: int = bootstrap.SEED,
    progress: Callable[[int], object] | None = None,
) -> Evaluation:
    """Measure a model, or predictions that were made with any, on labelled texts.

    Args:
        model: a `StanceClassifier`, the name or folder of one, or None for the shipped default; any object with
            ``predict_proba(texts)`` and ``classes_``; or predictions, one for each row of ``data`` that can be used: a
            list of labels or of `Prediction`s (None: no prediction), or an array of probabilities of shape (n, k).
        data: labelled texts, as `stancelib.data.read_labelled` takes them: a path, a frame, a dataset, mappings.
        prediction_column: a column of ``data`` with predicted labels, instead of a model; its probabilities are taken
            from the columns ``p_<label>``, if there are such, as `stancelib predict` writes them.
        text_column, label_column, label_map: see `read_labelled`.
        group_column: rows with the same value here (a speech, an author) are alike; intervals then come from
            resampling whole groups.
        slice_by: columns to break the figures down by, beside length, negation, quotation and question.
        labels: of an array of probabilities, the order of its columns.
        resamples: how many bootstrap resamples the intervals come from.
        seed: of the resamples.
        progress: called with the number of texts that the model has done, now and then.

    Raises:
        InputError: data or predictions that don't fit each other; the message names the first bad row.
        FileError, MissingExtraError: see `read_labelled`.
        ModelError: there is no such model.
    """
    if resamples < 100:
        raise InputError(f"resamples must be at least 100, not {resamples}: an interval needs its tails")
    if prediction_column is not None and model is not None:
        raise InputError("give a model or prediction_column, not both")
    slice_by = [slice_by] if isinstance(slice_by, str) else list(slice_by)
    labelled = read_labelled(
        data, text_column=text_column, label_column=label_column, group_column=group_column, label_map=label_map
    )
    by_column = {column: slices.by_column(labelled, column) for column in slice_by}  # before a model takes its time
    if prediction_column is not None:
        mapping = None if label_map is None else parse_label_map(label_map)
        predicted = from_column(labelled, prediction_column, label_column, mapping)
    elif model is None or isinstance(model, str) or hasattr(model, "__fspath__") or hasattr(model, "predict_proba"):
        predicted = from_model(model, labelled, progress)
    else:
        predicted = from_arrays(model, labelled, labels)
    return _measure(labelled, predicted, by_column, resamples, seed)


def _measure(
    data: LabelledData, predicted: Predicted, by_column: dict[str, slices.Parts], resamples: int, seed: int
) -> Evaluation:
    usable = [row for row, label in enumerate(predicted.found) if label is not None]
    if not usable:
        raise InputError(f"{data.name}: none of its {len(data):,} rows has a prediction")
    left_out = list(data.left_out)
    notes = list(predicted.notes)
    kept, probabilities = data, predicted.probabilities
    if len(usable) < len(data):
        place = {row: at for at, row in enumerate(usable)}
        gone = [row for row in range(len(data)) if row not in place]
        left_out += [LeftOut(data.places[row], "no prediction", data.cells[row]) for row in gone]
        notes.append(f"{len(gone):,} of {len(data):,} rows have no prediction; the figures are of the others")
        kept, probabilities = data.select(usable), None if probabilities is None else probabilities[usable]
        by_column = {
            column: {
                name: inside for name, rows in parts.items() if (inside := [place[row] for row in rows if row in place])
            }
            for column, parts in by_column.items()
        }
    answers = [label for label in predicted.found if label is not None]
    labels = predicted.labels or label_order([*kept.labels, *answers])
    if len(labels) > MOST_LABELS:
        raise InputError(
            f"{data.name}: {len(labels):,} labels, true and found together, such as {labels[0][:60]!r}; more than "
            f"{MOST_LABELS} can't be measured: is a column of labels one of texts?"
        )
    code = {label: at for at, label in enumerate(labels)}
    gold = np.array([code[label] for label in kept.labels])
    found = np.array([code[label] for label in answers])
    groups = None if kept.groups is None else np.unique(kept.groups, return_inverse=True)[1]
    n_groups = None if groups is None else int(groups.max()) + 1
    if predicted.labels is None:
        notes += _of_one_side(kept.labels, answers)
    if n_groups == 1:
        notes.append("All rows are of one group, so that there are no intervals")

    figures, per_class = _of_labels(labels, gold, found, groups, resamples, seed)
    sure: confidence.Confidence | None = None
    method: str | None = None
    suspicious: list[Mistake] = []
    if probabilities is not None:
        sure = confidence.measure(gold, found, probabilities, groups, resamples, seed)
        figures |= sure.figures
        method, suspicious = label_errors(kept, labels, gold, found, probabilities)
        impossible = int((probabilities[np.arange(len(gold)), gold] == 0).sum())
        if impossible:
            notes.append(
                f"In {impossible:,} rows the true label has the probability 0 (rounded, perhaps); log loss counts it "
                "as 2.2e-16"
            )
    parts = slices.built_in(kept.texts)
    parts |= {f"column {column!r}" if column in parts else column: part for column, part in by_column.items()}
    return Evaluation(
        model=predicted.name,
        data=data.name,
        labels=tuple(labels),
        n=len(gold),
        n_groups=n_groups,
        resamples=resamples,
        seed=seed,
        figures=figures,
        per_class=per_class,
        confusion=metrics.confusion_matrix(gold, found, len(labels)),
        slices={
            by: tuple(
                _slice(name, np.array(rows), gold, found, len(labels), groups, resamples, seed)
                for name, rows in part.items()
            )
            for by, part in parts.items()
        },
        reliability=sure.bins if sure else (),
        calibration_noise=sure.noise if sure else None,
        risk_coverage=sure.curve if sure else (),
        confident_errors=tuple(confident_errors(kept, labels, gold, found, probabilities)),
        label_errors=tuple(suspicious),
        label_error_method=method,
        left_out=tuple((row.place, row.reason) for row in left_out),
        notes=tuple(notes),
    )


def _of_one_side(gold: Sequence[str], found: Sequence[str]) -> list[str]:
    """What to know of labels that only the data have or only the predictions, where both could be written otherwise."""
    notes = []
    for here, there, what in ((gold, found, "in the data, never found"), (found, gold, "found, never in the data")):
        only = Counter(label for label in here if label not in set(there))
        if only:
            shown = ", ".join(f"{label!r} ({count:,})" for label, count in only.most_common(5))
            more = f" and {len(only) - 5} more" if len(only) > 5 else ""
            notes.append(f"{what}: {shown}{more}")
    if not notes:
        return []
    return [f"Labels {'; '.join(notes)}. Macro figures count them as 0; a label map can rename them or leave them out"]


def _of_labels(
    labels: Sequence[str], gold: Codes, found: Codes, groups: Codes | None, resamples: int, seed: int
) -> tuple[dict[str, Figure], dict[str, dict[str, Figure]]]:
    """The figures of labels as a whole, and precision, recall and F1 of each."""
    confusion = metrics.confusion_matrix(gold, found, len(labels))
    resampled = bootstrap.confusions(gold, found, len(labels), groups, resamples, seed)
    whole: dict[str, Callable[[NDArray[Any]], Floats]] = {
        "accuracy": metrics.accuracy,
        "macro_f1": metrics.macro_f1,
        "macro_precision": metrics.macro_precision,
        "macro_recall": metrics.macro_recall,
    }
    if {"support", "oppose"} <= {labels[code] for code in np.unique(gold)}:
        whole["semeval_f1"] = lambda matrices: metrics.semeval_f1(matrices, labels)
    whole |= {"matthews": metrics.matthews, "kappa": metrics.kappa}
    figures = {
        name: Figure.of(float(measure(confusion)), measure(resampled), len(gold)) for name, measure in whole.items()
    }
    had, got = confusion.sum(axis=1), confusion.sum(axis=0)
    per_class: dict[str, dict[str, Figure]] = {label: {} for label in labels}
    for name, each, counts in (
        ("precision", metrics.precision, got),
        ("recall", metrics.recall, had),
        ("f1", metrics.f1, had),
    ):
        values, many = each(confusion), each(resampled)
        for at, label in enumerate(labels):
            per_class[label][name] = Figure.of(float(values[at]), many[:, at], int(counts[at]))
    return figures, per_class


def _slice(
    name: str, rows: Codes, gold: Codes, found: Codes, k: int, groups: Codes | None, resamples: int, seed: int
) -> Slice:
    own = None if groups is None else groups[rows]
    confusion = metrics.confusion_matrix(gold[rows], found[rows], k)
    resampled = bootstrap.confusions(gold[rows], found[rows], k, own, resamples, seed)
    accuracy, macro_f1 = (
        Figure.of(float(measure(confusion)), measure(resampled), len(rows))
        for measure in (metrics.accuracy, metrics.macro_f1)
    )
    return Slice(name, len(rows), len(rows) < SMALL, accuracy, macro_f1)
