"""Models with other labels than ours keep them, from the probabilities to the columns that are written."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from stancelib import LABELS, ModelError, StanceClassifier
from stancelib.checkpoint import DEFAULT_MODEL, HOLDER_HEAD, Checkpoint, shipped
from stancelib.prediction import Prediction
from stancelib.results import Writer, result_types
from stancelib.tables import Row

TEXT = "Norda rules out soldiers on the ground."


def renamed(target: Path, names: list[str]) -> Path:
    """The shipped model, its labels called otherwise."""
    shutil.copytree(shipped()[DEFAULT_MODEL], target)
    config = json.loads((target / "config.json").read_text())
    config["id2label"] = {str(index): name for index, name in enumerate(names)}
    (target / "config.json").write_text(json.dumps(config))
    return target


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> StanceClassifier:
    folder = tmp_path_factory.mktemp("schemes") / "semeval"
    return StanceClassifier.from_pretrained(renamed(folder, ["FAVOR", "AGAINST", "NONE"]))


def test_other_labels_are_kept_in_their_order(other: StanceClassifier, clf: StanceClassifier):
    assert other.labels == ("FAVOR", "AGAINST", "NONE")
    assert other.predict_proba(TEXT).tolist() == clf.predict_proba(TEXT).tolist()
    found = other.predict(TEXT)
    assert found.label == "AGAINST"
    assert tuple(found.probabilities) == other.labels
    assert list(other.stream([TEXT])) == [found]
    assert str(found).startswith("AGAINST 0.")
    assert json.loads(found.to_json())["probabilities"] == pytest.approx(found.probabilities)
    assert other.predict(TEXT, abstain_below=1.1).label is None


def test_the_order_is_that_of_the_numbers_not_of_their_digits(tmp_path: Path):
    names = [f"point {index}" for index in range(12)]
    for file in ("config.json", "tokenizer.json", "model.safetensors"):
        shutil.copy(shipped()[DEFAULT_MODEL] / file, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    shuffled = {str(index): names[index] for index in (11, 2, 0, 10, *range(3, 10), 1)}
    (tmp_path / "config.json").write_text(json.dumps(config | {"id2label": shuffled}))
    assert Checkpoint.open(tmp_path).labels == tuple(names)


def test_holders_keep_our_stances_but_documents_need_our_labels(other: StanceClassifier):
    (holder,) = other.predict(TEXT).holders
    assert (holder.text, holder.stance) == ("Norda", "oppose")
    assert tuple(other.predict(TEXT, holder="Norda").probabilities) == LABELS
    with pytest.raises(ModelError, match=r"FAVOR, AGAINST, NONE.*support, oppose, neutral"):
        other.analyze(TEXT)


def test_two_classes_without_holders(tmp_path: Path):
    from safetensors.torch import load_file, save_file

    folder = renamed(tmp_path / "two", ["relevant", "irrelevant"])
    (folder / HOLDER_HEAD).unlink()
    (folder / "model.onnx").unlink()
    weights = load_file(folder / "model.safetensors")
    for name in ("classifier.out_proj.weight", "classifier.out_proj.bias"):
        weights[name] = weights[name][:2].clone()
    (folder / "model.safetensors").unlink()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    two = StanceClassifier.from_pretrained(folder, backend="torch", device="cpu")
    proba = two.predict_proba([TEXT, None], invalid="skip")
    assert proba.shape == (2, 2)
    assert proba[0].sum() == pytest.approx(1)
    assert np.isnan(proba[1]).all()
    assert two.predict(TEXT).holders == ()


def test_the_columns_written_are_those_of_the_scheme(tmp_path: Path):
    target = tmp_path / "out.csv"
    labels = ("1", "2", "3", "4", "5")
    scores = dict(zip(labels, (0.1, 0.1, 0.5, 0.2, 0.1), strict=True))
    with Writer(target, "csv", ["text", "p_3"], labels=labels, holders=False) as writer:
        writer.write(Row(1, {"text": "a", "p_3": "mine"}, "a", None), Prediction("3", 0.5, scores, "a"))
        writer.write(Row(2, {"text": "", "p_3": "too"}, "", "blank"), None)
    first, second = csv.DictReader(target.open())
    assert first["p_3"] == "mine"
    assert (first["predicted_stance"], first["predicted_p_3"], first["predicted_p_5"]) == ("3", "0.5", "0.1")
    assert second == dict.fromkeys(second, "") | {"p_3": "too", "predicted_problem": "blank"}
    assert "predicted_holders" not in first


def test_our_columns_are_as_they_were():
    assert list(result_types()) == [
        "stance", "confidence", "p_support", "p_oppose", "p_neutral", "holders", "truncated", "problem",
    ]  # fmt: skip
