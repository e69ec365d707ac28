"""Holders of one sentence: from tag logits to spans with a stance."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stancelib import LABELS, Holder
from stancelib.checkpoint import DEFAULT_MODEL, shipped
from stancelib.holders import TAGS, best_tags, find_holders, mentions, stance_probabilities
from stancelib.tokens import Encoder

O = 0  # noqa: E741
B_SUPPORT, I_SUPPORT, B_OPPOSE, I_OPPOSE, B_NEUTRAL, I_NEUTRAL = range(1, 7)


@pytest.fixture(scope="module")
def encode() -> Encoder:
    return Encoder(Path(shipped()[DEFAULT_MODEL]), 40)


def logits_of(tags: list[int], strength: float = 9.0) -> np.ndarray:
    return np.eye(len(TAGS), dtype=np.float32)[tags] * strength


def is_legal(tags: tuple[int, ...]) -> bool:
    """I-x follows B-x or I-x, and not the author's mark at the start."""
    for place, tag in enumerate(tags):
        if TAGS[tag].startswith("I") and (place < 2 or TAGS[tags[place - 1]][2:] != TAGS[tag][2:]):
            return False
    return True


def test_the_order_of_the_tags():
    assert TAGS == ("O", "B-support", "I-support", "B-oppose", "I-oppose", "B-neutral", "I-neutral")
    row = np.float32([[0.1, 0.2, 0.05, 0.3, 0.05, 0.1, 0.2]])
    assert stance_probabilities(row) == pytest.approx(np.float32([[0.25, 0.35, 0.3]]))


LOGITS = st.integers(1, 4).flatmap(
    lambda length: st.lists(st.integers(-40, 40), min_size=7 * length, max_size=7 * length).map(
        lambda values: np.float32(values).reshape(length, 7) / 8
    )
)


@settings(max_examples=60)
@given(LOGITS)
def test_best_tags_are_legal_and_none_legal_are_better(logits: np.ndarray):
    def score(tags: tuple[int, ...]) -> float:
        return float(sum(logits[place, tag] for place, tag in enumerate(tags)))

    tags = tuple(best_tags(logits))
    assert is_legal(tags)
    every = itertools.product(range(len(TAGS)), repeat=len(logits))
    assert score(tags) == max(score(other) for other in every if is_legal(other))


@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_long_sequences_are_legal(seed: int, length: int):
    logits = np.random.default_rng(seed).normal(0, 3, (length, 7)).astype(np.float32)
    tags = best_tags(logits)
    assert len(tags) == length
    assert is_legal(tuple(tags))


def test_a_span_keeps_one_stance():
    logits = logits_of([O, B_SUPPORT, I_OPPOSE, O])
    logits[2, I_SUPPORT] = 8.5
    assert best_tags(logits) == [O, B_SUPPORT, I_SUPPORT, O]


TEXTS = st.lists(
    st.one_of(
        st.sampled_from(
            ["Berlin", "the German government", " ", "\n", "U.S.", "’s", "\ud83d", "😀", "\u00a0", "-", "é"]
        ),
        st.text(st.characters(), max_size=6),
    ),
    min_size=1,
    max_size=12,
).map("".join)


@settings(max_examples=200)
@given(TEXTS, st.integers(0, 2**32 - 1))
def test_holders_lie_in_the_text_and_apart(encode: Encoder, text: str, seed: int):
    offsets = encode([text])[0].offsets
    logits = np.random.default_rng(seed).normal(0, 3, (len(offsets), 7)).astype(np.float32)
    found = find_holders(text, offsets, logits)
    named = [holder for holder in found if not holder.is_author]
    assert len(found) - len(named) <= 1
    assert found[: len(found) - len(named)] == tuple(holder for holder in found if holder.is_author)
    position = 0
    for holder in named:
        assert position <= holder.start < holder.end
        assert text[holder.start : holder.end] == holder.text == holder.text.strip()
        assert 0 < holder.confidence <= 1
        position = holder.end


def find(encode: Encoder, text: str, words: dict[str, tuple[int, int]], author: int = O) -> tuple[Holder, ...]:
    """Holders where the tokens inside of each of ``words`` get its B tag and then its I tag."""
    (encoded,) = encode([text])
    tags = [O] * len(encoded.ids)
    tags[0] = author
    for word, (first, rest) in words.items():
        low = text.index(word)
        inside = [i for i, (a, b) in enumerate(encoded.offsets) if low <= a < b <= low + len(word)]
        for place in inside:
            tags[place] = first if place == inside[0] else rest
    return find_holders(text, encoded.offsets, logits_of(tags))


def test_holders_with_their_stances_in_order(encode: Encoder):
    text = "Paris would go, Berlin refuses, and the small Baltic states can't decide."
    found = find(
        encode,
        text,
        {
            "the small Baltic states": (B_NEUTRAL, I_NEUTRAL),
            "Paris": (B_SUPPORT, I_SUPPORT),
            "Berlin": (B_OPPOSE, I_OPPOSE),
        },
    )
    assert [(holder.text, holder.stance) for holder in found] == [
        ("Paris", "support"),
        ("Berlin", "oppose"),
        ("the small Baltic states", "neutral"),
    ]
    assert all(text[holder.start : holder.end] == holder.text for holder in found)


def test_the_mark_at_the_start_stands_for_the_author(encode: Encoder):
    (author, berlin) = find(encode, "Berlin is right to refuse.", {"Berlin": (B_OPPOSE, I_OPPOSE)}, author=B_OPPOSE)
    assert (author.text, author.stance, author.start, author.end, author.is_author) == ("", "oppose", 0, 0, True)
    assert (berlin.text, berlin.is_author) == ("Berlin", False)
    assert str(author) == "(author)  oppose  1.00"
    # What follows the mark does not continue it.
    assert [holder.is_author for holder in find(encode, "Send them.", {"Send": (I_SUPPORT, I_SUPPORT)}, B_SUPPORT)] == [
        True
    ]


def test_nobody(encode: Encoder):
    assert find(encode, "It rained in Berlin.", {}) == ()


def test_spans_grow_to_whole_words():
    cut = find_holders(
        "Pro-Ukrainians agree", [(0, 0), (5, 8), (9, 12), (0, 0)], logits_of([O, B_SUPPORT, I_SUPPORT, O])
    )
    assert [holder.text for holder in cut] == ["Ukrainians"]
    # An apostrophe may stand within a name.
    for first, last in ((0, 1), (0, 2), (1, 2), (2, 9)):
        cut = find_holders("N'Djamena refuses", [(0, 0), (first, last), (0, 0)], logits_of([O, B_OPPOSE, O]))
        assert [holder.text for holder in cut] == ["N'Djamena"]
    # Two spans in one word are one, the first.
    twice = find_holders("Ukrainians", [(0, 0), (0, 4), (4, 10), (0, 0)], logits_of([O, B_SUPPORT, B_OPPOSE, O]))
    assert [(holder.text, holder.stance) for holder in twice] == [("Ukrainians", "support")]


def test_the_mark_at_the_end_is_no_part_of_a_span():
    offsets = [(0, 0), (0, 2), (3, 9), (0, 0)]
    (holder,) = find_holders("By Berlin", offsets, logits_of([O, O, B_OPPOSE, I_OPPOSE]))
    assert (holder.text, holder.start, holder.end) == ("Berlin", 3, 9)
    assert find_holders("By Berlin", offsets, logits_of([O, O, O, B_OPPOSE])) == ()


def test_confidence_is_the_mean_probability_of_the_stance():
    probabilities = np.float32(
        [
            [0.94, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01],
            [0.2, 0.05, 0.05, 0.5, 0.1, 0.05, 0.05],
            [0.2, 0.1, 0.1, 0.1, 0.3, 0.1, 0.1],
            [0.94, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01],
        ]
    )
    (holder,) = find_holders("New Zealand", [(0, 0), (0, 3), (4, 11), (0, 0)], np.log(probabilities))
    assert (holder.text, holder.stance) == ("New Zealand", "oppose")
    assert holder.confidence == pytest.approx((0.6 + 0.4) / 2)


class TestMentions:
    def test_whole_words_in_any_case(self):
        text = "The US told us: Russia and the U.S. differ.\nThe  us of 1940."
        assert [text[a:b] for a, b in mentions(text, "US")] == ["US", "us", "us"]
        assert [text[a:b] for a, b in mentions(text, "US", any_case=False)] == ["US"]
        assert [text[a:b] for a, b in mentions(text, "U.S.")] == ["U.S."]
        assert [text[a:b] for a, b in mentions(text, "the us")] == ["The US", "The  us"]
        assert mentions(text, "USA") == []

    def test_an_empty_name_is_the_author(self):
        assert mentions("Berlin refuses.", "") == mentions("Berlin refuses.", " ") == [(0, 0)]

    @given(st.text(max_size=8), st.text(min_size=1, max_size=5).filter(str.strip), st.text(max_size=8))
    def test_a_name_between_other_words_is_found(self, before: str, name: str, after: str):
        text = f"{before} {name} {after}"
        found = mentions(text, name)
        assert any(text[a:b].split() == name.split() for a, b in found)
        assert all(text[a:b].split() == name.split() for a, b in mentions(text, name, any_case=False))


def test_labels_are_those_of_the_tags():
    assert [tag[2:] for tag in TAGS[1::2]] == list(LABELS)


def test_an_article_alone_names_nobody(encode: Encoder):
    text = "The king refuses."
    (item,) = encode([text])
    for tags, names in (([O, B_OPPOSE, O], []), ([O, B_OPPOSE, I_OPPOSE], ["The king"])):
        tags = tags + [O] * (len(item.ids) - len(tags))
        assert [holder.text for holder in find_holders(text, item.offsets, logits_of(tags))] == names


def test_what_parts_a_name_from_its_noun_is_no_part_of_it(encode: Encoder):
    text = "The weekly's answer was yes."
    (item,) = encode([text])
    last = next(index for index, (_, end) in enumerate(item.offsets) if end == text.index("'") + 1)
    tags = [O, B_OPPOSE] + [I_OPPOSE] * (last - 1)
    tags += [O] * (len(item.ids) - len(tags))
    assert [holder.text for holder in find_holders(text, item.offsets, logits_of(tags))] == ["The weekly"]
