"""An evaluation as LaTeX tables for a paper."""

from __future__ import annotations

from collections.abc import Sequence

from stancelib.evaluation.result import SMALL, TITLES, Evaluation, Figure
from stancelib.evaluation.terminal import one_line

_SPECIAL = {
    # After the end of a row these two would be its option and its star.
    "[": "{[}",
    "*": "{*}",
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\char34{}",
}


def tables(evaluation: Evaluation) -> str:
    """Three tables, each in its own ``table`` environment, with a caption that says what the figures are of."""
    e = evaluation
    grouped = "" if e.n_groups is None else f" in {e.n_groups:,} groups"
    unit = "rows" if e.n_groups is None else "groups"
    what = f"{escape(e.model)} on {escape(e.data)}, $n = {_count(e.n)}${grouped}"
    how = (
        rf"In brackets, 95\,\% percentile intervals of {_count(e.resamples)} bootstrap resamples of {unit}; "
        "-- where there is none"
    )
    small = rf" $^*$Fewer than {SMALL} rows."
    figures = [[escape(TITLES[name]), *_cells(figure), _count(figure.n)] for name, figure in e.figures.items()]
    labels = [
        [escape(label), *_cells(found["precision"]), *_cells(found["recall"]), *_cells(found["f1"]), _n(found["f1"].n)]
        for label, found in e.per_class.items()
    ]
    slices = [
        [escape(f"{by}: {part.name}"), *_cells(part.accuracy), *_cells(part.macro_f1), _n(part.n)]
        for by, parts in e.slices.items()
        for part in parts
    ]
    precision, recall, f1, accuracy, macro = (
        rf"\multicolumn{{2}}{{l}}{{{name}}}" for name in ("Precision", "Recall", "F1", "Accuracy", "Macro-F1")
    )
    starred = small if any(part.small for parts in e.slices.values() for part in parts) else ""
    few = small if any(found["f1"].n < SMALL for found in e.per_class.values()) else ""
    return (
        "\n\n".join(
            [
                "% needs \\usepackage{booktabs}",
                _table([["", r"\multicolumn{2}{l}{Value}", "$n$"], *figures], f"{what}. {how}.", "figures", 4),
                _table(
                    [["Label", precision, recall, f1, "$n$"], *labels],
                    f"{what}, by label; $n$ is the number of rows that have it.{few}",
                    "labels",
                    8,
                ),
                _table([["Slice", accuracy, macro, "$n$"], *slices], f"{what}, by slice.{starred}", "slices", 6),
            ]
        )
        + "\n"
    )


def escape(text: str) -> str:
    """``text`` as LaTeX sets it, on one line: never a command."""
    return "".join(_SPECIAL.get(character, character) for character in one_line(text))


def _table(rows: Sequence[Sequence[str]], caption: str, name: str, columns: int) -> str:
    body = [" & ".join(row) + r" \\" for row in rows]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{caption}}}",
            rf"\label{{tab:stancelib-{name}}}",
            rf"\begin{{tabular}}{{l{'l' * (columns - 2)}r}}",
            r"\toprule",
            body[0],
            r"\midrule",
            *body[1:],
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _cells(figure: Figure) -> tuple[str, str]:
    value = "--" if figure.value is None else _signed(figure.value)
    if figure.low is None or figure.high is None:
        return value, "--"
    return value, rf"{{\footnotesize[{_signed(figure.low)}, {_signed(figure.high)}]}}"


def _signed(value: float) -> str:
    return f"{value:.3f}" if value >= 0 else f"${value:.3f}$"


def _count(n: int) -> str:
    return f"{n:,}".replace(",", "{,}")


def _n(n: int) -> str:
    return _count(n) + ("$^*$" if n < SMALL else "")
