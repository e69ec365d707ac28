"""The three plots: confusion matrix, reliability, risk and coverage; as matplotlib figures, PDF and inline SVG.

They are drawn in the light colours of the pages. In inline SVG these become the variables of the page's style sheet, so
that plots follow light and dark.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

import numpy as np

from stancelib.errors import MissingExtraError
from stancelib.evaluation.result import Evaluation
from stancelib.html.markup import clean

INK, SOFT, RULE, PAPER, HUE = "#1c1b19", "#5d5a55", "#d8d4cc", "#fdfcfa", "#0a6583"
_VARIABLES = {INK: "--ink", SOFT: "--soft", RULE: "--rule", PAPER: "--paper", HUE: "--for"}
_SIZE = 4.0  # inches
_NUMBERED = 12  # labels up to which the cells of the matrix have room for counts
_LABEL = 24  # characters of a label


def confusion(evaluation: Evaluation) -> Any:
    """Counts of true labels (down) and found ones (across); the darker, the larger the share of the true label."""
    counts = evaluation.confusion
    names = [_short(label) for label in evaluation.labels]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    k = len(names)
    longest = max(map(len, names))
    slanted = longest * k > 36
    # Room for the numbers in the cells, and for the names beside and below them.
    figure, axes = _axes(max(_SIZE, (0.58 if k <= _NUMBERED else 0.32) * k + 0.08 * longest + 0.7))
    for (down, across), count in np.ndenumerate(counts):
        axes.add_patch(_patch(across, down, float(shares[down, across])))
        if k <= _NUMBERED:
            share = f"\n{shares[down, across]:.0%}" if counts[down].any() and k <= 6 else ""
            axes.text(across + 0.5, down + 0.5, f"{count:,}{share}", ha="center", va="center", color=INK)
    axes.set(xlim=(0, k), ylim=(k, 0), xlabel="found", ylabel="true", aspect="equal")
    turned: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    axes.set_xticks(np.arange(k) + 0.5, names, **turned)
    axes.set_yticks(np.arange(k) + 0.5, names)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def reliability(evaluation: Evaluation) -> Any:
    """Accuracy of rows of like confidence, with its interval; on the diagonal, confidence is true."""
    figure, axes = _axes()
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle=(0, (4, 3)))
    sure = [part.confidence for part in evaluation.reliability]
    share = [part.accuracy.value for part in evaluation.reliability]
    for level, part in zip(sure, evaluation.reliability, strict=True):
        if part.accuracy.low is not None and part.accuracy.high is not None:
            axes.plot([level, level], [part.accuracy.low, part.accuracy.high], color=HUE, linewidth=1.5)
    axes.plot(sure, share, color=HUE, marker="o", markersize=5, linewidth=0)
    low = min(sure[0], 0.5)
    axes.set(xlim=(low - 0.02, 1.01), ylim=(-0.02, 1.03), xlabel="confidence", ylabel="accuracy")
    return figure


def risk_coverage(evaluation: Evaluation) -> Any:
    """Share of wrong rows among the most confident ones, by how many of them are kept, with its interval."""
    figure, axes = _axes()
    coverage = [point.coverage for point in evaluation.risk_coverage]
    risk = [point.risk for point in evaluation.risk_coverage]
    low, high = (
        np.array([f.value if f.low is None else getattr(f, side) for f in risk], dtype=np.float64)
        for side in ("low", "high")
    )
    axes.fill_between(coverage, low, high, color=HUE, alpha=0.2, linewidth=0)
    axes.plot(coverage, [figure.value for figure in risk], color=HUE, linewidth=1.8)
    # The first few rows alone may be all wrong: the scale is that of the rest.
    settled = high[np.array(coverage) >= 0.1]
    axes.set(xlim=(0, 1.01), ylim=(0, min(1.0, 1.15 * float(settled.max()) + 0.02)))
    axes.set(xlabel="coverage: share of rows kept", ylabel="risk: share of those that is wrong")
    return figure


PLOTS: dict[str, Callable[[Evaluation], Any]] = {
    "confusion": confusion,
    "reliability": reliability,
    "risk_coverage": risk_coverage,
}


def draw(evaluation: Evaluation) -> dict[str, Any]:
    """Name -> matplotlib figure of the plots that the evaluation has figures for.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    with _style():
        names = [name for name in PLOTS if name == "confusion" or evaluation.reliability]
        return {name: PLOTS[name](evaluation) for name in names}


def pdf(figure: Any) -> bytes:
    """A plot as PDF, the same bytes for the same figures."""
    stream = io.BytesIO()
    with _style():
        figure.savefig(stream, format="pdf", metadata={"CreationDate": None, "Producer": None, "Creator": None})
    return stream.getvalue()


def inline_svg(figure: Any, name: str, description: str) -> str:
    """A plot as SVG to stand in a page of `stancelib.html.markup`, whose policy lets no style attribute through.

    Args:
        name: before the ids in it, which are unique in a page.
        description: plain text for those who do not see it.
    """
    stream = io.BytesIO()
    with _style(name):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = ElementTree.fromstring(stream.getvalue())
    width = float(svg.get("viewBox", "0 0 288 288").split()[2])
    ids: dict[str, str] = {}
    for element in svg.iter():
        if "id" in element.attrib:
            ids[element.attrib["id"]] = element.attrib["id"] = f"{name}-{element.attrib['id']}"
    for parent in svg.iter():
        for child in list(parent):
            if _local(child.tag) in ("metadata", "style"):
                parent.remove(child)
        parent.tag = _local(parent.tag)
        parent.attrib = dict(_attributes(parent.attrib, name))
    svg.attrib = {"viewBox": svg.get("viewBox", ""), "class": "plot", "width": f"{width:.0f}", "role": "img"}
    svg.set("aria-label", description)
    return ElementTree.tostring(svg, encoding="unicode")


def _attributes(attributes: dict[str, str], name: str) -> Iterator[tuple[str, str]]:
    """Attributes of an element with styles as attributes of their own, and colours as variables."""
    for key, value in attributes.items():
        local = _local(key)
        if local == "style":
            for part in value.split(";"):
                prop, _, setting = part.partition(":")
                # Fonts come from the page.
                if setting and not prop.strip().startswith("font"):
                    yield prop.strip(), _in_page(setting.strip(), name)
        elif local == "href":
            yield "href", value.replace("#", f"#{name}-")
        else:
            yield local, _in_page(value, name)


def _in_page(value: str, name: str) -> str:
    if value.lower() in _VARIABLES:
        return f"var({_VARIABLES[value.lower()]})"
    return value.replace("url(#", f"url(#{name}-")


def _local(name: str) -> str:
    return name.rsplit("}", 1)[-1]


def _axes(size: float = _SIZE) -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("The report's plots", "matplotlib", "eval") from None
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _patch(across: int, down: int, share: float) -> Any:
    from matplotlib.patches import Rectangle

    # Not darker than what ink can still be read on.
    return Rectangle((across + 0.02, down + 0.02), 0.96, 0.96, facecolor=HUE, alpha=0.04 + 0.41 * share, linewidth=0)


@contextmanager
def _style(salt: str = "stancelib") -> Iterator[None]:
    try:
        from matplotlib import rc_context
    except ImportError:
        raise MissingExtraError("The report's plots", "matplotlib", "eval") from None
    colours: dict[Any, Any] = {
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": SOFT,
        "xtick.color": SOFT,
        "ytick.color": SOFT,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
    }
    with rc_context(
        {
            **colours,
            "font.size": 10,
            "text.parse_math": False,  # labels are anybody's
            "svg.fonttype": "none",
            "svg.hashsalt": salt,
            "pdf.fonttype": 42,
        }
    ):
        yield


def _short(label: str) -> str:
    text = " ".join(clean(label).split())
    return text if len(text) <= _LABEL else text[: _LABEL - 1] + "…"
