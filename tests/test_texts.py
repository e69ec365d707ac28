"""From what callers have to texts."""

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stancelib import InputError
from stancelib.texts import MAX_CHARACTERS, clean, overlong, problem, windows

TEXTS = ["Send them.", "Bring them home."]


@pytest.mark.parametrize(
    "column",
    [
        TEXTS,
        tuple(TEXTS),
        (text for text in TEXTS),
        dict.fromkeys(TEXTS).keys(),
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        pd.Series(TEXTS, index=[7, 3]),
        pd.Series(TEXTS, dtype="category"),
        pd.Index(TEXTS),
        pa.array(TEXTS),
        pa.chunked_array([TEXTS[:1], TEXTS[1:]]),
        datasets.Dataset.from_dict({"text": TEXTS})["text"],
    ],
    ids=lambda column: type(column).__name__,
)
def test_any_column_of_texts_is_read(column):
    assert list(windows(column, 1)) == [TEXTS[:1], TEXTS[1:]]


@pytest.mark.parametrize(
    "value",
    [
        None,
        3,
        2.5,
        np.int64(3),
        np.array("text"),
        b"Send them.",
        {"text": TEXTS},
        pd.DataFrame({"text": TEXTS}),
        pa.table({"text": TEXTS}),
        datasets.Dataset.from_dict({"text": TEXTS}),
        np.array([TEXTS, TEXTS]),
        object(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_column_is_refused_with_advice(value):
    with pytest.raises(InputError, match="expected"):
        windows(value, 10)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "missing"),
        (float("nan"), "missing"),
        (pd.NA, "missing"),
        (7, "an int"),
        (b"x", "decode"),
        (["x"], "flat list"),
        ("", "blank"),
        (" \n\t ", "blank"),
        ("\u200b\u200b", "blank"),
        ("\x00\x07", "blank"),
    ],
)
def test_problem_says_what_is_wrong(value, said):
    assert said in problem(value)


def test_visible_texts_have_no_problem():
    for text in ("x", "🙂", "سلام", "\ud83d", "  a", "\x00a"):
        assert problem(text) is None


@given(st.text(st.characters(codec=None), max_size=50))
def test_clean_is_utf8_and_keeps_what_is_visible(text):
    cleaned = clean(text)
    cleaned.encode("utf-8")
    if text.isascii():
        assert cleaned == text.lstrip()


def test_surrogate_pairs_are_joined():
    assert clean("\ud83d\ude00") == "😀"


def test_overlong_counts_what_is_cut_off():
    assert overlong("a" * (MAX_CHARACTERS + 1))
    assert not overlong("a" * MAX_CHARACTERS)
    assert not overlong("a" + " " * MAX_CHARACTERS)
