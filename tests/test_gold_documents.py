"""The gold documents, how holders are measured on them, and what the token head learns from."""

import copy
from typing import Any

import numpy as np
import pytest
from by_hand import prediction, read, read_gold
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from stancelib import Holder
from stancelib.checkpoint import DEFAULT_MODEL, shipped
from stancelib.holders import TAGS, find_holders
from training import documents
from training.corpus import CorpusError
from training.evaluate_holders import document_scores, f1_with_interval, span_scores
from training.holders import IGNORED, tag_tokens


class TestGold:
    def test_all_documents_pass(self, capsys: pytest.CaptureFixture[str]):
        assert documents.main() == 0
        out = capsys.readouterr().out
        assert [line.split()[0] for line in out.splitlines()] == ["development", "test"]

    def test_at_least_as_many_as_were_asked_for(self):
        found = documents.load()
        assert len(found) >= 25
        assert len({document["id"] for document in found}) == len(found)
        assert all(10 <= len(document["sentences"]) <= 30 for document in found)

    def test_splits_by_number(self):
        parts = {name: {document["id"] for document in documents.load(name)} for name in documents.SPLITS}
        assert not parts["development"] & parts["test"]
        assert parts["development"] | parts["test"] == {document["id"] for document in documents.load()}
        assert all(int(name[1:3]) % 2 for name in parts["development"])

    def test_spans_are_the_sentences_in_order(self):
        document = {
            "id": "d01-x",
            "text": "No. Yes.\n\nNo.",
            "sentences": [{"text": t} for t in ("No.", "Yes.", "No.")],
        }
        assert documents.spans(document) == [(0, 3), (4, 8), (10, 13)]


def planted(**changes: Any) -> dict[str, Any]:
    document = {
        "id": "d01-norda",
        "text": "Berlin said no.\n\nIt rained.",
        "sentences": [
            {
                "text": "Berlin said no.",
                "label": "oppose",
                "holders": [{"name": "Berlin", "stance": "oppose", "refers_to": "Germany"}],
            },
            {"text": "It rained.", "label": "neutral", "holders": []},
        ],
        "holders": [{"name": "Germany", "aliases": ["Berlin"], "stance": "oppose"}],
    }
    documents.check(document)
    for path, value in changes.items():
        place: Any = document
        *way, last = [int(part) if part.isdigit() else part for part in path.split("__")]
        for part in way:
            place = place[part]
        place[last] = copy.deepcopy(value)
    return document


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"text": "Berlin said no.\n\nIt rained. Twice."}, "no sentence covers 'Twice.'"),
        ({"sentences__1__text": "It snowed."}, "not in the text, or out of order: 'It snowed.'"),
        ({"text": "It rained. Berlin said no."}, "not in the text, or out of order: 'It rained.'"),
        ({"sentences__0__label": "opposed"}, "label 'opposed'"),
        ({"sentences__0__holders__0__name": "Paris"}, "does not fit 'Berlin said no.'"),
        ({"sentences__0__holders__0__stance": "mixed"}, "does not fit"),
        ({"sentences__0__holders__0__refers_to": "France"}, "'France' is no holder of the document"),
        ({"holders__0__stance": "against"}, "stance 'against' of 'Germany'"),
        ({"holders__0__aliases": ["Berlin", "Bonn"]}, r"not in the text: \['Bonn'\]"),
        ({"holders": [{"name": "Germany", "aliases": [], "stance": "oppose"}] * 2}, "two holders of one name"),
    ],
)
def test_planted_errors_are_found(changes: dict[str, Any], said: str):
    with pytest.raises(CorpusError, match=rf"d01-norda: .*{said}"):
        documents.check(planted(**changes))


def test_an_author_is_no_holder_of_the_document():
    documents.check(planted(sentences__1__holders=[{"name": "", "stance": "oppose", "refers_to": ""}]))


class TestFigures:
    def test_counts_to_f1(self):
        scores = f1_with_interval([(1, 2, 1), (0, 1, 2), (2, 2, 2)])
        assert (scores["precision"], scores["recall"], scores["n"]) == (3 / 5, 3 / 5, 5)
        assert scores["f1"] == pytest.approx(3 / 5)
        low, high = scores["f1_interval"]
        assert 0 <= low < scores["f1"] < high <= 1
        assert f1_with_interval([(2, 2, 2)] * 5)["f1_interval"] == [1, 1]
        assert f1_with_interval([(0, 0, 0)])["f1"] == 0

    def test_spans(self):
        def at(text: str, words: str, stance: str) -> Holder:
            start = text.index(words)
            return Holder(words, stance, 0.9, start, start + len(words))  # type: ignore[arg-type]

        first = "The German government refuses, and Paris agrees."
        second = "I say no."
        third = "Mr Berg and Mrs Berg would go."
        rows = [
            {
                "text": first,
                "holders": [
                    {"name": "The German government", "stance": "oppose"},
                    {"name": "Paris", "stance": "support"},
                ],
            },
            {"text": second, "holders": [{"name": "", "stance": "oppose"}]},
            {"text": third, "holders": [{"name": "Mrs Berg", "stance": "support"}]},
        ]
        predictions = [
            # overlaps only; the wrong stance; one too many
            prediction(first, [at(first, "German government", "oppose"), at(first, "Paris", "oppose")]),
            prediction(second, [Holder("", "oppose", 0.9, 0, 0)]),
            prediction(third, [at(third, "Mr Berg", "support"), at(third, "Mrs Berg", "support")]),
        ]
        scores = span_scores(rows, predictions)
        # strict: Mrs Berg of four found and three told; relaxed: the government too; the author apart
        assert {name: (figures["precision"], figures["recall"], figures["n"]) for name, figures in scores.items()} == {
            "strict": (1 / 4, 1 / 3, 3),
            "relaxed": (2 / 4, 2 / 3, 3),
            "author": (1, 1, 1),
        }
        assert scores["strict"]["f1"] == pytest.approx(2 / 7)
        assert scores["relaxed"]["f1"] == pytest.approx(4 / 7)

    def test_each_gold_span_needs_a_partner_of_its_own(self):
        text = "Berlin refuses."
        row = {"text": text, "holders": [{"name": "Berlin", "stance": "oppose"}] * 2}
        scores = span_scores([row], [prediction(text, [Holder("Berlin", "oppose", 0.9, 0, 6)])])
        assert (scores["strict"]["recall"], scores["relaxed"]["recall"]) == (0.5, 0.5)

    def test_documents(self):
        def gold(name: str, stance: str, *aliases: str) -> dict[str, Any]:
            return {"name": name, "stance": stance, "aliases": list(aliases)}

        first = read("[Berlin-] refuses. [Ada Berg+] agrees. [Paris+] goes. Ada Berg told Eva Dahl that [she+] goes.")
        told = [
            gold("Germany", "oppose", "the Germans"),
            gold("Eva Berg", "support", "ada berg"),
            gold("France", "oppose"),
        ]
        # Germany by its name, Berg by an alias; France has another stance, and nobody is "she".
        scores = document_scores([{"holders": told}], [first])
        assert (scores["precision"], scores["recall"], scores["n"]) == (2 / 4, 2 / 3, 3)
        second = read("It rained. [-]No.")
        scores = document_scores([{"holders": told}, {"holders": []}], [first, second])
        assert (scores["precision"], scores["recall"]) == (2 / 4, 2 / 3)  # the author is counted elsewhere

    def test_a_perfect_reading_of_a_gold_document(self):
        document = planted()
        scores = document_scores([document], [read_gold(document)])
        assert (scores["f1"], scores["n"]) == (1, 1)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(shipped()[DEFAULT_MODEL])


class TestTags:
    def tags(
        self, tokenizer: PreTrainedTokenizerBase, text: str, holders: list[tuple[str, str]] | None, longest: int = 64
    ) -> list[tuple[str, str]]:
        """Words of the tokens that are not O, with their tags."""
        given = None if holders is None else [{"name": name, "stance": stance} for name, stance in holders]
        found = tag_tokens(tokenizer, text, given, longest)
        offsets = tokenizer(text, truncation=True, max_length=longest, return_offsets_mapping=True)["offset_mapping"]
        assert len(found) == len(offsets)
        assert found[-1] == IGNORED
        return [
            (text[a:b], "ignored" if tag == IGNORED else TAGS[tag])
            for tag, (a, b) in zip(found[:-1], offsets[:-1], strict=True)
            if tag != 0
        ]

    def test_the_first_place_of_a_name_and_the_author(self, tokenizer: PreTrainedTokenizerBase):
        text = "New Zealand stays, and I think that New Zealand is right."
        assert self.tags(tokenizer, text, [("New Zealand", "oppose"), ("", "support")]) == [
            ("", "B-support"),
            ("New", "B-oppose"),
            ("Zealand", "I-oppose"),
            ("New", "ignored"),
            ("Zealand", "ignored"),
        ]

    def test_whole_words_in_their_own_case(self, tokenizer: PreTrainedTokenizerBase):
        assert self.tags(tokenizer, "The move, he said, was late.", [("he", "oppose")]) == [("he", "B-oppose")]
        assert self.tags(tokenizer, "They told us that the US stays.", [("US", "oppose")]) == [("US", "B-oppose")]

    def test_a_longer_name_wins(self, tokenizer: PreTrainedTokenizerBase):
        text = "The mayor of Paris would go, unlike Paris."
        assert self.tags(tokenizer, text, [("The mayor of Paris", "support"), ("Paris", "oppose")]) == [
            ("The", "B-support"),
            ("mayor", "I-support"),
            ("of", "I-support"),
            ("Paris", "I-support"),
            ("Paris", "ignored"),
        ]

    def test_nobody_and_nobody_has_said_who(self, tokenizer: PreTrainedTokenizerBase):
        assert self.tags(tokenizer, "It rained.", []) == []
        assert set(tag_tokens(tokenizer, "Berlin refuses.", None, 64)) == {IGNORED}

    def test_what_is_cut_off_has_no_tags(self, tokenizer: PreTrainedTokenizerBase):
        text = "It rained and rained and rained, and Berlin refused."
        assert self.tags(tokenizer, text, [("Berlin", "oppose")], longest=8) == []

    def test_tags_are_read_back_as_they_were_given(self, tokenizer: PreTrainedTokenizerBase):
        text = "The Élysée’s envoy, Étienne Marsaudon, would go; the U.S. won’t, and I say no."
        given = [("The Élysée’s envoy, Étienne Marsaudon", "support"), ("the U.S.", "oppose"), ("", "oppose")]
        tags = tag_tokens(tokenizer, text, [{"name": name, "stance": stance} for name, stance in given], 64)
        tags[-1] = 0
        offsets = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
        found = find_holders(text, offsets, np.eye(len(TAGS), dtype=np.float32)[tags] * 9)
        assert {(holder.text, holder.stance) for holder in found} == set(given)
