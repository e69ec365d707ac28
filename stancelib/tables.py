"""Files of texts, read row by row: text lines, CSV and TSV, JSON Lines, Parquet.

A row that can't be used keeps its place and says why in `Row.problem`; only a file that can't be used at all raises.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias

from stancelib.errors import FileError, MissingExtraError
from stancelib.texts import problem

Format: TypeAlias = Literal["lines", "csv", "tsv", "jsonl", "parquet"]

FORMATS: dict[str, Format] = {
    ".txt": "lines",
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
# Looked for, in this order, when no text column is named.
TEXT_COLUMNS = ("text", "sentence")

# Cells may be as long as a text may be; the csv module would stop at 131,072 characters.
csv.field_size_limit(2**31 - 1)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file: where it stands (from 1), its cells, its text, and why it can't be used, if it can't."""

    number: int
    cells: dict[str, Any]
    text: Any
    problem: str | None = None


@dataclass
class Table:
    """An open file of texts. ``rows`` may be iterated once; ``done()`` of ``total`` bytes or rows have been read.

    ``unit`` is what the numbers of the rows count: lines of the file, rows of a Parquet file, …
    """

    name: str
    columns: list[str]
    text_column: str
    rows: Iterator[Row]
    total: int | None = None
    done: Callable[[], int] = field(default=lambda: 0)
    unit: str = "line"
    schema: Any = None  # of a Parquet file


def format_of(path: str | os.PathLike[str]) -> Format | None:
    """The format that a file name ends in, or None."""
    return FORMATS.get(Path(path).suffix.lower())


def open_table(
    path: str | os.PathLike[str],
    text_column: str | None = None,
    kind: Format | None = None,
    skip: int = 0,
    watch: bool = True,
) -> Table:
    """Open a file of texts; its format is ``kind``, or what its name ends in, or text lines.

    The first ``skip`` rows are passed over, which in Parquet costs next to nothing. Unless ``watch`` is False, an error
    comes after the last row if the file was changed meanwhile.

    Raises:
        FileError: it is not there, a folder, empty, in another encoding, or has no such column (the message lists
            those that it has).
        MissingExtraError: a Parquet file without pyarrow.
    """
    path = Path(path)
    if path.is_dir():
        raise FileError(f"{path} is a folder; give a file")
    kind = kind or format_of(path) or "lines"
    try:
        state = _state(path)
        size = path.stat().st_size if state else None
        if size == 0:
            raise FileError(f"{path} is empty")
        if kind == "parquet":
            table, skip = _open_parquet(path, text_column, skip), 0
        else:
            table = read_table(path.open("rb"), str(path), kind, text_column, size)
    except FileError:
        raise
    except FileNotFoundError:
        raise FileError(f"{path}: no such file") from None
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from None
    table.rows = itertools.islice(table.rows, skip, None)
    if watch:
        table.rows = _unchanged(table.rows, path, state)
    return table


def _unchanged(rows: Iterator[Row], path: Path, before: tuple[int, ...]) -> Iterator[Row]:
    yield from rows
    try:
        same = _state(path) == before
    except OSError:
        same = False
    if not same:
        raise FileError(f"{path} changed while it was read, so its rows may be of two states; run this again")


def _state(path: Path) -> tuple[int, ...]:
    """What differs when another file is at ``path``, or something was written to it; empty for a pipe, which has none.

    Raises:
        OSError: nothing is there.
    """
    found = path.stat()
    return (found.st_ino, found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else ()


def read_table(
    file: IO[bytes], name: str, kind: Format, text_column: str | None = None, total: int | None = None
) -> Table:
    """Rows of an open binary file that holds text lines, CSV, TSV or JSON Lines."""
    start = file.peek(4)[:4] if isinstance(file, io.BufferedReader) else b""
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise FileError(f"{name} is in UTF-16; save it as UTF-8 (iconv -f UTF-16 -t UTF-8)")
    if start == b"PK\x03\x04":
        raise FileError(f"{name} is a zip archive or an Excel workbook; save the sheet as CSV (UTF-8)")
    # Bytes that are no UTF-8 become lone surrogates, so that only the rows that have them are lost.
    lines = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")

    def done() -> int:
        return 0 if total is None else total if file.closed else file.tell()

    if kind == "lines":
        if text_column not in (None, "text"):
            raise FileError(f"{name} holds text lines, it has no column {text_column!r}; name a .csv or .jsonl file")
        return Table(name, ["text"], "text", _text_rows(lines), total, done)
    if kind == "jsonl":
        return _open_jsonl(lines, name, text_column, total, done)
    return _open_csv(lines, name, kind, text_column, total, done)


def _choose_column(name: str, columns: list[str], asked: str | None) -> str:
    if asked is not None:
        if asked in columns:
            return asked
        raise FileError(f"{name} has no column {asked!r}; it has {', '.join(map(repr, columns))}")
    for column in (*TEXT_COLUMNS, *columns[: len(columns) == 1]):
        if column in columns:
            return column
    raise FileError(
        f"{name}: which column holds the text? It has {', '.join(map(repr, columns))}; name one with --text-column"
    )


def _row(number: int, cells: dict[str, Any], text: Any, found: str | None = None) -> Row:
    if found is None:
        found = f"not UTF-8; {_CONVERT}" if isinstance(text, str) and _undecoded(text) else problem(text)
    return Row(number, cells, text, found)


_CONVERT = "convert the file first (iconv -f WINDOWS-1252 -t UTF-8)"


def _undecoded(text: str) -> bool:
    """Whether ``text`` holds bytes that were no UTF-8, which ``surrogateescape`` keeps as these characters."""
    return not text.isascii() and any("\udc80" <= character <= "\udcff" for character in text)


def _check_columns(name: str, columns: list[str]) -> None:
    if any(map(_undecoded, columns)):
        raise FileError(f"{name} is not UTF-8: see the names of its columns; {_CONVERT}")
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise FileError(f"{name} has more than one column {', '.join(map(repr, twice))}; rename all but one")


def _text_rows(lines: Iterable[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        text = line.rstrip("\r\n")
        if text.strip():  # blank lines part paragraphs
            yield _row(number, {"text": text}, text)


def _open_csv(
    lines: io.TextIOWrapper, name: str, kind: Format, asked: str | None, total: int | None, done: Callable[[], int]
) -> Table:
    header = lines.readline()
    # Excel writes semicolons where the comma is the decimal mark.
    delimiter = "\t" if kind == "tsv" else max(",;\t", key=header.count)
    reader = csv.reader(lines, delimiter=delimiter)
    columns = next(csv.reader([header], delimiter=delimiter), [])
    if not any(column.strip() for column in columns):
        raise FileError(f"{name}: line 1 must name the columns, it is blank")
    _check_columns(name, columns)
    column = _choose_column(name, columns, asked)

    def rows() -> Iterator[Row]:
        number = 1
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                number += 1
                yield Row(number, {}, None, f"not CSV ({error})")
                continue
            if not cells:
                continue
            number = reader.line_num + 1
            given = dict(zip(columns, cells, strict=False))
            wrong = None
            if len(cells) != len(columns):
                wrong = f"{len(cells)} cells, the header has {len(columns)}: {cells}"
            yield _row(number, given, given.get(column), wrong)

    return Table(name, columns, column, rows(), total, done)


def _open_jsonl(
    lines: io.TextIOWrapper, name: str, asked: str | None, total: int | None, done: Callable[[], int]
) -> Table:
    def parsed() -> Iterator[tuple[int, dict[str, Any] | None, str | None]]:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield number, None, f"not JSON ({error}): {line.strip()}"
                continue
            if isinstance(value, dict):
                yield number, value, None
            else:
                yield number, None, f"a JSON {type(value).__name__}, not an object: {line.strip()}"

    source = parsed()
    # The first good line tells the columns; broken ones before it are kept for the rows.
    head: list[tuple[int, dict[str, Any] | None, str | None]] = []
    for entry in source:
        head.append(entry)
        if entry[1] is not None:
            break
    if not head:
        raise FileError(f"{name} holds no line of JSON")
    first = head[-1][1]
    if first is None:
        raise FileError(f"{name}, line {head[0][0]}: {str(head[0][2])[:200]}; JSON Lines files hold an object a line")
    column = _choose_column(name, list(first), asked)

    def rows() -> Iterator[Row]:
        for entries in (head, source):
            for number, cells, wrong in entries:
                if cells is not None and column not in cells:
                    wrong = f"no {column!r}"
                yield _row(number, cells or {}, (cells or {}).get(column), wrong)

    return Table(name, list(first), column, rows(), total, done)


def _open_parquet(path: Path, asked: str | None, skip: int) -> Table:
    parquet = pyarrow_parquet(path)
    try:
        file = parquet.ParquetFile(path, buffer_size=1 << 20)  # without, a whole column of a row group is in memory
    except Exception as error:  # pyarrow raises a dozen kinds
        raise FileError(f"{path} is no Parquet file: {str(error).splitlines()[0]}") from None
    columns = list(file.schema_arrow.names)
    column = _choose_column(str(path), columns, asked)
    read = 0

    def batches() -> Iterator[list[dict[str, Any]]]:
        nonlocal read
        groups = [file.metadata.row_group(index).num_rows for index in range(file.num_row_groups)]
        first = 0
        while first < len(groups) and read + groups[first] <= skip:
            read += groups[first]
            first += 1
        try:
            for batch in file.iter_batches(batch_size=1024, row_groups=range(first, len(groups))):
                passed = min(max(0, skip - read), len(batch))
                read += passed
                yield batch.slice(passed).to_pylist()
        except (OSError, ValueError, ArithmeticError) as error:  # pyarrow's own are among these
            raise FileError(f"{path} cannot be read after row {read:,}: {str(error).splitlines()[0]}") from None

    def rows() -> Iterator[Row]:
        nonlocal read
        for batch in batches():
            for cells in batch:
                read += 1
                yield _row(read, cells, cells[column])

    return Table(str(path), columns, column, rows(), file.metadata.num_rows, lambda: read, "row", file.schema_arrow)


def pyarrow_parquet(path: object) -> Any:
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise MissingExtraError(f"{path}: Parquet", "pyarrow", "parquet") from None
    return parquet
