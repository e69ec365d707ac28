"""The changes of `training.perturb` themselves: that each does what it says and nothing else."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import corpus
from training.perturb import (
    PERTURBATIONS,
    add_time,
    add_typos,
    change_case,
    change_ending,
    change_typography,
    perturb,
    swap_countries,
    swap_names,
    swap_persons,
)

SENTENCES = [row["text"] for row in corpus.load("test")[:250]]
FILLERS = ("troops", "should", "never", "go", "to", "help", "the", "army", "of", "and", "not", "withdraw", "from")
COUNTRIES = ("Germany", "Ukraine", "Mali", "South Korea", "New Zealand", "Japan", "Papua New Guinea", "Kosovo")
PEOPLES = ("Germans", "Ukrainians", "Malians", "Kenyans", "Swedes", "Americans")
CAPITALS = ("Berlin", "Kyiv", "Bamako", "Seoul", "Wellington", "Warsaw", "Port-au-Prince")

seeds = st.integers(0, 2**32)
sentences = st.sampled_from(SENTENCES)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_the_same_seed_gives_the_same_text(name: str):
    texts = SENTENCES[:60]
    first = [perturb(name, text) for text in texts]
    assert first == [perturb(name, text) for text in texts]
    if name != "quotes and dashes":
        assert first != [perturb(name, text, seed=2) for text in texts]


@pytest.mark.parametrize("name", PERTURBATIONS)
@given(text=st.text(), seed=seeds)
def test_any_text_is_borne(name: str, text: str, seed: int):
    changed = PERTURBATIONS[name](text, random.Random(seed))
    assert not text.strip() or changed.strip(" .!?") or not text.strip(" .!?")


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_enough_sentences_are_changed(name: str):
    assert sum(perturb(name, text) != text for text in SENTENCES) >= 50


# --- names


@given(
    words=st.lists(st.sampled_from(FILLERS + COUNTRIES + PEOPLES + CAPITALS), min_size=1, max_size=12),
    seed=seeds,
)
def test_a_swap_keeps_everything_else(words: list[str], seed: int):
    # A comma after each word, so that no two make a name together.
    changed = swap_countries(", ".join(words), random.Random(seed)).split(", ")
    assert len(changed) == len(words)
    partners: dict[str, str] = {}
    for before, after in zip(words, changed, strict=True):
        if before in FILLERS:
            assert after == before
        else:
            assert after != before
            assert partners.setdefault(before, after) == after  # the same one each time
    assert len(set(partners.values())) == len(partners)


def test_country_capital_and_people_go_together():
    text = "Kyiv asked, and most Ukrainians agree, that Ukraine's allies should post a Ukrainian guard in Kyiv."
    for seed in range(20):
        changed = swap_countries(text, random.Random(seed))
        assert not re.search("Ukrain|Kyiv", changed)
        assert (changed.count("Ghana") == 3) == (changed.count("Accra") == 2)
    changed = {swap_countries(text, random.Random(seed)) for seed in range(100)}
    assert (
        "Accra asked, and most Ghanaians agree, that Ghana's allies should post a Ghanaian guard in Accra." in changed
    )
    assert "Rome asked, and most Italians agree, that Italy's allies should post an Italian guard in Rome." in changed


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("Troops for the Netherlands?", r"Troops for [A-Z]\w+\?"),
        ("The Philippines' president spoke.", r"[A-Z]\w+'s? president spoke\."),
        ("An Italian and a German met.", r"An? [A-Z]\w+ and an? [A-Z]\w+ met\."),
        ("The US wants US troops out of the U.S.", r"([A-Z]\w+) wants [A-Z]\w+ troops out of \1\."),
        ("The French and the Poles agree.", r"The [A-Z]\w+ and the [A-Z]\w+ agree\."),
        ("In the Democratic Republic of the Congo", r"In [A-Z]\w+"),
        ("the Anglo-German brigade", r"the Anglo-[A-Z]\w+ brigade"),
    ],
)
def test_articles_and_endings_are_mended(text: str, pattern: str):
    for seed in range(30):
        changed = swap_countries(text, random.Random(seed))
        assert changed != text
        assert re.fullmatch(pattern, changed.replace("Kuala Lumpur", "Oslo").replace("Mexico City", "Oslo")), changed


@pytest.mark.parametrize("text", ["Latin American poets", "The Indian Ocean is warm.", "turkey and china", "Norda"])
def test_what_is_no_country_stays(text: str):
    assert swap_countries(text, random.Random(1)) == text


def test_a_person_keeps_one_name():
    text = "Senator Lena Ruud spoke first. Ruud's staff said that Ms. Ruud, not Mayor Tom Pell, had asked for troops."
    changed = swap_persons(text, random.Random(1))
    match = re.fullmatch(
        r"Senator \w+ (\w+) spoke first\. \1's staff said that Ms\. \1, not Mayor \w+ (\w+), had asked for troops\.",
        changed,
    )
    assert match
    assert not {"Ruud", "Pell"} & set(match.groups())


def test_a_title_may_follow_the_name():
    text = "Aino Laaksonen, the Finnish defence minister, refused."
    assert re.fullmatch(r"\w+ \w+, the Finnish defence minister, refused\.", swap_persons(text, random.Random(1)))
    assert "Laaksonen" not in swap_persons(text, random.Random(1))


@pytest.mark.parametrize(
    "text",
    [
        "The General Assembly met.",
        "As president I'd refuse.",
        "Mr Speaker, I beg to move.",
        "The State Department said no.",
    ],
)
def test_what_is_no_person_stays(text: str):
    assert swap_persons(text, random.Random(1)) == text


@given(text=sentences, seed=seeds)
def test_names_are_all_that_a_swap_changes(text: str, seed: int):
    small = re.compile(r"(?<![\w'’\-])[a-zß-ÿ]{3,}(?![\w'’\-])")  # words without capitals, but articles
    before, after = (small.findall(version) for version in (text, swap_names(text, random.Random(seed))))
    assert [word for word in before if word != "the"] == [word for word in after if word != "the"]


# --- spelling and typography


@given(text=sentences | st.text(), seed=seeds)
def test_typos_change_two_words_at_most(text: str, seed: int):
    before, after = (re.split(r"(\s+)", version) for version in (text, add_typos(text, random.Random(seed))))
    assert len(before) == len(after)
    different = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert len(different) <= 2
    for a, b in different:
        assert a[0] == b[0]
        assert abs(len(a) - len(b)) <= 2  # two letters of one hyphenated word at most


@given(seed=seeds)
def test_typos_spare_the_words_that_carry_the_stance(seed: int):
    text = "Nobody should withdraw, without sending others, what they never refused to deploy."
    changed = add_typos(text, random.Random(seed))
    assert changed != text
    kept = r"Nobody \w+ withdraw, without sending \w+, what they never refused to deploy\."
    assert re.fullmatch(kept, changed)


def test_short_texts_have_no_typos():
    assert add_typos("No to war.", random.Random(1)) == "No to war."


@given(text=sentences, seed=seeds)
def test_case_is_all_that_changes(text: str, seed: int):
    changed = change_case(text, random.Random(seed))
    assert changed in (text.upper(), text.lower())


@given(text=sentences, seed=seeds)
def test_typography_leaves_the_words(text: str, seed: int):
    changed = change_typography(text, random.Random(seed))
    marks = re.compile("[\\s\"'“”‘’«»„–—-]+")
    assert marks.sub(" ", text).strip() == marks.sub(" ", changed).strip()


def test_typography_varies():
    text = "\"We won't go\" - that's what they said."
    changed = {change_typography(text, random.Random(seed)) for seed in range(60)}
    assert "“We won’t go” – that’s what they said." in changed
    assert "«We won’t go»—that’s what they said." in changed
    assert text not in changed


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("They must go.", {"They must go", "They must go.."}),
        ("They must go!", {"They must go", "They must go!!"}),
        ("“They must go.”", {"“They must go”", "“They must go..”"}),
        ("Must they go?", {"Must they go??"}),
        ("They must go", {"They must go"}),
        ("They must go …", {"They must go …"}),
    ],
)
def test_endings(text: str, allowed: set[str]):
    assert {change_ending(text, random.Random(seed)) for seed in range(30)} == allowed


# --- time


def test_a_time_goes_after_the_verb_of_a_report():
    changed = add_time("Oslo said that it would send engineers.", random.Random(1))
    assert re.fullmatch(r"Oslo said (yesterday|on \w+day|last week) that it would send engineers\.", changed)


@pytest.mark.parametrize(
    "text", ["Oslo will send engineers.", "Oslo said on Monday that it would wait.", "She is said to be willing."]
)
def test_else_a_dateline_goes_before(text: str):
    for seed in range(20):
        changed = add_time(text, random.Random(seed))
        assert re.fullmatch(rf"[A-Z]+, [A-Z][a-z]+\.? \d+( \(\w+\))?( [–—-] |: ){re.escape(text)}", changed)
