"""Parts of the data to look at by themselves: by what a column says, and by what any text shows."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, TypeAlias

import numpy as np

from stancelib.data import LabelledData
from stancelib.errors import InputError

Parts: TypeAlias = dict[str, list[int]]
"""Name of a part -> the rows in it."""

MOST = 30  # parts by one column
NOTHING = "(blank)"
_LENGTHS = ((10, "up to 10 words"), (20, "11 to 20 words"), (40, "21 to 40 words"), (math.inf, "over 40 words"))
_NEGATION = re.compile(
    r"\b(?:no|not|never|none|nobody|nothing|nowhere|neither|nor|without|cannot|[a-z]+n['’]t)\b", re.IGNORECASE
)
_QUOTATION = re.compile(r"[“„«»]|\"[^\"]+\"|‘[^‘’\n]+’(?!\w)")
_QUESTION = re.compile(r"[?？]")


def built_in(texts: Sequence[str]) -> dict[str, Parts]:
    """Parts by length in words, and by whether a text negates, quotes or asks; read off the words, in English.

    What does not part the texts is left out.
    """
    lengths = _parts([[next(name for most, name in _LENGTHS if len(text.split()) <= most)] for text in texts])
    found = {
        "length": {name: lengths[name] for _, name in _LENGTHS if name in lengths},
        "negation": _two(texts, _NEGATION, "a negation", "no negation"),
        "quotation": _two(texts, _QUOTATION, "a quotation", "no quotation"),
        "question": _two(texts, _QUESTION, "a question mark", "no question mark"),
    }
    return {by: parts for by, parts in found.items() if len(parts) > 1}


def by_column(data: LabelledData, column: str) -> Parts:
    """Parts by the values of a column.

    A row whose value is a list is in the part of each member. More than 30 different numbers become quarters of equal
    mass; of more than 30 other values, the 29 most frequent are parts, and the rest is one.

    Raises:
        InputError: no row has such a column.
    """
    columns = list(dict.fromkeys(name for cells in data.cells for name in cells))
    if column not in columns:
        raise InputError(f"{data.name} has no column {column!r} to slice by; it has {', '.join(map(repr, columns))}")
    values = [cells.get(column) for cells in data.cells]
    members = [list(dict.fromkeys(map(_name, value if isinstance(value, list) else [value]))) for value in values]
    counts = Counter(name for names in members for name in names)
    if len(counts) > MOST:
        numbers = np.array([_number(value) for value in values])
        if not np.isnan(numbers[[value != [NOTHING] for value in members]]).any():
            return _quarters(numbers)
        kept = {name for name, _ in counts.most_common(MOST - 1)}
        rest = f"({len(counts) - len(kept):,} other values)"
        members = [list(dict.fromkeys(name if name in kept else rest for name in names)) for names in members]
    parts = _parts(members)
    return dict(sorted(parts.items(), key=lambda part: (part[0].startswith("("), -len(part[1]), part[0])))


def _parts(members: Sequence[Sequence[str]]) -> Parts:
    parts: Parts = {}
    for row, names in enumerate(members):
        for name in names:
            parts.setdefault(name, []).append(row)
    return parts


def _two(texts: Sequence[str], pattern: re.Pattern[str], yes: str, no: str) -> Parts:
    found = _parts([[yes if pattern.search(text) else no] for text in texts])
    return {name: found[name] for name in (yes, no) if name in found}


def _quarters(numbers: Any) -> Parts:
    known = numbers[~np.isnan(numbers)]
    edges = np.unique(np.quantile(known, [0, 0.25, 0.5, 0.75, 1], method="inverted_cdf"))
    parts: Parts = {}
    for at, (low, high) in enumerate(itertools.pairwise(edges)):
        inside = (numbers <= high) & ((numbers >= low) if at == 0 else (numbers > low))
        name = f"{low:.10g} to {high:.10g}" if at == 0 else f"over {low:.10g} to {high:.10g}"
        parts[name] = [int(row) for row in np.flatnonzero(inside)]
    blank = np.flatnonzero(np.isnan(numbers))
    return parts | ({NOTHING: [int(row) for row in blank]} if len(blank) else {})


def _name(value: Any) -> str:
    """A value as the name of its part."""
    if value is None or (isinstance(value, Real) and math.isnan(value)):
        return NOTHING
    return " ".join(str(value).split()) or NOTHING


def _number(value: Any) -> float:
    if isinstance(value, (Mapping, list)):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
