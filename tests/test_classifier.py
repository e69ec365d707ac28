"""Texts in, predictions out: in order, whatever they are packed in, and the same each time."""

import copy
import itertools
import json
import pickle
import random
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from conftest import python
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import stancelib
from stancelib import LABELS, InputError, Prediction, StanceClassifier
from training import corpus

SENTENCES = [row["text"] for row in corpus.load("test")[:60]]


def test_one_text_gives_one_prediction(clf: StanceClassifier):
    found = clf.predict("Norda rules out soldiers on the ground.")
    assert isinstance(found, Prediction)
    assert tuple(found.probabilities) == clf.labels == LABELS
    assert found.confidence == found.probabilities[found.label] == max(found.probabilities.values())
    assert sum(found.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert not found.truncated


def test_many_texts_keep_their_order(clf: StanceClassifier):
    found = clf.predict(SENTENCES)
    assert [p.text for p in found] == SENTENCES
    assert clf.predict(iter(SENTENCES)) == found
    assert list(clf.stream(iter(SENTENCES))) == found
    assert clf.predict([]) == []


def test_probabilities_are_the_same_numbers(clf: StanceClassifier):
    proba = clf.predict_proba(np.array(SENTENCES))
    assert proba.shape == (len(SENTENCES), 3)
    assert proba.dtype == np.float32
    assert [list(p.probabilities.values()) for p in clf.predict(SENTENCES)] == proba.tolist()
    assert clf.predict_proba("One text.").shape == (1, 3)
    assert clf.predict_proba([]).shape == (0, 3)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=40), st.randoms())
def test_an_answer_does_not_depend_on_its_neighbours(clf: StanceClassifier, texts: list[str], order: random.Random):
    together = dict(zip(texts, clf.predict_proba(texts), strict=True))
    shuffled = order.sample(texts, len(texts))
    for text, row in zip(shuffled, clf.predict_proba(shuffled), strict=True):
        np.testing.assert_allclose(row, together[text], atol=1e-4)
    np.testing.assert_allclose(clf.predict_proba(texts[0])[0], together[texts[0]], atol=1e-4)


def test_torch_and_onnx_agree(clf: StanceClassifier):
    other = StanceClassifier.from_pretrained(backend="torch", device="cpu")
    ours, theirs = clf.predict_proba(SENTENCES), other.predict_proba(SENTENCES)
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
    assert (ours.argmax(1) == theirs.argmax(1)).all()
    for one, another in zip(clf.predict(SENTENCES[:20]), other.predict(SENTENCES[:20]), strict=True):
        assert [(h.text, h.stance) for h in one.holders] == [(h.text, h.stance) for h in another.holders]


def test_plain_transformers_agrees(clf: StanceClassifier):
    from transformers import pipeline

    pipe = pipeline("text-classification", model=str(clf.checkpoint.folder), top_k=None, device="cpu")
    for text, scores in zip(SENTENCES[:20], pipe(SENTENCES[:20]), strict=True):
        found = {score["label"]: score["score"] for score in scores}
        assert found == pytest.approx(clf.predict(text).probabilities, abs=1e-3)


@pytest.mark.parametrize("kind", ["onnx", "torch"])
def test_a_device_that_is_not_there_is_said(kind):
    with pytest.raises((ValueError, stancelib.ModelError), match="device"):
        StanceClassifier.from_pretrained(backend=kind, device="cuda:7")


def test_an_unknown_backend_is_said():
    with pytest.raises(ValueError, match="neither 'onnx' nor 'torch'"):
        StanceClassifier.from_pretrained(backend="tensorflow")


BAD = [None, 3, b"bytes", ["nested"], "", "  ", float("nan")]


def test_bad_elements_are_named_before_any_work(clf: StanceClassifier):
    with pytest.raises(InputError, match=r"texts\[1\] is None.*texts\[2\] is an int.*2 more"):
        clf.predict(["good", *BAD])
    for bad in BAD:
        with pytest.raises(InputError):
            clf.predict([bad])
    for bad in (None, 3, b"bytes", "", "  ", float("nan")):
        with pytest.raises(InputError):
            clf.predict(bad)


def test_bad_elements_can_be_skipped(clf: StanceClassifier):
    mixed = [SENTENCES[0], *BAD, SENTENCES[1]]
    found = clf.predict(mixed, invalid="skip")
    assert [p is None for p in found] == [False] + [True] * len(BAD) + [False]
    assert list(clf.stream(mixed, invalid="skip")) == found
    proba = clf.predict_proba(mixed, invalid="skip")
    assert np.isnan(proba[1:-1]).all()
    assert not np.isnan(proba[[0, -1]]).any()
    assert clf.predict([None], invalid="skip") == [None]
    with pytest.raises(ValueError, match="neither"):
        clf.predict(["x"], invalid="ignore")


def test_stream_yields_all_before_the_bad_one_and_counts_right(clf: StanceClassifier):
    stream = clf.stream(itertools.chain(["Out."] * 1050, [None], SENTENCES))
    assert len(list(itertools.islice(stream, 1050))) == 1050
    with pytest.raises(InputError, match=r"texts\[1050\] is None"):
        next(stream)
    for wrong, said in (("a text", "one text"), (3, "expected"), (None, "expected")):
        with pytest.raises(InputError, match=said):
            clf.stream(wrong)
    with pytest.raises(ValueError, match="neither"):
        clf.stream(SENTENCES, invalid="ignore")


def test_stream_is_lazy(clf: StanceClassifier):
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield "They must leave."

    assert len(list(itertools.islice(clf.stream(endless()), 3))) == 3
    assert taken <= 2048


@pytest.mark.parametrize(
    "text",
    [
        "\x00 soldiers \x00",
        "\ud800 lone surrogates \udfff",
        "🪖🚫🇺🇦",
        "لا نريد جنودا على أرضنا",
        "Keine deutschen Soldaten in die Ukraine!",
        "士兵不得派往海外",
        "a",
        "." * 5000,
        "x" * 5000,
        "\u202etroops\u202c",
    ],
    ids=range(10),
)
def test_strange_texts_are_answered(clf: StanceClassifier, text: str):
    found = clf.predict(text)
    assert found.label in LABELS
    assert found.text == text


def test_a_long_text_is_marked_as_cut(clf: StanceClassifier):
    sentence = "No soldiers should be sent to that war. "
    long = (sentence * 5001)[:200_000]
    assert clf.predict(long).truncated
    assert clf.predict(sentence * 40).truncated
    assert not clf.predict(sentence * 3).truncated
    assert clf.predict(" " * 200_000 + sentence).label == clf.predict(sentence).label
    assert [p.truncated for p in clf.predict([sentence, long, sentence])] == [False, True, False]


def test_threads_share_one_load_and_agree(monkeypatch: pytest.MonkeyPatch, clf: StanceClassifier):
    loads = []
    original = StanceClassifier.from_pretrained
    monkeypatch.setattr("stancelib.classifier._default", None)
    monkeypatch.setattr(StanceClassifier, "from_pretrained", lambda *a, **k: loads.append(1) or original(*a, **k))
    expected, found = clf.predict(SENTENCES[:10]), {}

    def work(number: int) -> None:
        found[number] = stancelib.predict(SENTENCES[:10])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loads) == 1
    assert len(found) == 16
    for one in found.values():
        assert [p.label for p in one] == [p.label for p in expected]


def test_prediction_prints_compares_copies_and_travels(clf: StanceClassifier):
    found = clf.predict("Norda rules out soldiers on the ground.")
    assert str(found) == f"{found.label:<7} {found.confidence:.2f}  Norda rules out soldiers on the ground."
    assert "\n" not in str(clf.predict("Two\nlines."))
    assert repr(found).startswith(f"Prediction(label='{found.label}', confidence=0.")
    assert found == clf.predict(found.text) == pickle.loads(pickle.dumps(found)) == copy.deepcopy(found)
    assert len({found, clf.predict(found.text)}) == 1
    assert json.loads(found.to_json()) == found.to_dict()
    assert set(found.to_dict()) == {"label", "confidence", "probabilities", "text", "gated", "truncated", "holders"}
    with pytest.raises(AttributeError):
        found.label = "support"


def test_holders_are_spans_of_the_text(clf: StanceClassifier):
    text = "  Norda rules out soldiers on the ground, while Sudria wants to send two brigades."
    found = clf.predict(text).holders
    assert [holder.text for holder in found] == ["Norda", "Sudria"]
    assert all(text[holder.start : holder.end] == holder.text for holder in found)
    assert all(0 < holder.confidence <= 1 for holder in found)
    (norda,) = clf.predict("Norda rules out soldiers on the ground.").holders
    assert (norda.text, norda.stance) == ("Norda", "oppose")


@pytest.mark.xfail(strict=True, reason="known error, told in the README: both sides of a clash get one stance")
def test_both_sides_of_a_clash(clf: StanceClassifier):
    found = clf.predict("Norda rules out soldiers on the ground, while Sudria wants to send two brigades.").holders
    assert [(holder.text, holder.stance) for holder in found] == [("Norda", "oppose"), ("Sudria", "support")]


def test_the_stance_of_one_named_holder(clf: StanceClassifier):
    text = "Sudria wants to send two brigades to Westmark."
    sudria = clf.predict(text, holder="sudria")
    assert sudria.label == "support"
    assert sum(sudria.probabilities.values()) == pytest.approx(1)
    assert clf.predict(text, holder="Westmark").label == "neutral"  # named, without a position
    assert clf.predict("We must not send anyone there.", holder="").label == "oppose"
    with pytest.raises(InputError, match="does not name 'Estland'"):
        clf.predict(text, holder="Estland")
    with pytest.raises(InputError, match="one text"):
        clf.predict([text], holder="Norda")


def test_it_abstains_where_it_is_told_to(clf: StanceClassifier):
    sure = clf.predict(SENTENCES)
    some = clf.predict(SENTENCES, abstain_below=0.7)
    assert [p.label for p in some] == [p.label if p.confidence >= 0.7 else None for p in sure]
    assert {None} < {p.label for p in some}
    assert [p.probabilities for p in some] == [p.probabilities for p in sure]
    assert str(clf.predict(SENTENCES[0], abstain_below=1.1)).startswith("unsure")
    assert next(clf.stream(SENTENCES[:3], abstain_below=1.1)).label is None
    bought = clf.abstention
    assert [row["coverage"] for row in bought] == sorted((row["coverage"] for row in bought), reverse=True)


def test_documents_are_read_in_order_and_bad_ones_named(clf: StanceClassifier):
    texts = [
        "Norda rules out soldiers.",
        {"text": "Sudria will send two brigades.", "title": "b", "date": "2024-05-01"},
    ]
    first, second = clf.analyze_many(texts)
    assert [holder.name for holder in first.holders] == ["Norda"]
    assert (second.title, second.date, second.holders[0].stance) == ("b", "2024-05-01", "support")
    assert first == clf.analyze("Norda rules out soldiers.")
    stream = clf.analyze_many([*texts, " "])
    assert next(stream).text == texts[0]
    with pytest.raises(InputError, match=r"documents\[2\] is a blank text"):
        list(stream)
    assert len(list(clf.analyze_many([*texts, None], invalid="skip"))) == 2
    with pytest.raises(InputError, match="one text"):
        clf.analyze_many("a text")
    with pytest.raises(InputError, match="no 'text'"):
        list(clf.analyze_many([{"body": "x"}]))


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet=st.characters(codec=None), min_size=1, max_size=120))
def test_offsets_hold_on_any_text(clf: StanceClassifier, text: str):
    whole = f"Norda rules out soldiers. {text} \ud83d\ude00 Sudria, he said, will send them."
    document = clf.analyze(whole)
    for sentence in document.sentences:
        assert whole[sentence.start : sentence.end] == sentence.text
        for holder in sentence.holders:
            assert whole[holder.start : holder.end] == holder.text
    for holder in document.holders:
        for evidence in holder.evidence:
            assert whole[evidence.start : evidence.end] == evidence.mention


def test_a_model_without_a_holder_head_says_so(clf: StanceClassifier, tmp_path: Path):
    plain = tmp_path / "plain"
    shutil.copytree(clf.checkpoint.folder, plain)
    (plain / "holders.safetensors").unlink()
    (plain / "model.onnx").unlink()
    other = StanceClassifier.from_pretrained(plain, backend="torch", device="cpu")
    assert other.predict(SENTENCES[0]).holders == ()
    for ask in (lambda: other.analyze(SENTENCES[0]), lambda: other.predict("Norda says no.", holder="Norda")):
        with pytest.raises(stancelib.ModelError, match=r"no holders\.safetensors"):
            ask()


LIGHT = """
import socket, sys
def refuse(*a, **k): raise OSError("no network")
socket.socket.connect = refuse
socket.getaddrinfo = refuse
import stancelib
assert "onnxruntime" not in sys.modules, "import stancelib must not load the runtime"
assert stancelib.predict("Norda rules out soldiers on the ground.").label in stancelib.LABELS
heavy = {"countryinfo", "torch", "transformers", "sklearn", "pandas", "pyarrow", "datasets", "scipy"} & set(sys.modules)
assert not heavy, heavy
"""


def test_predicting_is_light_and_offline():
    ran = python("-c", LIGHT)
    assert ran.returncode == 0, ran.stderr


def test_torch_missing_names_the_extra():
    code = "import sys; sys.modules['torch'] = None; import stancelib\n"
    ran = python("-c", code + "stancelib.StanceClassifier.from_pretrained(backend='torch')")
    assert 'pip install "stancelib[train]"' in ran.stderr


def test_a_text_that_stands_there_twice_is_computed_once_and_told_at_each_place(clf, monkeypatch):
    run, seen = clf._runtime, []
    monkeypatch.setattr(clf, "_runtime", lambda ids, mask: seen.append(len(ids)) or run(ids, mask))
    texts = ["They must leave.", "It rained.", "They must leave."]
    first, second, third = clf.predict(texts)
    assert sum(seen) == 2
    assert (first.text, second.text, third) == (texts[0], texts[1], first)
