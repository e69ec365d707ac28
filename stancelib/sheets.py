"""Tables written row by row: CSV and TSV, JSON Lines, Parquet.

A file is written to ``NAME.part``, which becomes ``NAME`` when all is written; when the run is broken off, everything
so far stays in ``NAME.part``.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from stancelib.errors import FileError
from stancelib.tables import Format, pyarrow_parquet


class Sheet(AbstractContextManager["Sheet"]):
    """One table, open for writing.

    Args:
        target: an open text stream, or a path, which must not exist yet unless ``overwrite``.
        kind: the format; Parquet needs a path, and pyarrow.
        columns: their names, in order.
        types: the Python types (str, bool, int, float) of those columns whose type is known; Parquet takes those of the
            others from ``schema``, or from their first rows.
        schema: the Arrow schema that some columns come from.
    """

    def __init__(
        self,
        target: Path | IO[str],
        kind: Format,
        columns: Sequence[str],
        types: Mapping[str, type],
        overwrite: bool = False,
        schema: Any = None,
    ) -> None:
        self.target = target if isinstance(target, Path) else None
        if isinstance(target, Path):
            self.part = target.with_name(target.name + ".part")
            check_target(target, overwrite)
        elif kind == "parquet":
            raise FileError("Parquet can't be written to a pipe; name a file with --output")
        self._rows: _Lines | _Parquet
        try:
            if kind == "parquet":
                self._rows = _Parquet(self.part, columns, types, schema)
            else:
                # Bytes of the input that are no UTF-8 go out as they came in.
                stream = (
                    self.part.open("w", encoding="utf-8", errors="surrogateescape", newline="")
                    if isinstance(target, Path)
                    else target
                )
                self._rows = _Lines(stream, kind, columns)
        except OSError as error:
            raise FileError(f"{target} cannot be written: {error.strerror or error}") from None

    def write(self, cells: Mapping[str, Any]) -> None:
        self._rows.write({name: _encodable(value) for name, value in cells.items()})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.target is None:
            self._rows.flush()
            return
        self._rows.close()
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


def check_target(target: Path, overwrite: bool) -> None:
    """Raise `FileError` if ``target``, or its ``.part``, is there and may not be replaced."""
    if target.is_dir():
        raise FileError(f"{target} is a folder; name a file")
    for path in (target, target.with_name(target.name + ".part")):
        if path.exists() and not overwrite:
            raise FileError(f"{path} exists already; choose another name, or pass --overwrite")


class _Lines:
    """CSV, TSV or JSON Lines."""

    def __init__(self, stream: IO[str], kind: Format, columns: Sequence[str]) -> None:
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
    """Parquet, in groups of rows."""

    rows_in_group = 8192

    def __init__(self, path: Path, columns: Sequence[str], types: Mapping[str, type], schema: Any) -> None:
        self._parquet = pyarrow_parquet(path)
        self._path, self._columns, self._types, self._schema = path, columns, types, schema
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

        arrow = {str: pyarrow.string(), bool: pyarrow.bool_(), int: pyarrow.int64(), float: pyarrow.float64()}
        found = self._schema or pyarrow.Table.from_pylist(self._pending).schema
        fields = []
        for name in self._columns:
            if name in self._types:
                kind = arrow[self._types[name]]
            else:
                kind = found.field(name).type if name in found.names else pyarrow.string()
                # Empty so far: it must not be typed as null for ever.
                if self._schema is None and pyarrow.types.is_null(kind):
                    kind = pyarrow.string()
            fields.append(pyarrow.field(name, kind))
        return pyarrow.schema(fields)

    def close(self) -> None:
        try:
            self.flush()
        finally:
            if self._writer is not None:
                self._writer.close()  # writes the footer, without which what was written can't be read


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
