"""Many documents: from files to texts, and from documents to tidy tables.

One row a document and holder, one row a sentence, and, where there are dates, one row a holder and period. Documents
stream through; only the counts by period are kept.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from stancelib.document import HOLDER_COLUMNS, Document, frame, holder_rows
from stancelib.errors import FileError, InputError
from stancelib.labels import LABELS
from stancelib.sheets import Sheet, check_target
from stancelib.tables import Format, format_of, open_table

if TYPE_CHECKING:
    import pandas

Period: TypeAlias = Literal["year", "quarter", "month", "week", "day"]
PERIODS: tuple[Period, ...] = ("year", "quarter", "month", "week", "day")
TEXT_FILES = (".txt", ".md", ".text")

TABLES: dict[str, dict[str, type]] = {
    "holders": {
        "document": str,
        "date": str,
        **{name: {"confidence": float, "sentences": int}.get(name, str) for name in HOLDER_COLUMNS},
    },
    "sentences": {
        "document": str,
        "date": str,
        "sentence": int,
        "start": int,
        "end": int,
        "stance": str,
        "confidence": float,
        **{f"p_{label}": float for label in LABELS},
        "holders": str,
        "gated": bool,
        "text": str,
    },
    "periods": {
        "period": str,
        "holder": str,
        "kind": str,
        "country": str,
        "documents": int,
        **dict.fromkeys((*LABELS, "mixed"), int),
        "score": float,
    },
}
"""Name of each table -> its columns and their types."""


@dataclass(frozen=True, slots=True)
class Source:
    """A text to analyse and what to call it; ``problem`` says why it can't be used, if it can't."""

    text: Any
    title: str | None = None
    date: str | None = None
    problem: str | None = None


def read_sources(
    paths: Iterable[Path],
    text_column: str | None = None,
    title_column: str | None = None,
    date_column: str | None = None,
) -> Iterator[Source]:
    """Documents of files and folders: a text file is one, a row of a CSV, TSV, JSON Lines or Parquet file is one.

    Of a folder, its text files and tables are read, those in folders inside it too, in the order of their names.

    Raises:
        FileError: a path is not there or can't be read, a folder holds nothing to read, a named column lacks.
    """
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and _readable(p))
            if not inside:
                raise FileError(f"{path} holds no text files (.txt, .md) and no tables (.csv, .tsv, .jsonl, .parquet)")
            yield from read_sources(inside, text_column, title_column, date_column)
        elif (format_of(path) or "lines") == "lines":
            yield _read_text(path)
        else:
            table = open_table(path, text_column)
            for column in (title_column, date_column):
                if column is not None and column not in table.columns:
                    raise FileError(f"{path} has no column {column!r}; it has {', '.join(map(repr, table.columns))}")
            for row in table.rows:
                title = row.cells.get(title_column) if title_column else None
                when = row.cells.get(date_column) if date_column else None
                yield Source(
                    row.text,
                    str(title) if title not in (None, "") else f"{path.stem}:{row.number}",
                    str(when) if when not in (None, "") else None,
                    row.problem,
                )


def _readable(path: Path) -> bool:
    return path.suffix.lower() in TEXT_FILES or format_of(path) is not None


def _read_text(path: Path) -> Source:
    try:
        return Source(path.read_text(encoding="utf-8-sig"), path.stem)
    except UnicodeDecodeError:
        return Source(None, path.stem, None, "not UTF-8; convert the file first (iconv -f WINDOWS-1252 -t UTF-8)")
    except FileNotFoundError:
        raise FileError(f"{path}: no such file") from None
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from None


def as_source(element: Any, number: int) -> Source:
    """An element of what a caller passed to `analyze_many`: a string, a `Source`, or a mapping with ``text``."""
    if isinstance(element, Source):
        return element
    if isinstance(element, Mapping):
        if "text" not in element:
            raise InputError(f"documents[{number}] has no 'text'; it has {', '.join(map(repr, element))}")
        title, when = element.get("title"), element.get("date")
        return Source(element["text"], None if title is None else str(title), None if when is None else str(when))
    return Source(element)


def period_of(when: str, period: Period) -> str | None:
    """The period that an ISO date (``2024-05-17``, longer, or shorter) lies in, None if it is no date.

    >>> [period_of("2024-05-17T08:00", period) for period in PERIODS]
    ['2024', '2024-Q2', '2024-05', '2024-W20', '2024-05-17']
    """
    text = when.strip()[:10]
    try:
        day = date.fromisoformat(text + {4: "-01-01", 7: "-01"}.get(len(text), ""))
    except ValueError:
        return None
    if len(text) < {"year": 4, "quarter": 7, "month": 7}.get(period, 10):
        return None  # a year lies in no month
    week = day.isocalendar()
    return {
        "year": f"{day.year}",
        "quarter": f"{day.year}-Q{(day.month + 2) // 3}",
        "month": f"{day:%Y-%m}",
        "week": f"{week.year}-W{week.week:02}",
        "day": f"{day}",
    }[period]


def document_rows(document: Document, number: int) -> list[dict[str, Any]]:
    """Rows of the table ``holders`` for a document, which is called by its title, or by ``number`` if it has none."""
    name = {"document": document.title or str(number), "date": document.date}
    return [name | row for row in holder_rows(document)]


def sentence_rows(document: Document, number: int) -> list[dict[str, Any]]:
    """Rows of the table ``sentences`` for a document."""
    return [
        {
            "document": document.title or str(number),
            "date": document.date,
            "sentence": index,
            "start": sentence.start,
            "end": sentence.end,
            "stance": sentence.prediction.label,
            "confidence": round(sentence.prediction.confidence, 4),
            **{f"p_{label}": round(p, 4) for label, p in sentence.prediction.probabilities.items()},
            "holders": " | ".join(f"{holder.text or '(author)'}: {holder.stance}" for holder in sentence.holders),
            "gated": sentence.prediction.gated,
            "text": sentence.text,
        }
        for index, sentence in enumerate(document.sentences, 1)
    ]


@dataclass
class Timeline:
    """Counts documents by holder and period."""

    period: Period = "month"
    _counts: dict[tuple[str, str], collections.Counter[str]] = field(default_factory=dict)
    _about: dict[str, tuple[str, str | None]] = field(default_factory=dict)

    def add(self, document: Document) -> None:
        when = period_of(document.date, self.period) if document.date else None
        if when is None:
            return
        for holder in document.holders:
            if holder.kind != "unsure":
                self._counts.setdefault((when, holder.name), collections.Counter())[holder.stance] += 1
                self._about.setdefault(holder.name, (holder.kind, holder.country))

    def rows(self) -> list[dict[str, Any]]:
        """Rows of the table ``periods``: documents by the holder's stance in them, and (support - oppose) / all."""
        rows = []
        for (when, name), counts in sorted(self._counts.items()):
            kind, country = self._about[name]
            total = counts.total()
            score = round((counts["support"] - counts["oppose"]) / total, 4)
            stances = {stance: counts[stance] for stance in (*LABELS, "mixed")}
            rows.append(
                {"period": when, "holder": name, "kind": kind, "country": country, "documents": total}
                | stances
                | {"score": score}
            )
        return rows


def write_tables(
    documents: Iterable[Document], folder: Path, kind: Format = "csv", period: Period = "month", overwrite: bool = False
) -> Iterator[Document]:
    """Write the `TABLES` of a stream of documents to ``folder`` and pass the documents on; iterate to the end.

    ``periods`` is written if any document has a date. When the stream breaks off, what was written so far stays in
    files that end in ``.part``.

    Raises:
        FileError: the folder can't be made, or a table exists already and ``overwrite`` is False.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{folder} cannot be made: {error.strerror or error}") from None
    for name in TABLES:  # before any work is done
        check_target(folder / f"{name}.{kind}", overwrite)
    timeline = Timeline(period)

    def sheet(name: str) -> Sheet:
        return Sheet(folder / f"{name}.{kind}", kind, list(TABLES[name]), TABLES[name], overwrite)

    with ExitStack() as stack:
        holders, sentences = stack.enter_context(sheet("holders")), stack.enter_context(sheet("sentences"))
        for number, document in enumerate(documents, 1):
            for row in document_rows(document, number):
                holders.write(row)
            for row in sentence_rows(document, number):
                sentences.write(row)
            timeline.add(document)
            yield document
    rows = timeline.rows()
    if rows:
        with sheet("periods") as periods:
            for row in rows:
                periods.write(row)


def to_frames(documents: Iterable[Document], period: Period = "month") -> dict[str, pandas.DataFrame]:
    """The `TABLES` of some documents as pandas frames, by name."""
    timeline = Timeline(period)
    rows: dict[str, list[dict[str, Any]]] = {"holders": [], "sentences": []}
    for number, document in enumerate(documents, 1):
        rows["holders"] += document_rows(document, number)
        rows["sentences"] += sentence_rows(document, number)
        timeline.add(document)
    rows["periods"] = timeline.rows()
    return {name: frame("to_frames", rows[name], columns) for name, columns in TABLES.items()}
