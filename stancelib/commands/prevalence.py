"""The command ``stancelib prevalence``: shares in a corpus, corrected with a sample coded by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from stancelib import shares
from stancelib.corpus import period_of
from stancelib.data import open_rows
from stancelib.errors import FileError
from stancelib.labels import LABELS
from stancelib.prediction import ABSTAINED
from stancelib.tables import Table

GOLD_COLUMNS = ("gold", "label", "stance")
SHOWN = 5  # messages of a kind


class PeriodName(StrEnum):
    """What dates are grouped by."""

    year = "year"
    quarter = "quarter"
    month = "month"
    week = "week"
    day = "day"


@dataclass(frozen=True, slots=True)
class _Entry:
    number: int
    scores: tuple[float, ...]
    group: str | None


class _Labels:
    """The labels in their order, and which of them a cell is: case and space around it do not count."""

    def __init__(self, listed: str) -> None:
        self.all = tuple(label.strip() for label in listed.split(",") if label.strip())
        self._by_name = {label.casefold(): label for label in self.all}
        if len(self.all) < 2 or len(self._by_name) < len(self.all):
            raise typer.BadParameter("name two labels or more, each once: --labels yes,no", param_hint="--labels")

    def named(self, value: Any) -> str | None:
        text = str("" if value is None else value).strip().casefold()
        # Tables with gaps turn 1 into 1.0.
        return self._by_name.get(text, self._by_name.get(text.removesuffix(".0")))


class _Messages:
    """Says the first few messages of each kind, with file and line, and how many more there are."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def say(self, table: Table, number: int, kind: str, what: str) -> None:
        kind = f"{table.name}: {kind}"
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if self.counts[kind] <= SHOWN:
            typer.echo(f"{table.name}, {table.unit} {number}: {what}", err=True)

    def close(self) -> None:
        for kind, count in self.counts.items():
            if count > SHOWN:
                typer.echo(f"{kind}: {count} in all, the first {SHOWN} are named above", err=True)


def prevalence(
    predictions: Annotated[Path, typer.Argument(help="What 'stancelib predict' wrote.", show_default=False)],
    gold: Annotated[Path, typer.Option("--gold", help="A random sample of the same rows, coded by hand.")],
    gold_column: Annotated[
        str | None, typer.Option("--gold-column", help="The column of codes. [default: gold, label or stance]")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option("--key", help="The column that joins both files. [default: id if both have it, else the text]"),
    ] = None,
    group_column: Annotated[
        str | None, typer.Option("--group-column", help="Shares for each value of this column too.")
    ] = None,
    period: Annotated[PeriodName | None, typer.Option("--period", help="Shares for each period too.")] = None,
    date_column: Annotated[str, typer.Option("--date-column", help="For --period: the column of ISO dates.")] = "date",
    labels: Annotated[
        str, typer.Option("--labels", help="All labels of the predictions, with commas between.")
    ] = ",".join(LABELS),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Estimate the share of each stance in a corpus, corrected for the classifier's errors.

    **Examples**

    stancelib prevalence predictions.csv --gold sample.csv --period month

    stancelib prevalence predictions.csv --gold sample.csv --labels yes,no
    """
    names = _Labels(labels)
    if group_column and period:
        raise typer.BadParameter("give --group-column or --period, not both")
    corpus, sample = _open(predictions, gold, key)
    gold_column = gold_column or next((name for name in GOLD_COLUMNS if name in sample.columns), GOLD_COLUMNS[0])
    _require(sample, gold_column)
    by = date_column if period else group_column
    if by:
        _require(corpus, by)
    messages = _Messages()
    entries = _entries(corpus, names, by, period, messages)
    if not entries:
        messages.close()
        raise FileError(
            f"{corpus.name} has no prediction of {', '.join(names.all)}; name the labels that it has with --labels"
        )
    codes = _codes(sample, names, gold_column, messages)
    for name, (number, _) in codes.items():
        if name not in entries:
            messages.say(sample, number, "not among the predictions", f"{name[:80]!r} is not among the predictions")
    messages.close()
    result = shares.prevalence(
        np.array([entry.scores for entry in entries.values()]).reshape(-1, len(names.all)),
        [codes[name][1] if name in codes else None for name in entries],
        labels=names.all,
        groups=[entry.group for entry in entries.values()] if by else None,
    )
    print(json.dumps(result.to_dict(), ensure_ascii=False, indent=2) if as_json else result)


def _open(predictions: Path, gold: Path, key: str | None) -> tuple[Table, Table]:
    if key is None:
        try:
            return open_rows(predictions, "id"), open_rows(gold, "id")
        except FileError:
            pass  # joined by the text; a file that can't be read raises again
    return open_rows(predictions, key), open_rows(gold, key)


def _require(table: Table, column: str) -> None:
    if column not in table.columns:
        raise FileError(f"{table.name} has no column {column!r}; it has {', '.join(map(repr, table.columns))}")


def _keyed(table: Table, messages: _Messages) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Number, key and cells of the rows that have a key."""
    for row in table.rows:
        # JSON Lines and Parquet files may have numbers for keys.
        if row.problem and not (isinstance(row.text, int) and not isinstance(row.text, bool)):
            messages.say(table, row.number, "unusable rows", f"{table.text_column}: {row.problem}"[:200])
        else:
            yield row.number, str(row.text).strip(), row.cells


def _entries(
    table: Table, labels: _Labels, by: str | None, period: PeriodName | None, messages: _Messages
) -> dict[str, _Entry]:
    """Predictions by key."""
    columns = [f"p_{label}" for label in labels.all]
    soft = all(column in table.columns for column in columns)
    if not soft:
        _require(table, "stance")
    entries: dict[str, _Entry] = {}
    for number, name, cells in _keyed(table, messages):
        where = f"{table.name}, {table.unit} {number}"
        scores = _probabilities([cells.get(column) for column in columns]) if soft else None
        if not soft:
            stance = labels.named(cells.get("stance"))
            if stance is None and str(cells.get("stance")).strip().casefold() == ABSTAINED:
                raise FileError(
                    f"{where}: the stance is {ABSTAINED!r}, which is no share of any; keep the columns "
                    f"{', '.join(columns)}, or run stancelib predict without --abstain-below"
                )
            if stance is not None:
                scores = tuple(float(stance == label) for label in labels.all)
        if scores is None:
            why = cells.get("problem") or "no stance or probabilities that can be used"
            messages.say(table, number, "unusable rows", str(why)[:200])
            continue
        value = str(cells.get(by) if by and cells.get(by) is not None else "").strip() or None
        group = period_of(value, period.value) if value and period else value
        if by and group is None:
            what = f"{by} is {value!r}: in no group, only in the whole"
            messages.say(table, number, "rows in no group", what)
        entry = _Entry(number, scores, group)
        first = entries.setdefault(name, entry)
        if first is not entry:
            if (first.scores, first.group) != (scores, group):
                raise FileError(
                    f"{where}: {name[:80]!r} is also in {table.unit} {first.number}, with another prediction or group; "
                    "name a column that is unique with --key"
                )
            messages.say(table, number, "duplicates", f"as {table.unit} {first.number}; counted once")
    return entries


def _codes(table: Table, labels: _Labels, column: str, messages: _Messages) -> dict[str, tuple[int, str]]:
    """Line and code by key."""
    codes: dict[str, tuple[int, str]] = {}
    for number, name, cells in _keyed(table, messages):
        code = labels.named(cells.get(column))
        if code is None:
            what = f"{column} is {cells.get(column)!r}, none of {', '.join(labels.all)}; not counted as coded"
            messages.say(table, number, "unusable rows", what)
            continue
        first = codes.setdefault(name, (number, code))
        if first[1] != code:
            raise FileError(
                f"{table.name}, {table.unit} {number}: {name[:80]!r} is coded {code}, but {first[1]} in {table.unit} "
                f"{first[0]}; settle on one, or name a column that is unique with --key"
            )
        if first[0] != number:
            messages.say(table, number, "duplicates", f"as {table.unit} {first[0]}; counted once")
    return codes


def _probabilities(values: list[Any]) -> tuple[float, ...] | None:
    try:
        found = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        return None
    good = all(math.isfinite(p) and p >= 0 for p in found) and abs(sum(found) - 1) < 0.01
    return found if good else None
