"""An evaluation as plain text, for terminals and notebooks."""

from __future__ import annotations

from collections.abc import Sequence

from stancelib.evaluation.mistakes import Mistake
from stancelib.evaluation.result import SMALL, TITLES, Evaluation, Figure
from stancelib.html.markup import plural

ERRORS = 5
LEFT_OUT = 5
_TEXT = 90  # characters of a wrong row


def table(evaluation: Evaluation) -> str:
    """Figures, labels, confusion matrix, slices, the surest errors and what a reader must know, in that order."""
    e = evaluation
    grouped = "" if e.n_groups is None else f" in {plural(e.n_groups, 'group')}"
    parts = [f"{one_line(e.model)} on {one_line(e.data)}: {plural(e.n, 'row')}{grouped}"]
    rows = [["", "value", "95 % interval", "n"]]
    for name, figure in e.figures.items():
        rows.append([TITLES[name], *_two(figure), f"{figure.n:,}"])
    parts.append(_grid(rows, "<<<>"))

    rows = [["label", "precision", "", "n got", "recall", "", "F1", "", "n"]]
    for label, figures in e.per_class.items():
        precision, recall, f1 = (figures[name] for name in ("precision", "recall", "f1"))
        counts = [_marked(precision.n), _marked(recall.n)]
        rows.append([one_line(label), *_two(precision), counts[0], *_two(recall), *_two(f1), counts[1]])
    parts.append(_grid(rows, "<<<><<<<>"))

    names = [one_line(label) for label in e.labels]
    rows = [["true \\ found", *names]]
    rows += [[name, *(f"{count:,}" for count in counts)] for name, counts in zip(names, e.confusion, strict=True)]
    parts.append(_grid(rows, "<" + ">" * len(names)))

    rows = [["slice", "n", "accuracy", "", "macro-F1", ""]]
    for by, slices in e.slices.items():
        for part in slices:
            name = f"{one_line(by)}: {one_line(part.name)}"
            rows.append([name, _marked(part.n), *_two(part.accuracy), *_two(part.macro_f1)])
    if e.slices:
        parts.append(_grid(rows, "<><<<<"))

    if e.confident_errors:
        sure = "The most confident errors" if e.figures.get("log_loss") else "Errors"
        parts.append("\n".join([f"{sure}:", *(_line(error) for error in e.confident_errors[:ERRORS])]))
    notes = list(e.notes)
    if e.calibration_noise is not None:
        notes.append(f"A calibration error of {e.calibration_noise:.3f} is what chance alone gives on rows like these")
    if any(row["small"] for row in e.rows()):
        notes.append(f"* fewer than {SMALL} rows: do not rely on it")
    if e.left_out:
        shown = "; ".join(f"{one_line(place)}: {one_line(reason)}" for place, reason in e.left_out[:LEFT_OUT])
        more = f"; {len(e.left_out) - LEFT_OUT:,} more" if len(e.left_out) > LEFT_OUT else ""
        notes.append(f"Left out: {plural(len(e.left_out), 'row')} ({shown}{more})")
    unit = "rows" if e.n_groups is None else "groups"
    notes.append(f"Intervals: {e.resamples:,} bootstrap resamples of {unit}, seed {e.seed}; - where they can't tell")
    parts.append("\n".join(f"{note}." for note in notes))
    return "\n\n".join(parts)


def one_line(text: str) -> str:
    """On one line, without what could steer a terminal."""
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def bounds(figure: Figure) -> str:
    return "-" if figure.low is None or figure.high is None else f"[{figure.low:.3f}, {figure.high:.3f}]"


def _two(figure: Figure) -> tuple[str, str]:
    return number(figure.value), bounds(figure)


def _marked(n: int) -> str:
    return f"{n:,}*" if n < SMALL else f"{n:,} "


def _line(error: Mistake) -> str:
    text = one_line(error.text)
    shown = text if len(text) <= _TEXT else text[: _TEXT - 1] + "…"
    sure = "" if error.confidence is None else f" {error.confidence:.2f}"
    labels = f"{one_line(error.gold)} -> {one_line(error.found)}"
    return f"  {labels}{sure}  {shown}  ({one_line(error.place)})"


def _grid(rows: Sequence[Sequence[str]], align: str) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:{way}{width}}" for cell, way, width in zip(row, align, widths, strict=True)).rstrip()
        for row in rows
    )
