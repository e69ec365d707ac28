"""From whatever a caller has (a string, a list, an array, a column) to texts that the tokenizer can read."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from stancelib.errors import InputError

# The model reads a few hundred tokens; what lies beyond this many characters can't be among them.
MAX_CHARACTERS = 20_000


def windows(texts: Any, size: int) -> Iterator[list[Any]]:
    """The elements of a collection of texts in order, ``size`` at a time, as lists of Python objects.

    Takes lists, generators, numpy arrays, and pandas, polars or Arrow columns; of arrays and columns, only one window
    at a time is turned into Python objects.

    Raises `InputError` at once for what is no collection of texts: bytes, numbers, mappings, tables, arrays of two
    dimensions.
    """
    kind = type(texts).__name__
    if texts is None or isinstance(texts, (str, bytes, bytearray, int, float)) or getattr(texts, "ndim", 1) == 0:
        raise InputError(f"expected a text or an iterable of texts, got {_describe(texts)}")
    if isinstance(texts, Mapping):
        raise InputError(
            f"expected a text or an iterable of texts, got a {kind}; pass its values or one of its columns"
        )
    if getattr(texts, "ndim", 1) != 1 or hasattr(texts, "columns") or hasattr(texts, "column_names"):
        raise InputError(
            f"expected one column of texts, got a {kind} with several; pass the column that holds the text"
        )
    if not isinstance(texts, Iterable):
        raise InputError(f"expected a text or an iterable of texts, got {_describe(texts)}")
    return _windows(texts, size)


def _windows(texts: Any, size: int) -> Iterator[list[Any]]:
    for method in ("to_pylist", "to_list", "tolist"):  # Arrow; polars and pandas; numpy
        if hasattr(texts, method):
            rows = getattr(texts, "iloc", texts)
            for start in range(0, len(texts), size):
                yield getattr(rows[start : start + size], method)()
            return
    elements = iter(texts)
    while window := list(itertools.islice(elements, size)):
        yield window


def problem(text: Any) -> str | None:
    """Why ``text`` can't be classified, in a few words, or None if it can."""
    if not isinstance(text, str):
        return _describe(text)
    # Stops at the first visible character, so this is cheap.
    if not any(character.isprintable() and not character.isspace() for character in clean(text)):
        return "a blank text"
    return None


def clean(text: str) -> str:
    """``text`` cut to `MAX_CHARACTERS`, with lone surrogates (which UTF-8 does not have) made U+FFFD."""
    text = text.lstrip()[:MAX_CHARACTERS]
    if not text.isascii():
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def overlong(text: str) -> bool:
    """Whether `clean` cuts something off."""
    return len(text) > MAX_CHARACTERS and len(text.strip()) > MAX_CHARACTERS


def _describe(value: Any) -> str:
    kind = type(value).__name__
    if value is None or kind in ("NAType", "NaTType"):
        return f"{value} (a missing text)"
    if isinstance(value, float) and value != value:
        return "nan (a missing text)"
    if isinstance(value, (bytes, bytearray)):
        return "bytes; decode them first: raw.decode('utf-8')"
    article = "an" if kind[0] in "aeiou" else "a"
    if isinstance(value, (list, tuple, set)):
        return f"{article} {kind}; pass a flat list of texts"
    return f"{article} {kind}"
