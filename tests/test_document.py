"""Documents: sentences and holders with offsets, stances, the balance; and the way there from a classifier."""

import json
from pathlib import Path

import numpy as np
import pytest
from by_hand import WordTagger, prediction, read, word_classifier
from hypothesis import given
from hypothesis import strategies as st

from stancelib import (
    LABELS,
    Document,
    Holder,
    HolderStance,
    InputError,
    MissingExtraError,
    ModelError,
    StanceClassifier,
)
from stancelib.checkpoint import HOLDER_HEAD
from stancelib.document import HOLDER_COLUMNS, MIXED, balance, build, holder_rows
from stancelib.sentences import split

ARTICLE = """Norda and the war

[Berlin-80] said no. [Foreign Minister Ada Berg+70] would go, and [she+90] said so.
It rained. [-60]It is a mistake. [Paris?] can't decide."""


def stance(*marks: str) -> tuple[str, float]:
    """Stance and confidence of Berlin after a sentence for each mark."""
    (holder,) = read(" ".join(f"[Berlin{mark}] spoke." for mark in marks)).holders
    return holder.stance, pytest.approx(holder.confidence)


class TestStances:
    @pytest.mark.parametrize(
        ("marks", "expected"),
        [
            (["+80"], ("support", 0.8)),
            (["-60", "-80"], ("oppose", 0.7)),
            (["?50"], ("neutral", 0.5)),
            # undecided only where no side is taken
            (["?90", "?90", "+50"], ("support", 0.5)),
            # both sides, and the confidence of the weaker one
            (["+90", "-80"], ("mixed", 0.8)),
            (["-90", "+70", "-30"], ("mixed", 0.7)),
            (["+90", "-90", "?90"], ("mixed", 0.9)),
            # … but one slip among many sentences is none
            (["+90", "+90", "+90", "-90"], ("support", 0.9)),
        ],
    )
    def test_from_evidence_to_stance(self, marks: list[str], expected: tuple[str, float]):
        assert stance(*marks) == expected

    @given(st.integers(1, 99), st.integers(1, 99))
    def test_mixed_is_a_question_of_the_share(self, support: int, oppose: int):
        weaker = min(support, oppose) / (support + oppose)
        if abs(weaker - MIXED) > 1e-9:
            kind, _ = stance(f"+{support:02}", f"-{oppose:02}")
            assert (kind == "mixed") == (weaker > MIXED)
            assert kind in ("mixed", "support" if support > oppose else "oppose")


class TestDocument:
    @pytest.fixture(scope="class")
    def document(self) -> Document:
        return read(ARTICLE, title="Norda", date="2024-05-17")

    def test_offsets(self, document: Document):
        text = document.text
        assert len(document) == len(list(document)) == 6
        assert [sentence.text for sentence in document][:2] == ["Norda and the war", "Berlin said no."]
        for sentence in document:
            assert text[sentence.start : sentence.end] == sentence.text == sentence.prediction.text
            for holder in sentence.holders:
                assert text[holder.start : holder.end] == holder.text
                assert holder.start == sentence.start or not holder.is_author
        for holder in document.holders:
            for evidence in holder.evidence:
                assert text[evidence.start : evidence.end] == evidence.mention
                assert document.sentences[evidence.sentence].text == evidence.text

    def test_the_predictions_keep_their_own_offsets(self, document: Document):
        (berlin,) = document.sentences[1].prediction.holders
        assert (berlin.start, berlin.end) == (0, 6)
        assert document.sentences[1].holders[0].start == document.text.index("Berlin")

    def test_holders_by_evidence_and_the_author_apart(self, document: Document):
        assert [(holder.name, holder.stance, holder.kind, len(holder.evidence)) for holder in document.holders] == [
            ("Ada Berg", "support", "person", 2),
            ("Germany", "oppose", "country", 1),
            ("France", "neutral", "country", 1),
        ]
        berg = document.holders[0]
        assert (berg.title, berg.aliases, berg.confidence) == (
            "Foreign Minister",
            ("Foreign Minister Ada Berg", "she"),
            pytest.approx(0.8),
        )
        assert document.author is not None
        assert (document.author.name, document.author.stance, document.author.kind) == ("", "oppose", "author")
        assert document.author.aliases == ()

    def test_text(self, document: Document):
        assert str(document).splitlines() == [
            "Norda",
            str(document.balance),
            "Ada Berg  support  0.80  1 sentence  “Foreign Minister Ada Berg would go, and she said so.”",
            "Germany  oppose  0.80  1 sentence  “Berlin said no.”",
            "France  neutral  0.90  1 sentence  “Paris can't decide.”",
            "(the author)  oppose  0.60  1 sentence  “It is a mistake.”",
        ]

    def test_dict_and_json(self, document: Document):
        plain = document.to_dict()
        assert json.loads(document.to_json()) == json.loads(json.dumps(plain))
        assert "\n" not in document.to_json()
        assert plain["title"] == "Norda"
        assert plain["holders"][1]["evidence"][0]["mention"] == "Berlin"
        assert plain["sentences"][1]["prediction"]["probabilities"] == {"support": 0.1, "oppose": 0.1, "neutral": 0.8}
        assert plain["balance"]["support"] == 1
        assert json.loads(document.to_json())["holders"][0] == json.loads(json.dumps(document.holders[0].to_dict()))

    def test_frame(self, document: Document, monkeypatch: pytest.MonkeyPatch):
        frame = document.to_frame()
        assert list(frame.columns) == list(HOLDER_COLUMNS)
        assert json.loads(frame.to_json(orient="records")) == holder_rows(document)
        assert list(frame["holder"]) == ["Ada Berg", "Germany", "France", ""]
        assert frame["aliases"][0] == "Foreign Minister Ada Berg | she"
        assert (frame["sentences"][0], frame["evidence"][0]) == (1, document.sentences[2].text)
        assert frame["evidence"][1] == "Berlin said no."
        monkeypatch.setitem(__import__("sys").modules, "pandas", None)
        with pytest.raises(MissingExtraError, match=r"stancelib\[frames\]"):
            document.to_frame()

    def test_nobody(self):
        document = read("It rained in Orun. Nobody came.")
        assert (document.holders, document.author) == ((), None)
        assert (document.balance.score, document.balance.low, document.balance.high) == (None, None, None)
        assert str(document) == "nobody takes a position"
        assert document.to_frame().empty

    def test_lists_of_countries_are_taken_apart(self):
        document = read("[Sweden, Spain and Côte d’Ivoire-] hesitate.")
        assert [holder.name for holder in document.holders] == ["Sweden", "Spain", "Ivory Coast"]
        assert [document.text[h.start : h.end] for h in document.sentences[0].holders] == [
            "Sweden",
            "Spain",
            "Côte d’Ivoire",
        ]
        assert [h.name for h in read("[Bosnia and Herzegovina-] won't.").holders] == ["Bosnia and Herzegovina"]

    @given(
        st.lists(st.sampled_from(["Berlin ", "é", ". ", "\n\n", "😀", "\ud83d", "A", " "]), max_size=30).map("".join),
        st.data(),
    )
    def test_offsets_on_any_text(self, text: str, data: st.DataObject):
        predictions = []
        spans = split(text)
        for start, end in spans:
            low = data.draw(st.integers(0, end - start))
            high = data.draw(st.integers(low, end - start))
            words = text[start:end][low:high]
            holder = Holder(words, data.draw(st.sampled_from(LABELS)), 0.5, low if words else 0, high if words else 0)
            predictions.append(prediction(text[start:end], [holder]))
        document = build(text, spans, predictions)
        held = [holder for sentence in document for holder in sentence.holders]
        assert all(text[one.start : one.end] == one.text for one in held)
        everybody = [*document.holders, *([document.author] if document.author else [])]
        assert sorted(e.start for holder in everybody for e in holder.evidence) == sorted(one.start for one in held)


def holder_of(kind: str, confidence: float) -> HolderStance:
    return HolderStance("x", kind, confidence, ())  # type: ignore[arg-type]


class TestBalance:
    def test_counts_and_score(self):
        holders = [
            holder_of("support", 0.9),
            holder_of("support", 0.5),
            holder_of("oppose", 0.6),
            holder_of("mixed", 0.9),
        ]
        found = balance([*holders, holder_of("neutral", 0.7)])
        assert (found.support, found.oppose, found.mixed, found.neutral) == (2, 1, 1, 1)
        assert found.score == pytest.approx((0.9 + 0.5 - 0.6) / 5)
        assert str(found) == (
            f"2 support, 1 oppose, 1 undecided, 1 mixed; balance +0.16 ({found.low:+.2f} to {found.high:+.2f})"
        )

    @given(st.lists(st.tuples(st.sampled_from([*LABELS, "mixed"]), st.floats(0, 1)), min_size=1, max_size=8))
    def test_support_and_opposition_mirror_each_other(self, pairs: list[tuple[str, float]]):
        holders = [holder_of(*pair) for pair in pairs]
        found = balance(holders)
        assert -1 <= found.low <= found.high <= 1
        assert balance(holders) == found
        signs = {"support": 1, "oppose": -1}
        turned = balance([holder_of({"support": "oppose", "oppose": "support"}.get(k, k), c) for k, c in pairs])
        assert found.score == pytest.approx(np.mean([signs.get(kind, 0) * c for kind, c in pairs]))
        assert (turned.score, turned.low, turned.high) == pytest.approx((-found.score, -found.high, -found.low))

    def test_the_interval_narrows_with_certainty_and_with_numbers(self):
        def width(count: int, confidence: float) -> float:
            found = balance([holder_of("support", confidence)] * count)
            return found.high - found.low

        assert width(5, 1.0) == 0
        assert width(5, 0.7) > width(20, 0.7) > width(20, 0.95) > 0


@pytest.fixture(scope="module")
def clf(tmp_path_factory: pytest.TempPathFactory) -> StanceClassifier:
    """One that knows five words."""
    tagger = WordTagger(
        {"Germany": "oppose", "France": "support", "Italy": "neutral"}, {"mistake": "oppose", "yes": "support"}
    )
    return word_classifier(tmp_path_factory.mktemp("words"), tagger)


class TestAnalyze:
    def test_a_text(self, clf: StanceClassifier):
        text = "  Norda at war\n\nGermany refuses. France goes, and Italy waits?\r\nIt is a mistake…  "
        document = clf.analyze(text, title="Norda")
        assert document.text == text
        assert [sentence.text for sentence in document] == [
            "Norda at war",
            "Germany refuses.",
            "France goes, and Italy waits?",
            "It is a mistake…",
        ]
        assert all(text[sentence.start : sentence.end] == sentence.text for sentence in document)
        assert {(holder.name, holder.stance) for holder in document.holders} == {
            ("Germany", "oppose"),
            ("France", "support"),
            ("Italy", "neutral"),
        }
        assert document.author is not None
        assert document.author.stance == "oppose"
        assert (document.title, document.date) == ("Norda", None)

    def test_lone_surrogates_and_odd_blanks(self, clf: StanceClassifier):
        document = clf.analyze("\ud83d Germany\u00a0refuses. \ud83d\ude00 A.\u00a0France goes.")
        assert [(holder.name, holder.evidence[0].start) for holder in document.holders] == [
            ("Germany", 2),
            ("France", document.text.index("France")),
        ]

    @pytest.mark.parametrize("text", ["", " \n", None, 3, b"Germany"])
    def test_no_text(self, clf: StanceClassifier, text: object):
        with pytest.raises(InputError, match="nothing to classify"):
            clf.analyze(text)  # type: ignore[arg-type]

    def test_many(self, clf: StanceClassifier):
        texts = ["Germany refuses.", {"text": "France goes.", "title": 7, "date": "2024-05-17"}]
        first, second = clf.analyze_many(iter(texts))
        assert (first.title, first.date, first.holders[0].name) == (None, None, "Germany")
        assert (second.title, second.date, second.holders[0].name) == ("7", "2024-05-17", "France")

    def test_many_are_read_a_window_at_a_time(self, clf: StanceClassifier):
        drawn = []

        def documents():
            for number in range(600):
                drawn.append(number)
                yield "Germany. " * 4

        stream = clf.analyze_many(documents())
        assert next(stream).holders[0].name == "Germany"
        assert len(drawn) == 256
        assert sum(1 for _ in stream) == 599

    def test_what_can_not_be_read_is_named_after_all_before_it_or_skipped(self, clf: StanceClassifier):
        texts = ["Germany refuses.", None, "France goes.", {"text": " "}]
        stream = clf.analyze_many(texts)
        assert next(stream).text == "Germany refuses."
        with pytest.raises(InputError, match=r"documents\[1\] is None.*to leave it out"):
            next(stream)
        assert [document.text for document in clf.analyze_many(texts, invalid="skip")] == [texts[0], texts[2]]
        with pytest.raises(InputError, match=r"documents\[0\] has no 'text'; it has 'body'"):
            list(clf.analyze_many([{"body": "x"}]))
        for wrong in ("Germany refuses.", {"text": "Germany refuses."}):
            with pytest.raises(InputError, match="for one text call analyze"):
                clf.analyze_many(wrong)
        with pytest.raises(ValueError, match="invalid='ignore'"):
            clf.analyze_many([], invalid="ignore")  # type: ignore[arg-type]

    def test_a_model_without_holders(self, clf: StanceClassifier):
        head = clf.checkpoint.folder / HOLDER_HEAD
        head.rename(head.with_suffix(".away"))
        try:
            for ask in (lambda: clf.analyze("x y"), lambda: clf.analyze_many([]), lambda: clf.predict("x", holder="x")):
                with pytest.raises(ModelError, match="can't tell who holds what"):
                    ask()
        finally:
            Path(head.with_suffix(".away")).rename(head)


class TestHolderOf:
    def test_the_stance_of_one_who_is_named(self, clf: StanceClassifier):
        text = "Germany refuses, France goes, Spain is silent."
        assert clf.predict(text, holder="Germany").label == "oppose"
        france = clf.predict(text, holder="france")
        assert (france.label, [holder.text for holder in france.holders]) == ("support", ["France"])
        assert sum(france.probabilities.values()) == pytest.approx(1)
        assert france.confidence == max(france.probabilities.values())
        spain = clf.predict(text, holder="Spain")
        assert (spain.label, spain.holders) == ("neutral", ())

    def test_the_author(self, clf: StanceClassifier):
        assert clf.predict("Germany is right, it is a mistake.", holder="").label == "oppose"
        assert clf.predict("Germany refuses.", holder="").label == "neutral"
        (author,) = clf.predict("Germany is right, yes.", holder="").holders
        assert author.is_author

    def test_of_several_mentions_the_plainest(self, clf: StanceClassifier):
        assert clf.predict("GERMANY and Germany: no.", holder="Germany").label == "oppose"

    def test_abstaining(self, clf: StanceClassifier):
        text = "Germany refuses."
        confidence = clf.predict(text, holder="Germany").confidence
        assert clf.predict(text, holder="Germany", abstain_below=confidence).label == "oppose"
        assert clf.predict(text, holder="Germany", abstain_below=confidence + 1e-6).label is None
        assert clf.predict([text], abstain_below=1)[0].label is None

    def test_words_that_do_not_stand_in_the_text(self, clf: StanceClassifier):
        for holder in ("Berlin", "German", "Germany refuses now"):
            with pytest.raises(InputError, match=f"the text does not name '{holder}'"):
                clf.predict("Germany refuses.", holder=holder)
        with pytest.raises(InputError, match="goes with one text"):
            clf.predict(["Germany refuses."], holder="Germany")  # type: ignore[call-overload]
        with pytest.raises(InputError, match="blank"):
            clf.predict(" ", holder="")
