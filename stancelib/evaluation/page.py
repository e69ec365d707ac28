"""An evaluation as one self-contained page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib.resources import files

import stancelib
from stancelib.evaluation.mistakes import Mistake
from stancelib.evaluation.plots import draw, inline_svg
from stancelib.evaluation.result import SMALL, TITLES, Evaluation, Figure, Slice
from stancelib.html.markup import LOOKS, escape, look, page, plural

TEXT = 600  # characters of a wrong row
LISTED = 25  # rows of a list
GLOSSES = {
    "accuracy": "Share of rows with the right label.",
    "macro_f1": "Mean F1 of the labels, rare ones counting as much as frequent ones.",
    "macro_precision": "Mean over the labels: of the rows that got one, the share that has it.",
    "macro_recall": "Mean over the labels: of the rows that have one, the share that got it.",
    "semeval_f1": "Mean of these two F1, as in SemEval-2016 Task 6 (there of favor and against).",
    "matthews": "Correlation of true and found labels: 1 all right, 0 as by chance.",
    "kappa": "Agreement beyond chance: 1 all, 0 none.",
    "log_loss": "Mean of minus the logarithm of the true label's probability; lower is better.",
    "brier": "Mean squared error of all probabilities of a row, 0 to 2 (Brier 1950); lower is better.",
    "calibration_error": "How far confidence lies from accuracy, over 15 bins of equal mass; lower is better.",
    "aurc": "Mean share of wrong rows over all coverages; lower is better.",
    "selective_accuracy_80": "Accuracy when the least confident fifth is left out.",
}
_BY_LABEL = {"precision": "precision", "recall": "recall", "f1": "F1"}


def evaluation_page(evaluation: Evaluation) -> str:
    """The page: the answer in two sentences, figures, plots, slices, rows to read, and how it was measured.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    e = evaluation
    heading = f"{e.model} on {e.data}"
    body = (
        f'<main class="frame">\n<header><p class="kicker">Evaluation</p>\n<h1>{escape(heading)}</h1>\n'
        f'<p class="standfirst">{_answer(e)}</p>\n</header>\n{_figures(e)}{_labels(e)}{_plots(e)}{_slices(e)}'
        f"{_errors(e)}{_label_errors(e)}{_left_out(e)}"
        f'<footer class="note">{_method(e)}</footer>\n</main>'
    )
    return page(f"{heading} · evaluation", body, (files("stancelib.evaluation") / "report.css").read_text("utf-8"))


def _answer(e: Evaluation) -> str:
    accuracy, macro = e.figures["accuracy"], e.figures["macro_f1"]
    grouped = "" if e.n_groups is None else f" in {plural(e.n_groups, 'group')}"
    return (
        f"Of {plural(e.n, 'row')}{grouped}, {_percent(accuracy.value)} {_within(accuracy, _percent)} got the right "
        f"label. Macro-F1 is {_number(macro.value)} {_within(macro, _number)}."
    )


def _within(figure: Figure, written: Callable[[float], str]) -> str:
    if figure.low is None or figure.high is None:
        return "(no interval)"
    return f"(95&nbsp;% interval {written(figure.low)} to {written(figure.high)})"


def _figures(e: Evaluation) -> str:
    rows = [
        f'<tr><th scope="row">{escape(TITLES[name])}<span class="gloss">{escape(GLOSSES[name])}</span></th>'
        f'{_cells(figure)}<td class="number">{figure.n:,}</td></tr>'
        for name, figure in e.figures.items()
    ]
    noise = [] if e.calibration_noise is None else [_noise(e.calibration_noise)]
    remarks = "".join(f"<li>{escape(note)}.</li>" for note in (*noise, *e.notes))
    remarks = f'<ul class="remarks">{remarks}</ul>' if remarks else ""
    return f"<h2>Figures</h2>\n{_table(('figure', 'value', '95 % interval', 'n'), rows, numbers=(1, 3))}{remarks}\n"


def _noise(noise: float) -> str:
    return f"A calibration error of {noise:.3f} is what chance alone gives to true confidences on rows like these"


def _labels(e: Evaluation) -> str:
    rows = []
    for label, figures in e.per_class.items():
        cells = "".join(_cells(figures[name]) for name in _BY_LABEL)
        counts = "".join(f'<td class="number">{_count(figures[name].n)}</td>' for name in ("recall", "precision"))
        rows.append(f'<tr><th scope="row">{_label(label)}</th>{cells}{counts}</tr>')
    head = ("label", *(cell for name in _BY_LABEL.values() for cell in (name, "95 % interval")), "n true", "n found")
    return f"<h2>By label</h2>\n{_table(head, rows, numbers=(1, 3, 5, 7, 8))}\n"


def _plots(e: Evaluation) -> str:
    captions = {
        "confusion": (
            "Confusion matrix",
            "Rows of each true label by the label found; the darker, the larger the share of the true label.",
        ),
        "reliability": (
            "Reliability",
            f"Each dot is one of {len(e.reliability)} bins of about {e.n // max(1, len(e.reliability)):,} rows. Below "
            "the diagonal the model is surer than it is right. Lines: 95 % intervals.",
        ),
        "risk_coverage": (
            "Risk and coverage",
            f"How often the model is wrong on the rows it is surest of. n = {e.n:,} at full coverage. Band: 95 % "
            "interval.",
        ),
    }
    drawn = []
    for name, figure in draw(e).items():
        title, caption = captions[name]
        svg = inline_svg(figure, name, f"{title}. {caption}")
        drawn.append(f"<figure>{svg}<figcaption><b>{escape(title)}</b>{escape(caption)}</figcaption></figure>")
    return f'<h2>Plots</h2>\n<div class="plots">{"".join(drawn)}</div>\n'


def _slices(e: Evaluation) -> str:
    if not e.slices:
        return ""
    few = any(part.small for parts in e.slices.values() for part in parts)
    star = f" * Fewer than {SMALL} rows: do not rely on it." if few else ""
    rows = []
    for by, parts in e.slices.items():
        rows.append(f'<tr class="by"><th scope="rowgroup" colspan="7">{escape(by)}</th></tr>')
        rows += [_slice(part) for part in parts]
    head = ("slice", "n", "accuracy", "95 % interval", "macro-F1", "95 % interval", "macro-F1 from 0 to 1")
    return (
        f'<h2>Slices</h2>\n<p class="caption">The same figures on parts of the rows.{star}</p>\n'
        f"{_table(head, rows, numbers=(1, 2, 4))}"
    )


def _slice(part: Slice) -> str:
    small = ' class="small"' if part.small else ""
    return (
        f'<tr{small}><th scope="row">{escape(part.name)}</th><td class="number">{_count(part.n)}</td>'
        f'{_cells(part.accuracy)}{_cells(part.macro_f1)}<td class="where">{_line(part.macro_f1)}</td></tr>'
    )


def _line(figure: Figure) -> str:
    """A figure between 0 and 1 and its interval, on a line; the numbers stand beside it."""
    if figure.value is None:
        return ""
    band = ""
    if figure.low is not None and figure.high is not None:
        width = figure.high - figure.low
        band = f'<rect class="interval" x="{figure.low:.2%}" width="{width:.2%}" y="4" height="6"/>'
    return (
        '<svg class="line" width="100%" height="14" aria-hidden="true"><line class="track" x1="0%" x2="100%" y1="7" '
        f'y2="7"/>{band}<circle class="dot" cx="{figure.value:.2%}" cy="7" r="3"/></svg>'
    )


def _errors(e: Evaluation) -> str:
    if not e.confident_errors:
        return f"<h2>Errors</h2>\n<p>None of {plural(e.n, 'row')} is wrong.</p>\n"
    sure = bool(e.reliability)
    title = "The most confident errors" if sure else "Errors"
    what = "The model is surest of these, and the data say otherwise." if sure else "In the order of the data."
    wrong = e.n - int(e.confusion.trace())
    words = f"{what} Of {plural(e.n, 'row')}, {wrong:,} are wrong."
    return f"<h2>{title}</h2>\n<p>{words}</p>\n{_mistakes(e.confident_errors)}"


def _label_errors(e: Evaluation) -> str:
    if not e.label_errors:
        return ""
    return (
        "<h2>Labels to look at again</h2>\n<p>Rows to whose label the model gives the least probability "
        f"({escape(e.label_error_method or '')}). Where the model has learned from these rows, this says nothing.</p>\n"
        f"{_mistakes(e.label_errors)}"
    )


def _mistakes(mistakes: Sequence[Mistake]) -> str:
    rows = []
    for mistake in mistakes[:LISTED]:
        text = mistake.text if len(mistake.text) <= TEXT else mistake.text[: TEXT - 1] + "…"
        rows.append(
            f'<tr><td class="words">{escape(text)}</td><td>{_label(mistake.gold)}{_sure(mistake.self_confidence)}</td>'
            f"<td>{_label(mistake.found)}{_sure(mistake.confidence)}</td>"
            f'<td class="place">{escape(mistake.place)}</td></tr>'
        )
    more = f'<p class="caption">{len(mistakes) - LISTED} more are in errors.csv.</p>' if len(mistakes) > LISTED else ""
    return _table(("text", "label in the data", "label found", "where"), rows, "mistakes") + more


def _sure(probability: float | None) -> str:
    return "" if probability is None else f' <span class="range">{probability:.2f}</span>'


def _left_out(e: Evaluation) -> str:
    if not e.left_out:
        return ""
    items = "".join(f"<li>{escape(place)}: {escape(reason[:TEXT])}</li>" for place, reason in e.left_out[:LISTED])
    more = f"<li>{len(e.left_out) - LISTED:,} more are in evaluation.json.</li>" if len(e.left_out) > LISTED else ""
    count = plural(len(e.left_out), "row")
    return f'<h2>Left out</h2>\n<p>{count} could not be used.</p><ul class="remarks">{items}{more}</ul>\n'


def _method(e: Evaluation) -> str:
    unit = "rows" if e.n_groups is None else f"whole groups ({e.n_groups:,} of them)"
    return (
        f"Intervals are 95&nbsp;% percentile intervals of {e.resamples:,} bootstrap resamples of {unit}, "
        f"seed {e.seed}; – where resampling can't tell, because all rows are right or wrong alike. That of the "
        "calibration error is centred on the figure. Macro figures are of the labels that occur. "
        f"Written by stancelib {escape(stancelib.__version__)}."
    )


def _table(head: Sequence[str], rows: Iterable[str], kind: str = "", numbers: Sequence[int] = ()) -> str:
    names = "".join(
        f'<th scope="col"{" class=number" if at in numbers else ""}>{name}</th>' for at, name in enumerate(head)
    )
    return (
        f'<div class="scroll"><table class="plain {kind}"><thead><tr>{names}</tr></thead>\n'
        f"<tbody>{''.join(rows)}</tbody></table></div>\n"
    )


def _cells(figure: Figure) -> str:
    known = figure.low is not None and figure.high is not None
    interval = f"{_number(figure.low)} to {_number(figure.high)}" if known else "–"
    return f'<td class="number">{_number(figure.value)}</td><td class="range">{interval}</td>'


def _label(label: str) -> str:
    return look(label, escape(label)) if label in LOOKS else escape(label)


def _count(n: int) -> str:
    return f"{n:,}{'*' if n < SMALL else ''}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}".replace("-", "−")


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}".replace("%", "&nbsp;%")
