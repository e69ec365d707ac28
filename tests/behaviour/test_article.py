"""The sample article of `make run`, read whole: who holds what in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stancelib import Document, StanceClassifier
from stancelib.document import HolderStance

ARTICLE = Path(__file__).resolve().parents[2] / "seeds" / "texts" / "red-lines.txt"

# Both are told in the README; a model that mends one makes its test fail, so that the mark goes.
WRONG = pytest.mark.xfail(strict=True, reason="known error of the model, told in the README")


@pytest.fixture(scope="module")
def document(clf: StanceClassifier) -> Document:
    return clf.analyze(ARTICLE.read_text(encoding="utf-8"))


def named(document: Document, name: str) -> list[HolderStance]:
    """The holders whose name, or one of the mentions that they are named by, has the words of ``name``."""
    pattern = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.IGNORECASE)
    return [
        holder for holder in document.holders if any(pattern.search(words) for words in (holder.name, *holder.aliases))
    ]


@pytest.mark.parametrize(
    ("name", "stance"),
    [
        pytest.param("Gabrielius Landsbergis", "support", marks=WRONG),
        ("Petr Pavel", "support"),
        ("Germany", "oppose"),
        ("Poland", "oppose"),
        ("Sweden", "oppose"),
        ("Spain", "oppose"),
        ("Italy", "oppose"),
        ("Czech government", "oppose"),
    ],
)
def test_positions_that_are_told(document: Document, name: str, stance: str):
    assert [holder.stance for holder in named(document, name)] == [stance], f"\n{document}"


@pytest.mark.parametrize("name", ["Macron", pytest.param("Anušauskas", marks=WRONG)])
def test_no_position_is_given_to_those_who_take_none(document: Document, name: str):
    assert all(holder.stance == "neutral" for holder in named(document, name)), f"\n{document}"


def test_the_president_is_not_his_government(document: Document):
    (president,), (government,) = named(document, "Petr Pavel"), named(document, "Czech government")
    assert president is not government
    assert president.country == "Czech Republic"
    assert president.title is not None


def test_evidence_stands_where_it_says(document: Document):
    for holder in document.holders:
        for evidence in holder.evidence:
            assert document.text[evidence.start : evidence.end] == evidence.mention
            assert evidence.mention in evidence.text
            assert document.sentences[evidence.sentence].text == evidence.text
