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
        values.update(stance=prediction.label, confidence=round(prediction.confidence, 4))
        values.update({f"p_{label}": round(p, 4) for label, p in prediction.probabilities.items()})
        values.update(truncated=prediction.truncated)
    values["problem"] = row.problem
    return values


class Writer(AbstractContextManager["Writer"]):
    """Writes result rows to an open stream, or to ``NAME.part``, which becomes ``NAME`` when all is written.

    When the run is broken off, everything so far stays in ``NAME.part``.

    Each row is the input's own cells and then `RESULT_COLUMNS`, which get ``predicted_`` before them if the input has a
    column of such a name.

    Args:
        target: where to; a path must not exist yet, unless ``overwrite``.
        kind: the format; Parquet needs a path, and pyarrow.
        columns: the columns of the input.
        schema: their Arrow schema, if the input is Parquet.
    """

    def __init__(
        self, target: Path | IO[str], kind: Format, columns: list[str], overwrite: bool = False, schema: Any = None
    ) -> None:
        self._columns, self._names, self._keeps_all = columns, result_names(columns), kind == "jsonl"
        self.left_out: set[str] = set()  # fields of single rows for which the output has no column
        self.target = target if isinstance(target, Path) else None
        if isinstance(target, Path):
            self.part = target.with_name(target.name + ".part")
            _check_target(target, self.part, overwrite)
        elif kind == "parquet":
            raise FileError("Parquet can't be written to a pipe; name a file with --output")
        try:
            self._sheet: _Lines | _Parquet
            if kind == "parquet":
                self._sheet = _Parquet(self.part, columns, self._names, schema)
            else:
                # Bytes of the input that are no UTF-8 go out as they came in.
                stream = (
                    self.part.open("w", encoding="utf-8", errors="surrogateescape", newline="")
                    if isinstance(target, Path)
                    else target
                )
                self._sheet = _Lines(stream, kind, [*columns, *self._names.values()])
        except OSError as error:
            raise FileError(f"{target} cannot be written: {error.strerror or error}") from None

    def write(self, row: Row, prediction: Prediction | None) -> None:
        cells: dict[str, Any] = {}
        for name, value in row.cells.items():
            if name in self._columns:
                cells[name] = _encodable(value)
            elif self._keeps_all:
                cells[f"input_{name}" if name in self._names.values() else name] = _encodable(value)
            else:
                self.left_out.add(name)
        cells.update({self._names[name]: _encodable(value) for name, value in result_values(row, prediction).items()})
        self._sheet.write(cells)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.target is None:
            self._sheet.flush()
            return
        self._sheet.close()
        if kind is None:
            self.part.replace(self.target)


def _encodable(value: Any) -> Any:
    """``value`` without the lone surrogates that no file can hold; those that stand for raw bytes are kept."""
    if isinstance(value, str):
        try:
            value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return value
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return value


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
    """Parquet; the input's columns have the types of ``schema``, or those of their first rows."""

    rows_in_group = 8192

    def __init__(self, path: Path, columns: list[str], names: dict[str, str], schema: Any) -> None:
        self._parquet = pyarrow_parquet(path)
        self._path, self._columns, self._names, self._schema = path, columns, names, schema
        self._pending: list[dict[str, Any]] = []
        self._writer: Any = None
        path.touch()

    def write(self, cells: dict[str, Any]) -> None:
        # Parquet holds UTF-8 and nothing else.
        self._pending.append(
            {k: v.encode(errors="replace").decode() if type(v) is str else v for k, v in cells.items()}
        )
        if len(self._pending) >= self.rows_in_group:
            self.flush()

    def flush(self) -> None:
        import pyarrow

        try:
            if self._writer is None:
                self._writer = self._parquet.ParquetWriter(self._path, self._whole_schema())
            self._writer.write_table(pyarrow.Table.from_pylist(self._pending, schema=self._writer.schema))
        except pyarrow.ArrowException as error:
            raise FileError(f"a column changes its kind, which Parquet can't hold ({error}); write .jsonl") from None
        self._pending.clear()

    def _whole_schema(self) -> Any:
        import pyarrow

        found = self._schema or pyarrow.Table.from_pylist(self._pending).schema
        fields = []
        for name in self._columns:
            kind = found.field(name).type if name in found.names else pyarrow.string()
            # Empty so far: it must not be typed as null for ever.
            empty = self._schema is None and pyarrow.types.is_null(kind)
            fields.append(pyarrow.field(name, pyarrow.string() if empty else kind))
        kinds = {"stance": pyarrow.string(), "truncated": pyarrow.bool_(), "problem": pyarrow.string()}
        fields += [pyarrow.field(own, kinds.get(name, pyarrow.float64())) for name, own in self._names.items()]
        return pyarrow.schema(fields)

    def close(self) -> None:
        try:
            self.flush()
        finally:
            if self._writer is not None:
                self._writer.close()  # writes the footer, without which what was written can't be read


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
