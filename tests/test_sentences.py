"""Sentences: offsets that hold on any text, and where news texts end theirs."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stancelib.sentences import split
from training import documents

ODD = st.sampled_from(
    [
        "\r\n",
        "\n",
        "\n\n",
        "\u2028",
        "\x85",
        "\x0b",
        "\u00a0",
        "\u3000",
        "\ufeff",
        "\ud83d",
        "\ude00",
        "\ud83d\ude00",
        "😀",
    ]
)
WRITTEN = st.sampled_from(
    [
        ". ",
        "A. ",
        "Gen. ",
        "U.S. ",
        "p.m. ",
        "no. ",
        "1. ",
        "- ",
        "… ",
        "“",
        "”",
        '"',
        "‘",
        "(",
        ")",
        "! ",
        "?",
        "The ",
        "e.g. ",
    ]
)
TEXTS = st.lists(st.one_of(ODD, WRITTEN, st.text(st.characters(), max_size=5)), max_size=40).map("".join)


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in split(text)]


@settings(max_examples=300)
@given(TEXTS)
@example("A \ud83d b. C d.")  # a lone surrogate, which sentencex does not take
@example("aA.\u00a0b")  # a blank of two bytes after an initial, at which sentencex panics
@example("J.\u3000B. \ud83d\ude00")
def test_sentences_are_stripped_and_leave_only_blanks_between_them(text: str):
    position = 0
    for start, end in split(text):
        assert start < end
        assert text[position:start].strip() == ""
        assert text[start:end] == text[start:end].strip()
        position = end
    assert text[position:].strip() == ""


@pytest.mark.parametrize("text", ["", " ", "\n\n\u2028\t\r\n"])
def test_a_blank_text_has_none(text: str):
    assert split(text) == []


@pytest.mark.parametrize(
    "parts",
    [
        ["Berlin said no.", "Paris did not."],
        ["Will they go?", "Never!", "Nobody knows."],
        # abbreviations
        ["Gen. Smith left.", "Lt. Col. Dana Prewitt stayed.", "Brig. Gen. Innocent Rukundo spoke."],
        ["Sen. Doe (R-Ky.) and Rep. Roe (D-Calif.) voted.", "So did Gov. Poe."],
        ["U.S. troops went.", "The U.N. Security Council met.", "So did the U.S. Army."],
        ["They came from the U.S.", "They will stay.", "He was in the U.K.", "The army was not."],
        ["No. 5 is the last.", "Resolution No. 2719 passed.", "It met at No. 10 on Oct. 3."],
        ["It began at 5 p.m.", "The vote was at 6 a.m. on Monday.", "It ended at 7 p.m. Friday in St. Louis."],
        ["J. D. Vance went.", "George W. Bush did not.", "He took plan B.", "Then he left."],
        ["Berlin said no.", "“We will not go.”", "Asked twice, Prague said no.", "Warsaw agreed."],
        ["About 3.5 per cent of 1,200 men left.", "It cost $4.2 million."],
        ["See www.example.org for more.", "Write to press@example.org."],
        # ellipses
        ["I waited... and waited.", "Old people ... infants, too.", "He paused … and went on."],
        ["Who knows…", "They do.", "I waited...", "Then he came."],
        # quotations
        ["“Send them. Now,” she said.", "“We can't wait!” he shouted."],
        ["He said: “No. Never.”", "Then he left."],
        ["He asked, “Why?”", "She did not answer."],
        ['"Must we?"', '"Yes," said the general.'],
        ["He called it “a war.”", "The word stuck."],
        ["‘Go home.’", "‘No.’"],
        # no full stop
        ["troops out now"],
        ["and that was it"],
    ],
    ids=lambda parts: parts[0],
)
def test_sentences_of_a_paragraph(parts: list[str]):
    assert sentences(" ".join(parts)) == parts


@pytest.mark.parametrize("gap", ["\n", "\n\n", "\r\n", "\r", "\u2028", "\n   \n"])
def test_headings_lists_and_lines_without_a_full_stop_stand_alone(gap: str):
    parts = [
        "Norda to keep its soldiers at home",
        "ORUN (Agency)",
        "What happens now",
        "• Training goes ahead at Camp Ripley",
        "- the letter is available on request",
        "1. The battalion leaves in May",
        "2) the guns stay",
        "(a) nobody is told",
        "Nobody knows",
        "It was late.",
        "The end",
    ]
    assert sentences(gap.join(parts)) == parts


WRAPPED = [
    "Norda will send another battalion of soldiers to the north of",
    "Sarn, the minister said on",
    "Monday in Orun. She left.",
]


@pytest.mark.parametrize("gap", ["\n", "\r\n", "\r", "\u2028"])
def test_lines_wrapped_by_hand_are_read_as_one(gap: str):
    long = "Norda will send another battalion of soldiers to the far north of"
    assert sentences(gap.join([long, "Sarn, the minister said. She left."])) == [
        f"{long}{gap}Sarn, the minister said.",
        "She left.",
    ]
    # … but not where the first line is too short for that, has ended, or an item of a list follows.
    assert len(sentences(gap.join(["Norda will send another battalion", "Sarn will not"]))) == 2
    assert len(sentences(gap.join([long.removesuffix(" of") + " soon.", "they will go"]))) == 2
    assert len(sentences(gap.join([long, "- a list"]))) == 2


def test_every_line_of_a_wrapped_paragraph_must_be_long():
    lines = ["a" * 70, "b" * 20, "c" * 70]
    assert sentences("\n".join(lines)) == ["a" * 70 + "\n" + "b" * 20, "c" * 70]


def test_long_texts_take_no_longer_than_their_length():
    line = "Norda will send another battalion of soldiers to the far north of\n"
    (whole,) = split(line * 5000)  # 20 s where the time grows with the square
    assert whole == (0, len(line) * 5000 - 1)
    assert len(split("It is so. " * 5000)) == 5000


@pytest.mark.parametrize("name", documents.SPLITS)
def test_nearly_all_gold_sentences_are_found_exactly(name: str):
    gold = [(d, span) for d in documents.load(name) for span in documents.spans(d)]
    found = {d["id"]: set(split(d["text"])) for d, _ in gold}
    assert sum(span in found[d["id"]] for d, span in gold) >= 0.95 * len(gold) > 0
