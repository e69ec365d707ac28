"""Predictions written beside the rows that they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from stancelib.labels import LABELS
from stancelib.prediction import ABSTAINED, Prediction
from stancelib.sheets import Sheet
from stancelib.tables import Format, Row
from stancelib.texts import problem

if TYPE_CHECKING:
    from stancelib.classifier import StanceClassifier


def result_types(labels: Sequence[str] = LABELS, holders: bool = True) -> dict[str, type]:
    """The result columns of a model with these labels, in order, and the types of their values.

    ``holders`` tells whether the model finds them; without, there is no such column.
    """
    return {
        "stance": str,
        "confidence": float,
        **{f"p_{label}": float for label in labels},
        **({"holders": str} if holders else {}),
        "truncated": bool,
        "problem": str,
    }


def result_names(columns: Sequence[str], results: Sequence[str] = tuple(result_types())) -> dict[str, str]:
    """For each of ``results``, the name that it has beside the input's own ``columns``, which keep theirs."""
    prefix = ""
    while {prefix + name for name in results} & set(columns):
        prefix += "predicted_"
    return {name: prefix + name for name in results}


def result_values(prediction: Prediction | None, wrong: str | None) -> dict[str, Any]:
    """Values for the columns of `result_types`; only ``problem`` where there is no prediction."""
    values: dict[str, Any] = {}
    if prediction is not None:
        values.update(stance=prediction.label or ABSTAINED, confidence=round(prediction.confidence, 4))
        values.update({f"p_{label}": round(p, 4) for label, p in prediction.probabilities.items()})
        values.update(truncated=prediction.truncated)
        values.update(holders=" | ".join(f"{h.text or '(author)'}: {h.stance}" for h in prediction.holders))
    values["problem"] = wrong
    return values


def result_columns(
    classifier: StanceClassifier, texts: Iterable[Any], abstain_below: float = 0.0
) -> dict[str, list[Any]]:
    """The columns of `result_types` for a batch of texts, as lists of one value a text, in order.

    What can't be classified (None, numbers, blank texts) has None in all of them but ``problem``.
    """
    texts = list(texts)
    predictions = classifier.predict(texts, invalid="skip", abstain_below=abstain_below)
    rows = [
        result_values(prediction, problem(text) if prediction is None else None)
        for text, prediction in zip(texts, predictions, strict=True)
    ]
    return {
        name: [row.get(name) for row in rows]
        for name in result_types(classifier.labels, classifier.checkpoint.has_holders)
    }


class Writer(AbstractContextManager["Writer"]):
    """Writes result rows: the input's own cells and then the columns of `result_types`.

    Those get ``predicted_`` before them if the input has a column of such a name.

    Args:
        target: an open stream, or a path; see `Sheet`.
        kind: the format.
        columns: the columns of the input.
        schema: their Arrow schema, if the input is Parquet.
        labels: the labels of the model, in order.
        holders: whether the model finds holders.
        raw: write CSV and TSV cells that begin like a formula as they are; see `stancelib.sheets.guarded`.
    """

    def __init__(
        self,
        target: Path | IO[str],
        kind: Format,
        columns: list[str],
        overwrite: bool = False,
        schema: Any = None,
        labels: Sequence[str] = LABELS,
        holders: bool = True,
        raw: bool = False,
    ) -> None:
        results = result_types(labels, holders)
        self._columns, self._names, self._keeps_all = columns, result_names(columns, tuple(results)), kind == "jsonl"
        self.left_out: set[str] = set()  # fields of single rows for which the output has no column
        types = {own: results[name] for name, own in self._names.items()}
        self._sheet = Sheet(target, kind, [*columns, *self._names.values()], types, overwrite, schema, raw)

    @property
    def part(self) -> Path:
        """The file that is written until all is done, if the target is a path."""
        return self._sheet.part

    def write(self, row: Row, prediction: Prediction | None) -> None:
        cells: dict[str, Any] = {}
        for name, value in row.cells.items():
            if name in self._columns:
                cells[name] = value
            elif self._keeps_all:
                cells[f"input_{name}" if name in self._names.values() else name] = value
            else:
                self.left_out.add(name)
        values = result_values(prediction, row.problem)
        cells.update({own: values.get(name) for name, own in self._names.items()})
        self._sheet.write(cells)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sheet.__exit__(kind, error, trace)
