"""The folder that `Evaluation.save_report` writes."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from stancelib.errors import FileError
from stancelib.evaluation.sheet import csv_text

if TYPE_CHECKING:
    from stancelib.evaluation.result import Evaluation

PAGE = "evaluation.html"
FILES = (
    PAGE,
    "evaluation.json",
    "figures.csv",
    "errors.csv",
    "tables.tex",
    "confusion.pdf",
    "reliability.pdf",
    "risk_coverage.pdf",
)


def check_folder(folder: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Raise `FileError` if a report can't go to ``folder``, before there is one."""
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise FileError(f"{folder} is a file; name a folder for the report")
    there = [name for name in FILES if (folder / name).exists()]
    if there and not overwrite:
        raise FileError(
            f"{folder} holds a report already ({', '.join(there)}); choose another folder, or pass --overwrite "
            "(overwrite=True)"
        )


def save(evaluation: Evaluation, folder: str | os.PathLike[str], overwrite: bool = False) -> None:
    """See `Evaluation.save_report`. All is made before anything is written; other files in the folder stay."""
    from stancelib.evaluation.plots import draw, pdf

    folder = Path(folder)
    check_folder(folder, overwrite)
    errors = [{"list": "confident errors", **asdict(row)} for row in evaluation.confident_errors]
    errors += [{"list": "likely label errors", **asdict(row)} for row in evaluation.label_errors]
    contents = {
        PAGE: evaluation.to_html().encode("utf-8", "replace"),
        "evaluation.json": evaluation.to_json().encode("utf-8", "replace") + b"\n",
        "figures.csv": evaluation.to_csv().encode("utf-8", "replace"),
        "errors.csv": csv_text(errors).encode("utf-8", "replace"),
        "tables.tex": evaluation.to_latex().encode("utf-8", "replace"),
    }
    contents |= {f"{name}.pdf": pdf(figure) for name, figure in draw(evaluation).items()}
    parts = {name: folder / f"{name}.part" for name in contents}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            parts[name].write_bytes(content)
        for name in FILES:
            if name in contents:
                parts[name].replace(folder / name)
            else:  # of a report that this one replaces
                (folder / name).unlink(missing_ok=True)
    except OSError as error:
        for part in parts.values():
            part.unlink(missing_ok=True)
        raise FileError(f"{folder}: the report cannot be written: {error.strerror or error}") from None
