"""Predictions written beside the rows that they belong to."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from stancelib.prediction import ABSTAINED, Prediction
from stancelib.sheets import Sheet
from stancelib.tables import Format, Row

RESULT_TYPES: dict[str, type] = {
    "stance": str,
    "confidence": float,
    "p_support": float,
    "p_oppose": float,
    "p_neutral": float,
    "holders": str,
    "truncated": bool,
    "problem": str,
}
RESULT_COLUMNS = tuple(RESULT_TYPES)


def result_names(columns: list[str]) -> dict[str, str]:
    """For each of `RESULT_COLUMNS`, the name that it has beside the input's own ``columns``, which keep theirs."""
    prefix = ""
    while {prefix + name for name in RESULT_COLUMNS} & set(columns):
        prefix += "predicted_"
    return {name: prefix + name for name in RESULT_COLUMNS}


def result_values(row: Row, prediction: Prediction | None) -> dict[str, Any]:
    """Values for `RESULT_COLUMNS`; all but ``problem`` are None where there is no prediction."""
    values: dict[str, Any] = dict.fromkeys(RESULT_COLUMNS)
    if prediction is not None:
        values.update(stance=prediction.label or ABSTAINED, confidence=round(prediction.confidence, 4))
        values.update({f"p_{label}": round(p, 4) for label, p in prediction.probabilities.items()})
        values.update(truncated=prediction.truncated)
        values.update(holders=" | ".join(f"{h.text or '(author)'}: {h.stance}" for h in prediction.holders))
    values["problem"] = row.problem
    return values


class Writer(AbstractContextManager["Writer"]):
    """Writes result rows: the input's own cells and then `RESULT_COLUMNS`.

    Those get ``predicted_`` before them if the input has a column of such a name.

    Args:
        target: an open stream, or a path; see `Sheet`.
        kind: the format.
        columns: the columns of the input.
        schema: their Arrow schema, if the input is Parquet.
    """

    def __init__(
        self, target: Path | IO[str], kind: Format, columns: list[str], overwrite: bool = False, schema: Any = None
    ) -> None:
        self._columns, self._names, self._keeps_all = columns, result_names(columns), kind == "jsonl"
        self.left_out: set[str] = set()  # fields of single rows for which the output has no column
        types = {own: RESULT_TYPES[name] for name, own in self._names.items()}
        self._sheet = Sheet(target, kind, [*columns, *self._names.values()], types, overwrite, schema)

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
        cells.update({self._names[name]: value for name, value in result_values(row, prediction).items()})
        self._sheet.write(cells)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sheet.__exit__(kind, error, trace)
