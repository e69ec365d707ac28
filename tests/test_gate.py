"""The first stage: cheap scores, what it lets through, and its file."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_model import copied

from stancelib import ModelError, StanceClassifier
from stancelib.corpus import sentence_rows
from stancelib.gate import BUCKETS, GATE, NEAR, Gate, features, near_the_military
from training import corpus, documents

WEIGHTS = np.random.default_rng(1).integers(-127, 128, BUCKETS).astype(np.int8)


def made() -> Gate:
    return Gate(WEIGHTS, 0.01, -0.5, floor=-1.0, slope=1.1, intercept=-0.2, support_share=0.4)


SCORED = made()


@pytest.fixture(scope="module")
def gate() -> Gate:
    return made()


@given(st.text())
def test_a_score_is_the_sum_over_the_features_that_the_weights_are_learnt_on(text):
    buckets = list(features(text))
    score = float(SCORED.scores([text])[0])
    if buckets:
        assert score == pytest.approx(-0.5 + 0.01 * WEIGHTS[buckets].sum() / len(buckets) ** 0.5, abs=1e-4)
    else:
        assert score == -1.0


def test_a_score_does_not_depend_on_the_other_texts_or_on_what_was_scored_before(gate):
    texts = ["Bring them home.", "Shares fell.", "BRING them home."]
    together = gate.scores(texts)
    assert together.tolist() == [float(made().scores([text])[0]) for text in texts]
    assert together[0] == together[2]


@pytest.mark.parametrize("text", ["🪖", "…", "\ud800", " "])
def test_a_text_without_words_is_left_to_the_model(gate, text):
    assert gate.predictions([text]) == [None]


def test_only_the_beginning_of_a_very_long_text_is_read(gate):
    assert gate.scores(["word " * 300])[0] == gate.scores(["word " * 100_000])[0]


def test_what_scores_below_the_floor_is_neutral_and_marked_and_the_rest_is_left_to_the_model(gate):
    texts = [f"Sentence {number} is here." for number in range(200)]
    scores = gate.scores(texts)
    found = gate.predictions(texts)
    assert 0 < sum(one is None for one in found) < 200
    for text, score, one in zip(texts, scores, found, strict=True):
        assert (one is None) == (score >= -1)
        if one is not None:
            assert (one.label, one.text, one.gated, one.holders) == ("neutral", text, True, ())
            assert one.confidence == max(one.probabilities.values()) == one.probabilities["neutral"] > 0.5


def test_probabilities_add_up_and_follow_the_score(gate):
    found = gate.probabilities(np.array([-4, -3, -2], dtype=np.float32))
    assert found.sum(axis=1) == pytest.approx([1, 1, 1])
    assert (np.diff(found[:, 2]) < 0).all()
    assert found[0, 0] / found[0, 1] == pytest.approx(0.4 / 0.6, rel=1e-4)


OFF = "It rained in Westmark."


def test_near_is_ten_sentences_on_either_side():
    sentences = [OFF] * 40
    assert near_the_military(sentences) == [False] * 40
    sentences[20] = "They sent troops."
    assert [index for index, near in enumerate(near_the_military(sentences)) if near] == list(range(10, 31))
    sentences[39] = "Withdraw."
    assert [index for index, near in enumerate(near_the_military(sentences)) if near] == list(range(10, 40))


@pytest.mark.parametrize("sentences", [[], [OFF], [OFF] * NEAR])
def test_short_documents_may_take_their_topic_for_granted(sentences):
    assert near_the_military(sentences) == [True] * len(sentences)


def test_a_title_names_the_topic():
    assert not any(near_the_military([OFF] * 20, "Rain in Westmark"))
    assert all(near_the_military([OFF] * 20, "Fewer soldiers for Mali?"))


def test_far_from_the_military_a_position_is_not_believed(gate):
    kept = next(
        text for text in (f"We should never have gone in {n}." for n in range(99)) if gate.keeps(gate.scores([text]))
    )
    assert gate.predictions([kept]) == gate.predictions([kept], [True]) == [None]
    (told,) = gate.predictions([kept], [False])
    assert told is not None
    assert told.gated
    assert told.label == "neutral" == max(told.probabilities, key=told.probabilities.get)


def test_no_position_of_the_gold_documents_is_far_from_the_military():
    for document in documents.load():
        near = near_the_military([document["text"][start:end] for start, end in documents.spans(document)])
        labels = [sentence["label"] for sentence in document["sentences"]]
        assert all(near[index] for index, label in enumerate(labels) if label != "neutral"), document["id"]


def test_what_is_saved_is_opened_again(tmp_path, gate):
    gate.save(tmp_path)
    opened = Gate.open(tmp_path)
    assert opened is not None
    texts = ["We must not go.", "Norda rules out soldiers on the ground."]
    assert opened.scores(texts).tolist() == gate.scores(texts).tolist()
    assert (opened.floor, opened.slope, opened.support_share) == (gate.floor, gate.slope, gate.support_share)


def test_a_folder_may_have_none(tmp_path):
    assert Gate.open(tmp_path) is None


def test_the_file_is_one_that_safetensors_reads(tmp_path, gate):
    numpy = pytest.importorskip("safetensors.numpy")
    gate.save(tmp_path)
    assert (numpy.load_file(tmp_path / GATE)["weights"] == WEIGHTS).all()


@pytest.mark.parametrize(
    "damage", ["cut short", "hello", "[]", "no number", "not finite", "nothing is neutral", "type"]
)
def test_a_damaged_file_is_an_error_that_names_it(tmp_path, gate, damage):
    gate.save(tmp_path)
    path = tmp_path / GATE
    content = path.read_bytes()
    changed = {
        "cut short": content[: len(content) // 2],
        "hello": b"hello",
        "[]": b"\x02" + bytes(7) + b"[]",
        "no number": content.replace(b'"-1.0"', b'"-1.x"'),
        "not finite": content.replace(b'"-1.0"', b'"-inf"'),
        "nothing is neutral": content.replace(b'"-0.2"', b'"99.2"'),
        "type": content.replace(b'"I8"', b'"U8"'),
    }[damage]
    assert changed != content
    path.write_bytes(changed)
    with pytest.raises(ModelError, match=r"gate\.safetensors is damaged"):
        Gate.open(tmp_path)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gated") / "model"
    copied(folder)
    made().save(folder)
    return StanceClassifier.from_pretrained(folder)


ARTICLE = "Norda rules out soldiers on the ground. Shares fell by three points. It rained in Westmark. We must not go."


def test_corpora_are_gated_unless_asked_for_exactly(small):
    ((gated,), (exact,)) = list(small.analyze_many([ARTICLE])), list(small.analyze_many([ARTICLE], exact=True))
    told = made().predictions([sentence.text for sentence in gated])
    assert 0 < sum(one is not None for one in told) < len(gated) == 4
    for one, other, prediction in zip(gated, exact, told, strict=True):
        assert not other.prediction.gated
        assert one.prediction == (prediction or other.prediction)
    assert small.analyze(ARTICLE).sentences == exact.sentences
    assert [row["gated"] for row in sentence_rows(gated, 1)] == [one is not None for one in told]


def test_a_long_document_off_the_topic_is_not_read(small):
    (document,) = small.analyze_many([{"text": " ".join(["We should never have gone in."] * 11), "title": "A merger"}])
    assert all(sentence.prediction.gated for sentence in document)
    (document,) = small.analyze_many([" ".join(["We should never have gone in."] * 11)], exact=True)
    assert not any(sentence.prediction.gated for sentence in document)


def test_predict_is_never_gated(small):
    assert not any(prediction.gated for prediction in small.predict(ARTICLE.split(". ")))


def test_a_folder_without_a_gate_reads_everything(tmp_path):
    copied(tmp_path / "model")
    (document,) = StanceClassifier.from_pretrained(tmp_path / "model").analyze_many([ARTICLE])
    assert not any(sentence.prediction.gated for sentence in document)


def test_the_command_line_gates_a_corpus_and_says_so(small, tmp_path, stance):
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(ARTICLE)
    model = ("--model", small.checkpoint.folder)
    ran = stance("analyze", tmp_path / "a.txt", tmp_path / "b.txt", *model, "-o", tmp_path / "tables")
    count = sum(one is not None for one in made().predictions([s.text for s in small.analyze(ARTICLE)]))
    assert f"{2 * count} of 8 sentences were told to take no position by the first stage" in ran.err
    with (tmp_path / "tables" / "sentences.csv").open() as file:
        assert [row["gated"] for row in csv.DictReader(file)].count("true") == 2 * count
    for asked in (("a.txt", "b.txt", "--exact"), ("a.txt",)):
        paths = [tmp_path / name if name.endswith("txt") else name for name in asked]
        assert "first stage" not in stance("analyze", *paths, *model).err


def test_what_ships_misses_none_of_our_test_sentences_more_than_it_may(clf):
    gate = Gate.open(clf.checkpoint.folder)
    assert gate is not None
    rows = corpus.load("test")
    positions = [row["text"] for row in rows if row["label"] != "neutral"]
    assert sum(one is not None for one in gate.predictions(positions)) <= 0.005 * len(positions)
    assert (clf.checkpoint.folder / GATE).stat().st_size < 1_000_000
