"""The command ``stancelib compare``: two models, or a model and a column of predictions, on the same rows."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from stancelib import comparison
from stancelib.classifier import StanceClassifier
from stancelib.data import open_rows
from stancelib.errors import FileError, InputError, ModelError
from stancelib.labels import LABELS
from stancelib.tables import Table

LABEL_COLUMNS = ("label", "stance", "gold")
SHOWN_LEFT_OUT = 5


@dataclass(frozen=True, slots=True)
class _Usable:
    number: int
    text: str
    cells: dict[str, Any]
    gold: str
    group: str | None


def compare(
    a: Annotated[str, typer.Argument(help="A column of predictions, or a model's name, folder or hub id.")],
    b: Annotated[str, typer.Argument(help="The other one.")],
    data: Annotated[
        Path, typer.Argument(help="Labelled rows: .csv, .tsv, .jsonl, .parquet or .xlsx.", show_default=False)
    ],
    text_column: Annotated[
        str | None,
        typer.Option("--text-column", "-c", help="The column that holds the text. [default: text, or the only one]"),
    ] = None,
    label_column: Annotated[
        str | None, typer.Option(help="The column of true labels. [default: label, stance or gold]")
    ] = None,
    group_column: Annotated[
        str | None,
        typer.Option(help="Rows with the same value here (a speech, an author) are alike, and are resampled together."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Tell which of two models, or columns of predictions, is better on the same rows, and whether that is certain.

    **Examples**

    stancelib compare base models/mine coded.csv

    stancelib compare base their_prediction coded.csv --group-column speech
    """
    table = open_rows(data, text_column)
    label_column = _label_column(table, label_column)
    if group_column is not None:
        _require(table, group_column)
    left_out: list[tuple[int, str]] = []
    rows: list[_Usable] = []
    for row in table.rows:
        gold, group = _label(row.cells.get(label_column)), _label(row.cells.get(group_column or ""))
        if row.problem is not None:
            left_out.append((row.number, row.problem))
        elif gold is None:
            left_out.append((row.number, f"no {label_column!r}"))
        elif group_column is not None and group is None:
            left_out.append((row.number, f"no {group_column!r}"))
        else:
            rows.append(_Usable(row.number, row.text, row.cells, gold, group))
    predicted = [_predictions(source, table, rows) for source in (a, b)]
    complete: list[tuple[_Usable, str, str]] = []
    for usable, of_a, of_b in zip(rows, *predicted, strict=True):
        if of_a is None or of_b is None:
            left_out.append((usable.number, f"no prediction of {a if of_a is None else b!r}"))
        else:
            complete.append((usable, of_a, of_b))
    left_out.sort()
    if left_out:
        shown = "; ".join(f"{table.unit} {number}: {why[:200]}" for number, why in left_out[:SHOWN_LEFT_OUT])
        more = f"; {len(left_out) - SHOWN_LEFT_OUT:,} more" if len(left_out) > SHOWN_LEFT_OUT else ""
        count = f"{len(left_out):,} row{'s' if len(left_out) > 1 else ''}"
        print(f"stancelib: {table.name}: {count} left out ({shown}{more})", file=sys.stderr)
    if not complete:
        raise FileError(f"{table.name} holds no row with a text, a label and both predictions")
    _warn_of_other_labels(table, complete, (a, b))
    try:
        result = comparison.compare(
            [row.gold for row, _, _ in complete],
            [of_a for _, of_a, _ in complete],
            [of_b for _, _, of_b in complete],
            names=(a, b) if a != b else (f"{a} (1)", f"{b} (2)"),
            groups=None if group_column is None else [row.group for row, _, _ in complete],
        )
    except InputError as error:
        raise InputError(f"{table.name}: {error}") from None
    differing = [complete[index] for index in result.disagreements]
    if as_json:
        content = result.to_dict() | {
            "disagreements": [
                {table.unit: usable.number, "text": usable.text, "gold": usable.gold, "a": of_a, "b": of_b}
                for usable, of_a, of_b in differing
            ],
            "left_out": [{table.unit: number, "reason": why} for number, why in left_out],
        }
        print(json.dumps(content, ensure_ascii=False, indent=2))
        return
    print(result.table())
    if differing:
        some = f", the first {comparison.SHOWN}" if len(differing) > comparison.SHOWN else ""
        print(f"\n{len(differing):,} disagreement{'s' if len(differing) > 1 else ''}{some}:")
    for usable, of_a, of_b in differing[: comparison.SHOWN]:
        # On one line, without what could steer a terminal.
        text = "".join(c if c.isprintable() else " " for c in " ".join(usable.text.split()))
        print(f"{table.unit} {usable.number}: {usable.gold}; {a} {of_a}, {b} {of_b}: {text}")


def _warn_of_other_labels(table: Table, rows: list[tuple[_Usable, str, str]], names: tuple[str, str]) -> None:
    """Tell of labels that one of the two, and not the data, has: they can only be wrong, or are written otherwise."""
    gold = {row.gold for row, _, _ in rows}
    for at, name in enumerate(names, 1):
        only = Counter(str(row[at]) for row in rows if row[at] not in gold)
        if only:
            shown = ", ".join(f"{label[:60]!r} ({count:,})" for label, count in only.most_common(5))
            more = f" and {len(only) - 5} more" if len(only) > 5 else ""
            print(
                f"stancelib: {table.name}: {name} has labels that no row has: {shown}{more}; they count as wrong",
                file=sys.stderr,
            )


def _label_column(table: Table, asked: str | None) -> str:
    if asked is not None:
        _require(table, asked)
        return asked
    for column in LABEL_COLUMNS:
        if column in table.columns:
            return column
    raise FileError(
        f"{table.name}: which column holds the true labels? It has {', '.join(map(repr, table.columns))}; name one "
        "with --label-column"
    )


def _require(table: Table, column: str) -> None:
    if column not in table.columns:
        raise FileError(f"{table.name} has no column {column!r}; it has {', '.join(map(repr, table.columns))}")


def _predictions(source: str, table: Table, rows: list[_Usable]) -> list[str | None]:
    """The labels that ``source``, a column or else a model, gives the rows."""
    if source in table.columns:
        return [_label(row.cells.get(source)) for row in rows]
    try:
        model = StanceClassifier.from_pretrained(source)
    except ModelError as error:
        raise ModelError(f"{source!r} is no column of {table.name}, and as a model: {error}") from None
    found = model.predict([row.text for row in rows], invalid="skip")
    return [None if prediction is None else prediction.label for prediction in found]


def _label(value: Any) -> str | None:
    """A label as text, or None where there is none; ours in small letters, as models write them."""
    if value is None or value != value:
        return None
    text = str(value).strip()
    return (text.casefold() if text.casefold() in LABELS else text) or None
