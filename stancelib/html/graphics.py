"""Small graphics as inline SVG, sized in percent across and in pixels down, so that they fit any width.

Colours come from the style sheet, by the classes of the stances. No text from documents gets in here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stancelib.document import Balance, Sentence, Stance
from stancelib.html.markup import LOOKS, level, signed

SHARES = 1 / 3  # what a guess among three labels is worth: no bar


def meter(confidence: float) -> str:
    """A hairline filled up to ``confidence``; the figure itself stands beside it."""
    return (
        '<svg class="meter" width="44" height="3" aria-hidden="true"><rect class="rest" width="100%" height="3"/>'
        f'<rect class="fill" width="{_percent(confidence)}" height="3"/></svg>'
    )


def scale(balance: Balance) -> str:
    """The balance as a dot between "all oppose", left, and "all support", with its interval; ``""`` if it has none."""
    if balance.score is None or balance.low is None or balance.high is None:
        return ""
    low, score, high = ((value + 1) / 2 for value in (balance.low, balance.score, balance.high))
    words = f"Balance {signed(balance.score)}, 95 % interval {signed(balance.low)} to {signed(balance.high)}"
    ticks = "".join(f'<line class="tick" x1="{x}%" x2="{x}%" y1="5" y2="17"/>' for x in (0, 50, 100))
    return (
        f'<svg class="scale" height="22" role="img" aria-label="{words}; −1: all oppose, +1: all support">'
        '<line class="oppose half" x1="0%" x2="50%" y1="11" y2="11"/>'
        f'<line class="support half" x1="50%" x2="100%" y1="11" y2="11"/>{ticks}'
        f'<rect class="interval" x="{_percent(low)}" width="{_percent(high - low)}" y="7" height="8" rx="4"/>'
        f'<circle class="dot" cx="{_percent(score)}" cy="11" r="5"/></svg>'
    )


def ribbon(sentences: Sequence[Sentence], prefix: str) -> str:
    """The text as a row of bars, one a sentence: up supports, down opposes, the longer the surer.

    A bar leads to its sentence. That is for the mouse alone: the stance map has the same links for the keyboard.
    """
    bars = []
    for index, sentence in enumerate(sentences):
        label, confidence = sentence.prediction.label, sentence.prediction.confidence
        x, width = 100 * index / len(sentences), 100 / len(sentences)
        height = 4 + 20 * max(0.0, (confidence - SHARES) / (1 - SHARES))
        y = {"support": 26 - height, "oppose": 26}.get(label or "", 25)
        height = height if label in ("support", "oppose") else 2
        bars.append(
            f'<a href="#{prefix}s{index + 1}" tabindex="-1"><rect class="hit" x="{x:.3f}%" width="{width:.3f}%" '
            f'height="52"/><rect class="{label or "unsure"}" x="{x + width / 10:.3f}%" width="{width * 0.8:.3f}%" '
            f'y="{y:.1f}" height="{height:.1f}"/></a>'
        )
    return f'<svg class="ribbon" width="{18 * len(sentences)}" height="52" aria-hidden="true">{"".join(bars)}</svg>'


def shares(counts: Mapping[Stance, int]) -> str:
    """One bar cut into the shares of the stances; a caption must give the figures."""
    total, x, parts = sum(counts.values()), 0.0, []
    for stance in LOOKS:
        width = 100 * counts[stance] / total if total else 0.0
        parts.append(f'<rect class="{stance}" x="{x:.3f}%" width="{width:.3f}%" height="14"/>')
        x += width
    return f'<svg class="shares" height="14" aria-hidden="true">{"".join(parts)}</svg>'


@dataclass(frozen=True, slots=True)
class Column:
    """What happened in one period: its place on the axis, from 0, its name, and how many take each stance."""

    place: int
    name: str
    counts: Mapping[Stance, int]


def timeline(columns: Sequence[Column], length: int, ticks: Sequence[tuple[int, str]]) -> str:
    """Support upwards and opposition downwards from one axis, the undecided and mixed below, all to one scale.

    Args:
        columns: periods with any counts.
        length: how many periods the axis has.
        ticks: place and name of the periods to name on it.
    """
    most = {stance: max(column.counts[stance] for column in columns) for stance in LOOKS}
    other = max(column.counts["neutral"] + column.counts["mixed"] for column in columns)
    unit = min(26.0, 190 / max(1, most["support"] + most["oppose"] + other))
    axis = 16 + most["support"] * unit
    floor = axis + most["oppose"] * unit + (28 + other * unit if other else 14)
    numbered = length <= 16
    parts = [
        f'<line class="axis" x1="0%" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>'
        for y in ((axis, floor) if other else (axis,))
    ]
    for column in columns:
        undecided, mixed = column.counts["neutral"] * unit, column.counts["mixed"] * unit
        up, down = column.counts["support"] * unit, column.counts["oppose"] * unit
        x, width = 100 * (column.place + 0.1) / length, 80 / length
        middle = x + width / 2
        drawn: tuple[tuple[Stance, float, float], ...] = (
            ("support", axis - up, up),
            ("oppose", axis, down),
            ("neutral", floor - undecided, undecided),
            ("mixed", floor - undecided - mixed, mixed),
        )
        for stance, y, height in drawn:
            if height:
                parts.append(
                    f'<rect class="{stance}" x="{x:.3f}%" width="{width:.3f}%" y="{y:.1f}" height="{height:.1f}"/>'
                )
        for count, largest, y in (
            (column.counts["support"], most["support"], axis - up - 4),
            (column.counts["oppose"], most["oppose"], axis + down + 12),
            (column.counts["neutral"] + column.counts["mixed"], other, floor - undecided - mixed - 4),
        ):
            # Where there is no room for all figures, the largest bars give the scale.
            if count and (numbered or count == largest):
                parts.append(f'<text x="{middle:.3f}%" y="{y:.1f}" text-anchor="middle">{count}</text>')
    for place, name in ticks:
        at = 100 * (place + 0.5) / length
        anchor = "middle" if length <= 6 or 12 < at < 88 else "start" if at <= 12 else "end"
        at = {"start": 100 * (place + 0.1) / length, "end": 100 * (place + 0.9) / length}.get(anchor, at)
        parts.append(f'<text x="{at:.3f}%" y="{floor + 16:.1f}" text-anchor="{anchor}">{name}</text>')
    names: list[tuple[Stance, float]] = [("support", axis - 6), ("oppose", axis + 14)]
    names += [("neutral", floor - 18), ("mixed", floor - 4)] if other else []
    keys = "".join(
        f'<text class="{stance}" y="{y:.1f}">{LOOKS[stance].mark} {LOOKS[stance].noun.lower()}</text>'
        for stance, y in names
    )
    size = f'height="{floor + 22:.0f}"'
    return (
        f'<div class="timeline" aria-hidden="true"><svg width="92" {size}>{keys}</svg>'
        f'<svg class="bars" {size}>{"".join(parts)}</svg></div>'
    )


def swatches() -> str:
    """The four steps of confidence, for the legend."""
    steps = "".join(f'<span class="swatch support {level(c)}"></span>' for c in (0.5, 0.6, 0.75, 0.9))
    return f'<span class="swatches" aria-hidden="true">{steps}</span>'


def _percent(share: float) -> str:
    return f"{100 * min(1.0, max(0.0, share)):.2f}%"
