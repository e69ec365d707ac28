"""The command ``stancelib agreement``: how far the coders of a file agree, the model perhaps among them."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from stancelib import reliability
from stancelib.classifier import StanceClassifier
from stancelib.data import open_rows
from stancelib.errors import FileError, InputError
from stancelib.tables import Row, Table
from stancelib.texts import problem

MODEL = "model"  # the coder that is the model, unless a column is called so
SHOWN = 5  # broken rows


def agreement(
    file: Annotated[
        Path,
        typer.Argument(help="A row a unit, a column a coder: .csv, .tsv, .jsonl, .parquet, .xlsx.", show_default=False),
    ],
    coders: Annotated[
        str,
        typer.Option(
            "--coders",
            help="The columns of the coders, with commas between. 'model', where no column is called so, is the model, "
            "which then codes the text of each row.",
            show_default=False,
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="For the coder 'model': a shipped model's name, a folder, or a hub id."),
    ] = None,
    text_column: Annotated[
        str | None, typer.Option("--text-column", "-c", help="For the coder 'model': the column that holds the text.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the bootstrap.")] = 1,
) -> None:
    """Measure how far coders agree: Krippendorff's alpha, Fleiss' and Cohen's kappa, agreement on each category.

    Blank cells are units that a coder did not code. The case of categories and space around them do not count.

    **Examples**

    stancelib agreement coded.csv --coders anna,ben,carla

    stancelib agreement coded.csv --coders anna,ben,model --text-column sentence
    """
    names = [name.strip() for name in coders.split(",") if name.strip()]
    if len(set(names)) != len(names) or len(names) < 2:
        raise typer.BadParameter("name two coders or more, each once: --coders anna,ben", param_hint="--coders")
    table = open_rows(file, next(name for name in names if name != MODEL))
    by_model = MODEL in names and MODEL not in table.columns
    missing = [name for name in names if name not in table.columns and not (by_model and name == MODEL)]
    if missing:
        raise FileError(
            f"{table.name} has no column {', '.join(map(repr, missing))}; it has {', '.join(map(repr, table.columns))}"
        )
    if by_model:
        table = open_rows(file, text_column)
    elif model is not None or text_column is not None:
        why = f"{file} has a column {MODEL!r}" if MODEL in names else f"--coders does not name {MODEL!r}"
        raise typer.BadParameter(f"--model and --text-column are for the coder that is the model, but {why}")
    rows = _whole(table, [name for name in names if name in table.columns])
    codings = {name: [_code(row.cells.get(name)) for row in rows] for name in names}
    if by_model:
        people = {code for column in codings.values() for code in column} - {None}
        codings[MODEL] = _coded_by_model(model, rows, table.name)
        if people.isdisjoint(codings[MODEL]):
            says, others = (", ".join(sorted(filter(None, codes))[:SHOWN]) for codes in (set(codings[MODEL]), people))
            _say(f"the model and the other coders have no category in common: it says {says}; they say {others}")
    try:
        result = reliability.agreement(codings, seed=seed)
    except InputError as error:
        raise InputError(f"{table.name}: {error}") from None
    print(json.dumps(result.to_dict(), ensure_ascii=False, indent=2) if as_json else result)


def _whole(table: Table, coders: list[str]) -> list[Row]:
    """The rows that can be read; the others are told of."""
    rows, broken = [], 0
    for row in table.rows:
        wrong = row.problem
        # What is only blank is a unit without that coding, or without a text for the model.
        if wrong in (problem(row.text), f"no {table.text_column!r}"):
            wrong = next((f"{name} is not UTF-8" for name in coders if not _encodable(row.cells.get(name))), None)
        if wrong is None:
            rows.append(row)
            continue
        broken += 1
        if broken <= SHOWN:
            _say(f"{table.name}, {table.unit} {row.number}: left out: {wrong[:200]}")
    if broken > SHOWN:
        _say(f"{table.name}: {broken:,} rows left out in all, the first {SHOWN} are named above")
    return rows


def _encodable(value: Any) -> bool:
    # Bytes that are no UTF-8 are read as lone surrogates.
    return not any("\ud800" <= character <= "\udfff" for character in str(value))


def _code(value: Any) -> str | None:
    if value is None or value != value:
        return None
    code = " ".join("".join(c if c.isprintable() else " " for c in str(value)).split()).casefold()
    # pandas writes whole numbers like 1.0 where a cell of the column is missing.
    return re.sub(r"^(-?\d+)\.0$", r"\1", code) or None


def _coded_by_model(model: str | None, rows: list[Row], name: str) -> list[str | None]:
    classifier = StanceClassifier.from_pretrained(model)
    predictions = classifier.predict([row.text for row in rows], invalid="skip")
    skipped = sum(prediction is None for prediction in predictions)
    if skipped:
        _say(f"{name}: {skipped:,} rows without a text, which the model did not code")
    truncated = sum(prediction is not None and prediction.truncated for prediction in predictions)
    if truncated:
        _say(f"{name}: {truncated:,} of the texts had more than the model reads; only their beginning counted")
    return [None if prediction is None else _code(prediction.label) for prediction in predictions]


def _say(message: str) -> None:
    print(f"stancelib: {message}", file=sys.stderr)
