"""Predictions written beside the rows that they belong to: CSV and TSV, JSON Lines, Parquet."""

from __future__ import annotations

import csv
import json
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from stancelib.errors import FileError
from stancelib.prediction import Prediction
from stancelib.tables import Format, Row, pyarrow_parquet

RESULT_COLUMNS = ("stance", "confidence", "p_support", "p_oppose", "p_neutral", "truncated", "problem")


def result_cells(row: Row, prediction: Prediction | None) -> dict[str, Any]:
    """What is written for one row: its own cells, then `RESULT_COLUMNS`, which are None where there is no prediction.

    A column of the input that has one of these names keeps it, and ours gets ``predicted_`` before it.
    """
    values: dict[str, Any] = dict.fromkeys(RESULT_COLUMNS)
    if prediction is not None:
        values.update(stance=prediction.label, confidence=round(prediction.confidence, 4))
        values.update({f"p_{label}": round(p, 4) for label, p in prediction.probabilities.items()})
        values.update(truncated=prediction.truncated)
    values["problem"] = row.problem
    cells = {name: _writable(value) for name, value in row.cells.items()}
    return cells | {f"predicted_{name}" if name in cells else name: value for name, value in values.items()}


def _writable(value: Any) -> Any:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


class Writer(AbstractContextManager["Writer"]):
    """Writes result rows to an open stream, or to ``NAME.part``, which becomes ``NAME`` when all is written.

    When the run is broken off, everything so far stays in ``NAME.part``.

    Args:
        target: where to; a path must not exist yet, unless ``overwrite``.
        kind: the format; Parquet needs a path, and pyarrow.
        columns: the columns of the input.
    """

    def __init__(self, target: Path | IO[str], kind: Format, columns: list[str], overwrite: bool = False) -> None:
        self.columns = list(result_cells(Row(0, dict.fromkeys(columns), None), None))
        self.target = target if isinstance(target, Path) else None
        if isinstance(target, Path):
            self.part = target.with_name(target.name + ".part")
            _check_target(target, self.part, overwrite)
        elif kind == "parquet":
            raise FileError("Parquet can't be written to a pipe; name a file with --output")
        try:
            self._sheet: _Lines | _Parquet
            if kind == "parquet":
                self._sheet = _Parquet(self.part, self.columns)
            else:
                stream = self.part.open("w", encoding="utf-8", newline="") if isinstance(target, Path) else target
                self._sheet = _Lines(stream, kind, self.columns)
        except OSError as error:
            raise FileError(f"{target} cannot be written: {error.strerror or error}") from None
        self.write = self._sheet.write

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.target is None:
            self._sheet.flush()
            return
        self._sheet.close()
        if kind is None:
            self.part.replace(self.target)


def _check_target(target: Path, part: Path, overwrite: bool) -> None:
    if target.is_dir():
        raise FileError(f"{target} is a folder; name a file")
    for path in (target, part):
        if path.exists() and not overwrite:
            raise FileError(f"{path} exists already; choose another name, or pass --overwrite")


class _Lines:
    """CSV, TSV or JSON Lines."""

    def __init__(self, stream: IO[str], kind: Format, columns: list[str]) -> None:
        self._stream, self._csv = stream, None
        if kind != "jsonl":
            delimiter = "\t" if kind == "tsv" else ","
            self._csv = csv.DictWriter(stream, columns, delimiter=delimiter, extrasaction="ignore", lineterminator="\n")
            self._csv.writeheader()

    def write(self, cells: dict[str, Any]) -> None:
        if self._csv is None:
            self._stream.write(_json(cells) + "\n")
        else:
            plain = {name: _json(v) if isinstance(v, (dict, list, bool)) else v for name, v in cells.items()}
            self._csv.writerow(plain)

    def flush(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        self._stream.close()


class _Parquet:
    """Parquet; each column has the kind that its first rows have."""

    rows_in_group = 8192

    def __init__(self, path: Path, columns: list[str]) -> None:
        self._parquet = pyarrow_parquet(path)
        self._path, self._columns, self._pending = path, columns, list[dict[str, Any]]()
        self._writer: Any = None
        path.touch()

    def write(self, cells: dict[str, Any]) -> None:
        self._pending.append(cells)
        if len(self._pending) >= self.rows_in_group:
            self.flush()

    def flush(self) -> None:
        import pyarrow

        try:
            if self._writer is None:
                self._writer = self._parquet.ParquetWriter(self._path, self._schema())
            self._writer.write_table(pyarrow.Table.from_pylist(self._pending, schema=self._writer.schema))
        except pyarrow.ArrowException as error:
            raise FileError(f"a column changes its kind, which Parquet can't hold ({error}); write .jsonl") from None
        self._pending.clear()

    def _schema(self) -> Any:
        import pyarrow

        found = pyarrow.Table.from_pylist(self._pending).schema
        ours = {"truncated": pyarrow.bool_(), "stance": pyarrow.string(), "problem": pyarrow.string()}
        fields = []
        for name in self._columns:
            kind = found.field(name).type if name in found.names else pyarrow.null()
            if pyarrow.types.is_null(kind):  # empty so far: it must not be typed as null for ever
                plain = name.removeprefix("predicted_")
                number = plain == "confidence" or plain.startswith("p_")
                kind = ours.get(plain, pyarrow.float64() if number else pyarrow.string())
            fields.append(pyarrow.field(name, kind))
        return pyarrow.schema(fields)

    def close(self) -> None:
        self.flush()
        if self._writer is not None:
            self._writer.close()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
