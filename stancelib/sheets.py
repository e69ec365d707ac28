"""Tables written row by row: CSV and TSV, JSON Lines, Parquet.

A file is written to ``NAME.part``, which becomes ``NAME`` when all is written; when the run is broken off, everything
so far stays in ``NAME.part``. A second run with the same ``NAME`` is refused while the first one writes.

What begins like a formula is text to us and a command to a spreadsheet ("=HYPERLINK(…)"), so text cells of CSV and TSV
that do are written with a ``'`` before them, as OWASP advises (CSV injection,
https://owasp.org/www-community/attacks/CSV_Injection); `unguarded` takes it off again.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from stancelib.errors import FileError
from stancelib.tables import Format, pyarrow_parquet

try:
    import fcntl
except ImportError:  # Windows; there, only a run that began earlier without --overwrite is noticed
    fcntl = None  # type: ignore[assignment]

# What spreadsheets take for a formula: tab, line feed, carriage return or one of =+-@ (in the wide forms of East Asian
# text too), first or after characters that do not show. Quotes before it, so that a guarded text can be told from one
# that came with a quote.
_FORMULA = re.compile("'*[\\s\0\ufeff]*[-\t\r\n=+@－＝＋＠]")
# Digits alone do no harm, and a column of numbers must stay one.
_NUMBER = re.compile(r"[-+]?\.?[0-9][0-9.,]*(?:[eE][-+]?[0-9]+)?%?")


def guarded(text: str) -> str:
    """``text`` as a cell of CSV or TSV that no spreadsheet takes for a formula: with ``'`` before it, if need be.

    Numbers ("-5", "+1,234.5", "-2e-3") stay as they are.
    """
    return "'" + text if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def unguarded(cell: str) -> str:
    """The text that `guarded` was given; for reading what stancelib wrote as CSV or TSV."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


class Sheet(AbstractContextManager["Sheet"]):
    """One table, open for writing.

    Args:
        target: an open text stream, or a path, which must not exist yet unless ``overwrite``.
        kind: the format; Parquet needs a path, and pyarrow.
        columns: their names, in order.
        types: the Python types (str, bool, int, float) of those columns whose type is known; Parquet takes those of the
            others from ``schema``, or from their first rows.
        schema: the Arrow schema that some columns come from.
        raw: write CSV and TSV cells that begin like a formula as they are; see `guarded`.
    """

    def __init__(
        self,
        target: Path | IO[str],
        kind: Format,
        columns: Sequence[str],
        types: Mapping[str, type],
        overwrite: bool = False,
        schema: Any = None,
        raw: bool = False,
    ) -> None:
        self.target = target if isinstance(target, Path) else None
        if isinstance(target, Path):
            self.part = target.with_name(target.name + ".part")
            check_target(target, overwrite)
            self._claim = _claimed(self.part, overwrite)
        elif kind == "parquet":
            raise FileError("Parquet can't be written to a pipe; name a file with --output")
        self._rows: _Lines | _Parquet
        try:
            with self._writing():
                if kind == "parquet":
                    self._rows = _Parquet(self.part, columns, types, schema)
                else:
                    # Bytes of the input that are no UTF-8 go out as they came in.
                    stream = (
                        self.part.open("w", encoding="utf-8", errors="surrogateescape", newline="")
                        if isinstance(target, Path)
                        else target
                    )
                    self._rows = _Lines(stream, kind, columns, raw)
        except BaseException:
            if self.target is not None:  # nothing was written, so nothing need stay
                self._claim.close()
                self.part.unlink(missing_ok=True)
            raise

    def write(self, cells: Mapping[str, Any]) -> None:
        """Write a row.

        Raises:
            FileError: the disk is full, say; or a column of Parquet changes its type.
        """
        with self._writing():
            self._rows.write({name: _encodable(value) for name, value in cells.items()})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.target is None:
            with self._writing():
                self._rows.flush()
            return
        try:
            with self._writing():
                self._rows.close()
                sync(self.part)
            if kind is None:
                with self._writing():
                    self.part.replace(self.target)
        except FileError:
            if kind is None:  # else it is most likely the same again, and ``error`` came first
                raise
        finally:
            self._claim.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (FileError, BrokenPipeError):  # a reader that has enough is no error of the file
            raise
        except OSError as error:
            # pyarrow has prose in the place of strerror.
            reason = os.strerror(error.errno) if error.errno else error
            raise FileError(f"{self.target or 'the output'} cannot be written: {reason}") from None


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
    """Raise `FileError` if ``target``, or its ``.part``, is there and may not be replaced, or can't be written."""
    if target.is_dir():
        raise FileError(f"{target} is a folder; name a file")
    if not target.parent.is_dir():
        raise FileError(f"{target} cannot be written: {target.parent} is no folder; make it first")
    if not os.access(target.parent, os.W_OK):
        raise FileError(f"{target} cannot be written: nothing may be written to the folder {target.parent}")
    for path in (target, target.with_name(target.name + ".part")):
        if path.exists() and not overwrite:
            raise FileError(f"{path} exists already; choose another name, or pass --overwrite")


def _claimed(part: Path, overwrite: bool) -> IO[bytes]:
    """``part``, open and locked. The operating system drops the lock of a process that dies, however it dies."""
    try:
        file = part.open("ab" if overwrite else "xb")
    except FileExistsError:  # since `check_target` looked
        raise _in_use(part) from None
    except OSError as error:
        raise FileError(f"{part} cannot be written: {error.strerror or error}") from None
    if fcntl is None:
        file.close()  # Windows renames no file that is open
    else:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            there = part.exists() and os.path.samestat(part.stat(), os.fstat(file.fileno()))
        except BlockingIOError:
            there = False
        except OSError:  # a network drive without locks
            there = True
        if not there:  # it is another's, or was, and has just become the finished file
            file.close()
            raise _in_use(part)
    return file


def _in_use(part: Path) -> FileError:
    return FileError(f"another run is writing to {part}; choose another name, or wait until it is done")


def write_whole(target: Path, text: str) -> None:
    """Write ``text`` to ``target``, which holds all of it or what it held before.

    Raises:
        FileError: it can't be written.
    """
    part = target.with_name(target.name + ".part")
    try:
        part.write_text(text, encoding="utf-8", errors="replace")
        sync(part)
        part.replace(target)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise FileError(f"{target} cannot be written: {error.strerror or error}") from None


def sync(path: Path) -> None:
    """Have ``path`` on the disk itself, so that a power cut after it is renamed can't leave it empty."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


class _Lines:
    """CSV, TSV or JSON Lines."""

    def __init__(self, stream: IO[str], kind: Format, columns: Sequence[str], raw: bool) -> None:
        self._stream, self._columns, self._raw, self._is_csv = stream, columns, raw, kind != "jsonl"
        delimiter = "\t" if kind == "tsv" else ","
        self._plain = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
        # For rows with a carriage return, which the csv module quotes only if it ends the lines.
        self._quoted = csv.writer(stream, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        if self._is_csv:
            self._write_row(columns)

    def write(self, cells: dict[str, Any]) -> None:
        if self._is_csv:
            self._write_row([cells.get(name) for name in self._columns])
        else:
            self._stream.write(_json(cells) + "\n")

    def _write_row(self, values: Sequence[Any]) -> None:
        row = [value if _is_number(value) else self._text(value) for value in values]
        broken = any(isinstance(cell, str) and "\r" in cell for cell in row)
        (self._quoted if broken else self._plain).writerow(row)

    def _text(self, value: Any) -> str:
        text = "" if value is None else _json(value) if isinstance(value, (dict, list, bool)) else str(value)
        return text if self._raw else guarded(text)

    def flush(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        self._stream.close()


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


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
