"""The command ``stancelib evaluate``: how good a model, or anybody's predictions, are on coded texts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from stancelib.evaluation.report import PAGE, check_folder
from stancelib.html.markup import plural


def evaluate(
    data: Annotated[
        Path,
        typer.Argument(help="Coded texts: .csv, .tsv, .jsonl, .parquet or .xlsx.", show_default=False),
    ],
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="A shipped model's name, a checkpoint folder, or a hub id."),
    ] = None,
    prediction_column: Annotated[
        str | None,
        typer.Option(
            "--prediction-column",
            "-p",
            help="Measure the predictions in this column instead of a model, with their probabilities, if there are "
            "columns p_LABEL.",
        ),
    ] = None,
    text_column: Annotated[
        str | None, typer.Option("--text-column", "-c", help="The column of texts. [default: text or sentence]")
    ] = None,
    label_column: Annotated[
        str | None,
        typer.Option("--label-column", "-l", help="The column of true labels. [default: label, stance, code or class]"),
    ] = None,
    group_column: Annotated[
        str | None,
        typer.Option("--group-column", help="Rows alike in this column (speech, author) are resampled as one."),
    ] = None,
    label_map: Annotated[
        str | None,
        typer.Option("--label-map", help="Their labels to ours: favor=support,against=oppose,none=neutral."),
    ] = None,
    slice_by: Annotated[
        list[str] | None,
        typer.Option("--slice-by", "-s", help="Break the figures down by this column; may be given several times."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", "-r", help="Write a page with plots, JSON, CSV, LaTeX and PDF to this folder."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a report that exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, a line a figure.")] = False,
    as_latex: Annotated[bool, typer.Option("--latex", help="Print LaTeX tables (booktabs).")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.", min=0)] = 1,
) -> None:
    """Measure a model, or predictions that are in the file, on texts that were coded by hand.

    **Examples**

    stancelib evaluate coded.csv --group-column speech --slice-by year --report report

    stancelib evaluate coded.csv --model models/mine --latex > table.tex

    stancelib evaluate predicted.csv --label-column gold --prediction-column stance

    Rows that can't be used are left out and named. Every figure has its n and a 95 % bootstrap interval.
    """
    if as_json + as_csv + as_latex > 1:
        raise typer.BadParameter("choose one of --json, --csv and --latex")
    if model is not None and prediction_column is not None:
        raise typer.BadParameter("give --model or --prediction-column, not both")
    if report is not None:
        check_folder(report, overwrite)
    from stancelib.evaluation import evaluate as measure

    with _progress() as progress:
        found = measure(
            model,
            data,
            prediction_column=prediction_column,
            text_column=text_column,
            label_column=label_column,
            group_column=group_column,
            label_map=label_map,
            slice_by=slice_by or (),
            seed=seed,
            progress=progress,
        )
    printed = found.to_json() if as_json else found.to_csv() if as_csv else found.to_latex() if as_latex else str(found)
    print(printed.encode("utf-8", "replace").decode(), end="" if printed.endswith("\n") else "\n")
    sys.stdout.flush()
    if as_json or as_csv or as_latex:
        if found.left_out:
            place, reason = found.left_out[0]
            _say(f"{plural(len(found.left_out), 'row')} left out, the first: {place}: {reason[:200]}")
        for note in found.notes:
            _say(note)
    if report is not None:
        found.save_report(report, overwrite)
        _say(f"{report / PAGE} written")


@contextmanager
def _progress() -> Iterator[Callable[[int], object] | None]:
    """What to call with the number of texts done; shown on standard error, where that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.completed:,} texts"), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda done: progress.update(task, completed=done)


def _say(message: str) -> None:
    print(f"stancelib: {message}", file=sys.stderr)
