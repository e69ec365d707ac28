"""The command ``stancelib suggest``: a sheet of texts to code next; and, filled in, the training data that it holds."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from stancelib.data import LabelledData, LeftOut, open_rows, read_labelled
from stancelib.errors import FileError
from stancelib.sheets import Sheet, check_target
from stancelib.suggestion import check_sheet, read_sheet
from stancelib.suggestion import suggest as choose
from stancelib.tables import format_of

SHOWN = 10  # rows that can't be used
SECONDS_BETWEEN_LINES = 20


def suggest(
    data: Annotated[
        Path | None,
        typer.Argument(
            help="Texts that nobody has coded: .txt, .csv, .tsv, .jsonl, .parquet or .xlsx.", show_default=False
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The sheet to fill in, .csv, .tsv or .xlsx; with --read, the training data. "
            "[default: DATA-to-code.csv; coded.csv]",
            show_default=False,
        ),
    ] = None,
    n: Annotated[int, typer.Option("-n", min=1, help="How many texts to choose.")] = 100,
    text_column: Annotated[
        str | None,
        typer.Option("--text-column", "-c", help="The column that holds the text. [default: text, or the only one]"),
    ] = None,
    coded: Annotated[
        list[Path] | None,
        typer.Option(help="A file of texts with labels, such as an earlier sheet: not suggested again. Repeatable."),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="What to code as, parted by commas. [default: the labels of the model]")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Whose doubts count: a shipped model's name, a folder, or a hub id."),
    ] = None,
    show_guess: Annotated[
        bool, typer.Option("--show-guess", help="Write the model's guess on the sheet. Coders tend to follow it.")
    ] = False,
    read: Annotated[
        list[Path] | None,
        typer.Option(help="Read this sheet, filled in, and write what it holds to --output. Repeatable."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")] = False,
) -> None:
    """Choose which texts to code next: those that a model is unsure of, and that are unlike each other.

    **Examples**

    stancelib suggest unlabelled.csv -n 100                    # writes unlabelled-to-code.csv

    stancelib suggest unlabelled.csv -n 100 -o sheet.xlsx

    stancelib suggest unlabelled.csv -n 100 --coded sheet.xlsx --model models/mine -o sheet2.xlsx

    stancelib suggest --read sheet.xlsx --read sheet2.xlsx -o coded.csv    # then: stancelib train coded.csv

    The sheet has id (the row's own, or its line), text, an empty label, and instructions. Rows without a label, or
    with one that is not among --labels, are named when it is read back, and left out.
    """
    choices = None if labels is None else [label for label in map(str.strip, labels.split(",")) if label]
    if choices is not None and len(set(choices)) < 2:
        raise typer.BadParameter("--labels names two labels or more, parted by commas")
    if read:
        if data is not None:
            raise typer.BadParameter(f"either choose from {data}, or read sheets with --read")
        _read_back(read, choices, output or Path("coded.csv"), overwrite)
        return
    if data is None:
        raise typer.BadParameter("name a file of texts to choose from, or a sheet that was filled in, with --read")
    output = output or data.with_name(f"{data.stem}-to-code.csv")
    check_sheet(output, overwrite)
    known = [text for path in coded or () for text in _coded(path, text_column)]
    table = open_rows(data, text_column)
    texts: list[str | None] = []
    ids: list[object] = []
    for row in table.rows:
        texts.append(row.text if row.problem is None else None)
        own = row.cells.get("id")
        ids.append(f"{table.unit} {row.number}" if own is None or own == "" else own)
    try:
        with _progress() as progress:
            suggestions = choose(texts, n, model=model, coded=known, seed=seed, progress=progress)
    except KeyboardInterrupt:
        _say("interrupted; no sheet was written")
        raise typer.Exit(130) from None
    suggestions.write(output, labels=choices, ids=ids, show_guess=show_guess, overwrite=overwrite)
    _say(f"{table.name}: {suggestions}")
    if len(suggestions) < n:
        _say(f"fewer than {n:,}, for there are no more")
    _say(f"{output} is to be filled in with {', '.join(choices or suggestions.labels)}")


def _coded(path: Path, text_column: str | None) -> list[str]:
    """The texts of ``path`` that have a label."""
    try:
        return read_sheet(path).texts
    except FileError:  # no sheet of ours: its columns may be called otherwise
        return read_labelled(path, text_column=text_column).texts


def _read_back(sheets: list[Path], labels: list[str] | None, output: Path, overwrite: bool) -> None:
    kind = format_of(output)
    if kind is None or kind == "lines":
        raise typer.BadParameter(f"{output}: end the name in .csv, .tsv, .jsonl or .parquet")
    check_target(output, overwrite)
    read: list[LabelledData] = [read_sheet(path, labels) for path in sheets]
    with Sheet(output, kind, ["id", "text", "label"], {"id": str, "text": str, "label": str}, overwrite) as sheet:
        for data in read:
            for text, label, cells in zip(data.texts, data.labels, data.cells, strict=True):
                own = cells.get("id")
                sheet.write({"id": "" if own is None else str(own), "text": text, "label": label})
    left_out: list[LeftOut] = [row for data in read for row in data.left_out]
    for row in left_out[:SHOWN]:
        _say(f"{row.place}: {row.reason}; left out")
    if len(left_out) > SHOWN:
        _say(f"{len(left_out) - SHOWN:,} more rows left out")
    counts = Counter(label for data in read for label in data.labels)
    shown = ", ".join(f"{label} {count:,}" for label, count in counts.most_common())
    _say(f"{counts.total():,} coded texts in {output}: {shown}")


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Tells how many texts the model has read: on a terminal a bar, else a line now and then."""
    if sys.stderr.isatty():
        with Progress(
            TextColumn("texts read"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        ) as bar:
            task = bar.add_task("", total=None)
            yield lambda read, total: bar.update(task, completed=read, total=total)
        return
    start = said = time.monotonic()

    def line(read: int, total: int) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= SECONDS_BETWEEN_LINES:
            said = now
            left = timedelta(seconds=round((now - start) / read * (total - read)))
            _say(f"{read:,} of {total:,} texts read, {left} left")

    yield line


def _say(message: str) -> None:
    print(f"stancelib: {message}", file=sys.stderr)
