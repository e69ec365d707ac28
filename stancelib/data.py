"""Labelled texts, from whatever they are kept in: files, workbooks, frames, datasets, mappings, folders of splits.

A row that can't be used is left out, with the place where it stands and the reason; only data of which nothing can be
used raise.
"""

from __future__ import annotations

import difflib
import itertools
import math
import os
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any, TypeAlias

from stancelib.errors import FileError, InputError, MissingExtraError
from stancelib.labels import LABELS
from stancelib.sheets import Sheet
from stancelib.tables import TEXT_COLUMNS, Row, Table, format_of, open_table
from stancelib.texts import problem

# Looked for, in this order, when no label column is named.
LABEL_COLUMNS = ("label", "stance", "code", "class")
WORKBOOKS = (".xlsx", ".xlsm")
_MOST_UNPACKED = 1 << 30  # bytes
# File name or key -> the split that it is; other names are kept as they are.
SPLITS = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}

Source: TypeAlias = Any
"""A path, a pandas frame, a `datasets.Dataset`, an iterable of mappings, or a `LabelledData`."""

LabelMap: TypeAlias = Mapping[Any, str] | str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row that is not used: where it stands (``"coded.csv, line 12"``), why, and its cells."""

    place: str
    reason: str
    cells: dict[str, Any]


@dataclass(frozen=True)
class LabelledData:
    """Texts and their labels, in the order of their source; lists of one length, but for ``left_out``.

    Attributes:
        name: of the source, as in messages: a path, or what the caller called it.
        texts: none of them missing or blank.
        labels: as in the source, or as the label map has them.
        groups: what must not be parted between training and test (speaker, document), or None without such a column.
        places: where each text stands, such as ``"coded.csv, line 12"`` or ``"frame.iloc[11]"``.
        cells: all columns of the row.
        left_out: the rows that can't be used.
    """

    name: str
    texts: list[str]
    labels: list[str]
    groups: list[str] | None
    places: list[str]
    cells: list[dict[str, Any]]
    left_out: list[LeftOut] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.texts)

    def select(self, indices: Iterable[int]) -> LabelledData:
        """The rows at ``indices``, in that order; `left_out` stays with the whole."""
        at = [int(index) for index in indices]
        return LabelledData(
            self.name,
            [self.texts[i] for i in at],
            [self.labels[i] for i in at],
            None if self.groups is None else [self.groups[i] for i in at],
            [self.places[i] for i in at],
            [self.cells[i] for i in at],
        )


def read_labelled(
    data: Source,
    *,
    text_column: str | None = None,
    label_column: str | None = None,
    group_column: str | None = None,
    label_map: LabelMap | None = None,
) -> LabelledData:
    """Read texts and their labels.

    Labels are stripped. Numbers become their text (``1`` and ``1.0`` both ``"1"``), so that one table gives the same
    labels as CSV, workbook and frame. Case is kept, except that what equals one of our labels apart from case becomes
    it. Numbers of a `datasets.ClassLabel` become its names.

    Args:
        data: a path (.csv, .tsv, .jsonl, .parquet, .xlsx), a pandas frame, a `datasets.Dataset`, an iterable of
            mappings, or a `LabelledData`, which comes back as it is. Of a workbook with several sheets, the first that
            has the columns is read.
        text_column: by default ``text`` or ``sentence``.
        label_column: by default ``label``, ``stance``, ``code`` or ``class``.
        group_column: rows with the same value here are one group; a row without a value is one by itself.
        label_map: their labels -> the labels to train on, as a mapping or as in `parse_label_map`. Rows with other
            labels are left out.

    Raises:
        FileError: the file can't be read, lacks a column, holds no row that can be used, or more than half of its
            labels are not in the label map.
        InputError: the same of data that are no file.
        MissingExtraError: a Parquet file without pyarrow, a workbook without openpyxl.
    """
    columns = _Columns(text_column, label_column, group_column)
    return _read(data, None, columns, None if label_map is None else parse_label_map(label_map))


def read_splits(
    data: Source | Mapping[str, Source],
    *,
    text_column: str | None = None,
    label_column: str | None = None,
    group_column: str | None = None,
    label_map: LabelMap | None = None,
) -> dict[str, LabelledData]:
    """Read the parts that labelled data come in.

    Args:
        data: a folder with ``train.csv``, ``validation.csv`` (or ``dev``, ``valid``, ``val``) and ``test.csv``, or
            some of them, of any format; a `datasets.DatasetDict`; a mapping of names to anything that `read_labelled`
            takes; or one such thing, which is then ``{"train": …}``.
        text_column, label_column, group_column, label_map: see `read_labelled`.

    Returns:
        Name of the split -> its data: ``train``, ``validation`` and ``test`` first, then others in their order.

    Raises:
        FileError, InputError, MissingExtraError: see `read_labelled`; a folder without such files; two that are the
            same split.
    """
    columns = _Columns(text_column, label_column, group_column)
    mapping = None if label_map is None else parse_label_map(label_map)
    if isinstance(data, (str, os.PathLike)) and Path(data).is_dir():
        found: list[tuple[str, Source]] = [*_files_of_splits(Path(data))]
    elif isinstance(data, Mapping):
        found = [(str(name), source) for name, source in data.items()]
    else:
        return {"train": _read(data, None, columns, mapping)}
    sources: dict[str, tuple[str, Source]] = {}
    for name, source in found:
        split = SPLITS.get(name.lower(), name)
        if split in sources:
            kind = FileError if isinstance(source, Path) else InputError
            other = sources[split]
            shown = [str(s) if isinstance(s, Path) else repr(n) for n, s in (other, (name, source))]
            raise kind(f"{shown[0]} and {shown[1]} are both the {split} split; keep one of them")
        sources[split] = (name, source)
    if not sources:
        raise InputError("an empty mapping; it must map names of splits, such as 'train', to their data")
    order = [split for split in dict.fromkeys(SPLITS.values()) if split in sources]
    order += [split for split in sources if split not in order]
    return {split: _read(sources[split][1], sources[split][0], columns, mapping) for split in order}


def label_order(labels: Iterable[str]) -> tuple[str, ...]:
    """The order in which arrays and tables have these labels.

    `stancelib.LABELS`, all three of them, if every label is one of ours; else each label once, sorted, numbers by value
    and before words.

    >>> label_order(["oppose", "support"]), label_order(["10", "9", "-1"])
    (('support', 'oppose', 'neutral'), ('-1', '9', '10'))
    """
    present = set(labels)
    if present <= set(LABELS):
        return LABELS

    def key(label: str) -> tuple[float, str]:
        try:
            value = float(label)
        except ValueError:
            return (math.inf, label)
        return (value if math.isfinite(value) else math.inf, label)

    return tuple(sorted(present, key=key))


def parse_label_map(label_map: LabelMap) -> dict[str, str]:
    """A label map as a mapping of labels to labels, both written as `read_labelled` writes them.

    >>> parse_label_map("favor=support, against=oppose, none=neutral")
    {'favor': 'support', 'against': 'oppose', 'none': 'neutral'}

    Raises:
        InputError: a part is no ``theirs=ours``, a side of it is blank, or a label stands twice with two meanings.
    """
    pairs: list[tuple[Any, Any]] = []
    if isinstance(label_map, str):
        for part in filter(None, (part.strip() for part in label_map.split(","))):
            theirs, equals, ours = part.partition("=")
            if not equals:
                raise InputError(f"label map: {part!r} is not of the form theirs=ours, such as favor=support")
            pairs.append((theirs, ours))
    elif isinstance(label_map, Mapping):
        pairs.extend(label_map.items())
    else:
        raise InputError(f"label map: expected a mapping or a text, got a {type(label_map).__name__}")
    parsed: dict[str, str] = {}
    for theirs, ours in pairs:
        key, value = _plain(theirs), _plain(ours)
        if key is None or value is None:
            raise InputError(f"label map: {theirs!r} is mapped to {ours!r}; neither may be blank")
        if parsed.setdefault(key, _canonical(value)) != _canonical(value):
            raise InputError(f"label map: {key!r} is mapped to both {parsed[key]!r} and {value!r}")
    if not parsed:
        raise InputError("label map: it is empty; give at least one pair, such as favor=support")
    return parsed


def write_left_out(left_out: Sequence[LeftOut], path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Write what was left out as a table: place, reason, and the row's own cells.

    Args:
        left_out: the rows, of one source or of several.
        path: a .csv, .tsv, .jsonl or .parquet file; any other name gets CSV.
        overwrite: replace the file if it is there.

    Raises:
        FileError: the file is there already, or can't be written.
    """
    own = list(dict.fromkeys(itertools.chain.from_iterable(row.cells for row in left_out)))
    prefix = ""
    while {f"{prefix}place", f"{prefix}reason"} & set(own):
        prefix += "left_out_"
    place, reason = f"{prefix}place", f"{prefix}reason"
    kind = format_of(path) or "csv"
    with Sheet(
        Path(path), "csv" if kind == "lines" else kind, [place, reason, *own], {place: str, reason: str}, overwrite
    ) as sheet:
        for row in left_out:
            sheet.write({place: row.place, reason: row.reason, **row.cells})


# From here on: how rows come out of the kinds of sources, and what becomes of a row.


@dataclass(frozen=True, slots=True)
class _Columns:
    """The columns that the caller named."""

    text: str | None
    label: str | None
    group: str | None


@dataclass(frozen=True, slots=True)
class _Row:
    place: str
    cells: dict[str, Any]
    problem: str | None  # why its text can't be used, if it can't


@dataclass
class _Opened:
    """Rows of any source. ``error`` is what is raised about it."""

    name: str
    text_column: str
    rows: Iterable[_Row]
    error: type[FileError] | type[InputError]
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)  # column -> the names that its numbers stand for


def _read(data: Source, name: str | None, columns: _Columns, label_map: dict[str, str] | None) -> LabelledData:
    """``name`` is what the caller called the data; files are called by their path."""
    if isinstance(data, LabelledData):
        return data
    opened = _open(data, name, columns)
    rows = list(opened.rows)
    # Of JSON Lines and mappings, later rows may have columns that the first has not.
    present = list(dict.fromkeys(itertools.chain.from_iterable(row.cells for row in rows)))
    if not rows:
        raise opened.error(f"{opened.name} holds no rows")
    label_column = _label_column(opened, present, columns)
    _check_named(opened, present, columns.group)
    names = opened.classes.get(label_column)
    result = LabelledData(opened.name, [], [], None if columns.group is None else [], [], [], [])
    unmapped: Counter[str] = Counter()
    for row in rows:
        reason = row.problem
        label = None
        if reason is None:
            label, reason = _label(row.cells.get(label_column), names)
        if label is not None and label_map is not None:
            mapped = _mapped(label, label_map)
            if mapped is None:
                unmapped[label] += 1
                reason = _not_in_map(label, label_map)
            label = mapped
        if reason is not None or label is None:
            result.left_out.append(LeftOut(row.place, str(reason), row.cells))
            continue
        result.texts.append(row.cells[opened.text_column])
        result.labels.append(_canonical(label))
        result.places.append(row.place)
        result.cells.append(row.cells)
        if result.groups is not None and columns.group is not None:
            result.groups.append(_plain(row.cells.get(columns.group)) or row.place)
    if label_map is not None and unmapped.total() * 2 > unmapped.total() + len(result):
        shown = ", ".join(f"{label!r} ({count:,})" for label, count in unmapped.most_common(5))
        more = f" and {len(unmapped) - 5} more" if len(unmapped) > 5 else ""
        raise opened.error(
            f"{opened.name}: {unmapped.total():,} of {unmapped.total() + len(result):,} labels in the column "
            f"{label_column!r} are not in the label map: {shown}{more}; the map has "
            f"{', '.join(map(repr, label_map))}{_suggestion(unmapped.most_common(1)[0][0], label_map)}"
        )
    if not len(result):
        first = "; ".join(f"{row.place}: {row.reason[:200]}" for row in result.left_out[:3])
        raise opened.error(f"{opened.name}: none of its {len(rows):,} rows can be used ({first})")
    return result


def _open(data: Source, name: str | None, columns: _Columns) -> _Opened:
    if isinstance(data, (str, os.PathLike)):
        return _open_file(Path(data), columns)
    if isinstance(data, Mapping):
        raise InputError(
            "expected rows, got a mapping; one of splits goes to read_splits, one of columns to pandas.DataFrame first"
        )
    if hasattr(data, "iloc") and hasattr(data, "columns"):  # pandas
        return _open_frame(data, name or "frame", columns)
    if hasattr(data, "to_dicts"):  # polars
        data, name = data.to_dicts(), name or "frame"
    elif hasattr(data, "column_names"):  # datasets, streamed ones too, and Arrow
        return _open_dataset(data, name or "dataset", columns)
    if isinstance(data, (bytes, bytearray)) or not isinstance(data, Iterable):
        raise InputError(
            "expected a path, a frame, a dataset or an iterable of mappings with text and label, "
            f"got {'None' if data is None else type(data).__name__}"
        )
    return _open_mappings(data, name or "rows", columns)


def _open_file(path: Path, columns: _Columns) -> _Opened:
    if path.is_dir():
        raise FileError(f"{path} is a folder; give a file, or read a folder of splits with read_splits")
    if path.suffix.lower() in WORKBOOKS:
        return _open_workbook(path, columns)
    if path.suffix.lower() == ".xls":
        raise FileError(f"{path} is in the format of Excel 97-2003; save it as .xlsx or CSV (UTF-8)")
    table = open_table(path, columns.text)
    rows = (_Row(f"{path}, {table.unit} {row.number}", row.cells, row.problem) for row in table.rows)
    return _Opened(str(path), table.text_column, rows, FileError)


def _check_unpacked(path: Path) -> None:
    # A workbook is a zip archive, and a small one can be packed so that it fills any memory.
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > _MOST_UNPACKED:
        raise FileError(
            f"{path} unpacks to {unpacked:,} bytes, more than the {_MOST_UNPACKED:,} that a workbook may; save its "
            "sheet as CSV (UTF-8)"
        )


def open_rows(path: str | os.PathLike[str], text_column: str | None = None) -> Table:
    """`stancelib.tables.open_table`, and of workbooks the first sheet that has the column, or a column of texts.

    Raises:
        FileError, MissingExtraError: see `open_table`; a workbook without openpyxl.
    """
    path = Path(path)
    if path.suffix.lower() not in WORKBOOKS or path.is_dir():
        return open_table(path, text_column)
    problems = []
    # A lone column is one of texts, but hardly where another sheet has several.
    for name, header, rows in sorted(_sheets(path), key=lambda sheet: len(sheet[1]) == 1):
        try:
            column = _sheet_text_column(name, header, text_column)
        except FileError as error:
            problems.append(str(error))
            continue
        found = (Row(number, cells, cells[column], problem(cells[column])) for number, cells in rows)
        return Table(name, header, column, found, unit="row")
    raise FileError("; ".join(problems))


def _sheet_text_column(name: str, header: Sequence[str], asked: str | None) -> str:
    opened = _Opened(name, "", [], FileError)
    _check_twice(opened, header)
    return _text_column(opened, header, asked)


def _open_workbook(path: Path, columns: _Columns) -> _Opened:
    problems = []
    for name, header, rows in _sheets(path):
        opened = _Opened(name, "", [], FileError)
        try:
            opened.text_column = _sheet_text_column(name, header, columns.text)
            _label_column(opened, header, columns)
        except FileError as error:
            problems.append(str(error))
            continue
        opened.rows = [_cells_row(opened, f"{name}, row {number}", cells) for number, cells in rows]
        return opened
    raise FileError("; ".join(problems))


def _sheets(path: Path) -> Iterator[tuple[str, list[str], list[tuple[int, dict[str, Any]]]]]:
    """Of each sheet that is not empty: what to call it, the names of its columns, and its rows with their numbers."""
    try:
        import openpyxl
    except ImportError:
        raise MissingExtraError(f"{path}: Excel", "openpyxl", "excel") from None
    try:
        _check_unpacked(path)
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except FileError:
        raise
    except FileNotFoundError:
        raise FileError(f"{path}: no such file") from None
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from None
    except Exception as error:  # zipfile, XML and openpyxl raise a dozen kinds
        raise FileError(f"{path} is no Excel workbook (.xlsx): {error}") from None
    try:
        sheets = {sheet.title: _sheet_rows(sheet) for sheet in book.worksheets}
    except Exception as error:
        raise FileError(f"{path} is a damaged workbook: {error}") from None
    finally:
        book.close()
    sheets = {title: rows for title, rows in sheets.items() if rows}
    if not sheets:
        raise FileError(f"{path} holds no rows")
    for title, numbered in sheets.items():
        header = [("" if cell is None else str(cell)).strip() for cell in numbered[0][1]]
        yield (
            str(path) if len(sheets) == 1 else f"{path}, sheet {title!r}",
            [column for column in header if column],
            [
                (number, {column: cell for column, cell in zip(header, cells, strict=False) if column})
                for number, cells in numbered[1:]
            ],
        )


def _sheet_rows(sheet: Any) -> list[tuple[int, tuple[Any, ...]]]:
    """The rows of a sheet that are not empty, with their numbers; the first names the columns."""
    rows = enumerate(sheet.iter_rows(values_only=True), 1)
    return [(number, cells) for number, cells in rows if any(cell is not None for cell in cells)]


def _open_frame(frame: Any, name: str, columns: _Columns) -> _Opened:
    opened = _Opened(name, "", [], InputError)
    header = [str(column) for column in frame.columns]
    _check_twice(opened, header)
    opened.text_column = _text_column(opened, header, columns.text)
    records = frame.set_axis(header, axis=1).to_dict("records")
    opened.rows = [_cells_row(opened, f"{name}.iloc[{number}]", cells) for number, cells in enumerate(records)]
    return opened


def _open_dataset(dataset: Any, name: str, columns: _Columns) -> _Opened:
    if hasattr(dataset, "with_format"):
        dataset = dataset.with_format(None)  # else its rows may come as tensors or frames
    opened = _open_mappings(dataset.to_pylist() if hasattr(dataset, "to_pylist") else dataset, name, columns)
    features = getattr(dataset, "features", None) or {}
    opened.classes = {column: kind.names for column, kind in features.items() if getattr(kind, "names", None)}
    return opened


def _open_mappings(data: Iterable[Any], name: str, columns: _Columns) -> _Opened:
    elements = iter(data)
    first = next(elements, None)
    if first is None:
        raise InputError(f"{name} holds no rows")
    if not isinstance(first, Mapping):
        raise InputError(f"{name}[0] is a {type(first).__name__}; expected mappings, such as {{'text': …, 'label': …}}")
    opened = _Opened(name, "", [], InputError)
    opened.text_column = _text_column(opened, [str(key) for key in first], columns.text)

    def rows() -> Iterator[_Row]:
        for number, element in enumerate(itertools.chain([first], elements)):
            place = f"{name}[{number}]"
            if isinstance(element, Mapping):
                yield _cells_row(opened, place, {str(key): value for key, value in element.items()})
            else:
                yield _Row(place, {}, f"a {type(element).__name__}, not a mapping")

    opened.rows = rows()
    return opened


def _cells_row(opened: _Opened, place: str, cells: dict[str, Any]) -> _Row:
    column = opened.text_column
    return _Row(place, cells, problem(cells[column]) if column in cells else f"no {column!r}")


def _files_of_splits(folder: Path) -> Iterator[tuple[str, Path]]:
    inside = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    tables = [path for path in inside if format_of(path) not in (None, "lines") or path.suffix.lower() in WORKBOOKS]
    found = [(path.stem, path) for path in tables if path.stem.lower() in SPLITS]
    if not found:
        shown = ", ".join(path.name for path in inside[:8]) or "nothing"
        raise FileError(
            f"{folder} holds no splits; expected train.csv and perhaps validation.csv and test.csv "
            f"(or .tsv, .jsonl, .parquet, .xlsx), found {shown}"
        )
    yield from found


def _text_column(opened: _Opened, present: Sequence[str], asked: str | None) -> str:
    if asked is not None:
        _check_named(opened, present, asked)
        return asked
    for column in (*TEXT_COLUMNS, *present[: len(present) == 1]):
        if column in present:
            return column
    raise _which(opened, present, "text")


def _label_column(opened: _Opened, present: Sequence[str], columns: _Columns) -> str:
    if columns.label is not None:
        _check_named(opened, present, columns.label)
        if columns.label == opened.text_column:
            raise opened.error(f"{opened.name}: {columns.label!r} can't be both the text and the label")
        return columns.label
    for column in LABEL_COLUMNS:
        if column in present and column != opened.text_column:
            return column
    raise _which(opened, present, "label")


def _which(opened: _Opened, present: Sequence[str], what: str) -> FileError | InputError:
    option = f"--{what}-column" if opened.error is FileError else f"{what}_column="
    return opened.error(
        f"{opened.name}: which column holds the {what}? It has {', '.join(map(repr, present)) or 'none'}; "
        f"name one with {option}"
    )


def _check_named(opened: _Opened, present: Sequence[str], asked: str | None) -> None:
    if asked is not None and asked not in present:
        close = difflib.get_close_matches(asked, present, 1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise opened.error(f"{opened.name} has no column {asked!r}; it has {', '.join(map(repr, present))}{hint}")


def _check_twice(opened: _Opened, header: Sequence[str]) -> None:
    twice = sorted(column for column, count in Counter(header).items() if count > 1)
    if twice:
        raise opened.error(f"{opened.name} has more than one column {', '.join(map(repr, twice))}; rename all but one")


_WHOLE = re.compile(r"(-?\d+)\.0*")


def _plain(value: Any) -> str | None:
    """A label, or the name of a group, as text; None where there is none."""
    kind = type(value).__name__
    if value is None or kind in ("NAType", "NaTType") or (isinstance(value, Real) and math.isnan(value)):
        return None
    text = str(value).strip()
    # Tables with gaps turn 1 into 1.0, in one file of a project and not in the next.
    whole = _WHOLE.fullmatch(text)
    return (whole[1] if whole else text) or None


def _label(value: Any, names: Sequence[str] | None) -> tuple[str | None, str | None]:
    """A label and None, or None and the reason."""
    if names is not None and isinstance(value, int):
        # datasets writes -1 for texts that nobody has labelled.
        value = names[value] if 0 <= value < len(names) else None
    if isinstance(value, (list, tuple, set, dict, bytes)):
        return None, f"its label is a {type(value).__name__}, not one name"
    label = _plain(value)
    if label is None:
        return None, "no label"
    try:
        label.encode()
    except UnicodeEncodeError:
        return None, "its label is not UTF-8; convert the file first (iconv -f WINDOWS-1252 -t UTF-8)"
    return label, None


def _canonical(label: str) -> str:
    """Our label that equals ``label`` apart from case, or ``label`` itself."""
    folded = label.casefold()
    return folded if folded in LABELS else label


def _mapped(label: str, label_map: Mapping[str, str]) -> str | None:
    """What the map has for ``label``, or for the one key that equals it apart from case."""
    if label in label_map:
        return label_map[label]
    alike = {value for key, value in label_map.items() if key.casefold() == label.casefold()}
    return alike.pop() if len(alike) == 1 else None


def _not_in_map(label: str, label_map: Mapping[str, str]) -> str:
    return (
        f"its label {label!r} is not in the label map, which has {', '.join(map(repr, label_map))}"
        f"{_suggestion(label, label_map)}"
    )


def _suggestion(label: str, label_map: Mapping[str, str]) -> str:
    close = difflib.get_close_matches(label.casefold(), [key.casefold() for key in label_map], 1)
    if close:
        meant = next(key for key in label_map if key.casefold() == close[0])
        return f"; did you mean {meant!r}?"
    return f"; add {label}=… to use it"
