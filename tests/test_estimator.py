"""`StanceEstimator`: scikit-learn's own checks, and its tools, on a small random model."""

from __future__ import annotations

import pickle
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import Pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks
from transformers import AutoTokenizer, MPNetConfig, MPNetForSequenceClassification

from stancelib import InputError, ModelError
from stancelib.checkpoint import DEFAULT_MODEL, shipped
from stancelib.estimator import Features, StanceEstimator, features_of

# The checks are collected before any fixture runs, so the folder must have its name by then.
BASE = Path(tempfile.mkdtemp(prefix="stancelib-estimator-")) / "small"


def write_encoder(folder: Path, seed: int, labels: int = 2) -> Path:
    """An untrained encoder of three thin layers, with our tokenizer; its last label is "2" of "0", "1", "2", say."""
    tokenizer = AutoTokenizer.from_pretrained(shipped()[DEFAULT_MODEL])
    torch.manual_seed(seed)
    config = MPNetConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=258,
        initializer_range=0.3,
        id2label={index: str(index) for index in range(labels)},
        label2id={str(index): index for index in range(labels)},
    )
    MPNetForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", autouse=True)
def base() -> Path:
    return write_encoder(BASE, 1)


class OfNumbers(StanceEstimator):
    """scikit-learn's checks know tables of numbers alone; here each row is written out as a text, and read as one."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = False
        tags.input_tags.two_d_array = True
        tags.classifier_tags.poor_score = True  # a random model that reads digits
        return tags

    def _texts(self, X: Any, reset: bool) -> list[str]:
        return super()._texts(X if hasattr(X, "ndim") else np.asarray(X), reset)

    def _column(self, X: Any) -> Any:
        if X.shape[1] == 0:
            return super()._column(X)
        return [" ".join(f"{float(number):.2f}" for number in row) for row in np.asarray(X).tolist()]


# What can't hold for a classifier of texts, and why. The list is strict: a check that passes after all must leave it.
EXPECTED = {
    "check_estimators_nan_inf": "numbers are no input; a missing text among texts is named, as is tested below",
    "check_fit2d_predict1d": "one dimension is what texts have, so there is nothing to reshape",
}


@parametrize_with_checks(
    [StanceEstimator(), OfNumbers(BASE)],
    expected_failed_checks=lambda model: EXPECTED if isinstance(model, OfNumbers) else {},
    xfail_strict=True,
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


TEXTS = [
    f"{who} {what}"
    for who in ("Norda", "Sudria", "The minister", "A crowd", "Parliament", "The general")
    for what in ("sends soldiers to the border", "sells grain and timber", "wants the troops home", "plays football")
]
RELEVANT = [("soldiers" in text) or ("troops" in text) for text in TEXTS]
WORDS = ["relevant" if yes else "irrelevant" for yes in RELEVANT]


@pytest.fixture(scope="module")
def fitted(base: Path) -> StanceEstimator:
    return StanceEstimator(base).fit(TEXTS, WORDS)


@pytest.mark.parametrize("y", [WORDS, RELEVANT, [3 if yes else -1 for yes in RELEVANT], pd.Series(WORDS)])
def test_any_labels(y):
    model = StanceEstimator(BASE).fit(TEXTS, y)
    assert model.classes_.tolist() == sorted(set(y))
    found = model.predict(TEXTS)
    assert found.dtype == model.classes_.dtype
    assert model.score(TEXTS, y) > 0.9
    proba = model.predict_proba(TEXTS)
    assert proba.shape == (len(TEXTS), 2)
    assert proba.sum(axis=1) == pytest.approx(1)
    assert (model.classes_[proba.argmax(axis=1)] == found).all()


def test_any_column_of_texts(fitted: StanceEstimator):
    expected = fitted.predict_proba(TEXTS)
    column = pd.DataFrame({"body": TEXTS})
    of_frame = clone(fitted).fit(column, WORDS)
    assert (of_frame.n_features_in_, of_frame.feature_names_in_.tolist()) == (1, ["body"])
    for column_of_texts in (
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        pd.Series(TEXTS),
        column["body"],
        column,
        tuple(TEXTS),
    ):
        assert np.array_equal(of_frame.predict_proba(column_of_texts), expected)
    of_array = clone(fitted).fit(np.array(TEXTS, dtype=object)[:, None], WORDS)
    assert np.array_equal(of_array.predict_proba(TEXTS), expected)
    with pytest.raises(ValueError, match="feature names should match"):
        of_frame.predict(column.rename(columns={"body": "title"}))
    with pytest.raises(InputError, match="2 columns"):
        clone(fitted).fit(pd.DataFrame({"a": TEXTS, "b": TEXTS}), WORDS)
    # A later fit on a list forgets the column.
    assert not hasattr(of_frame.fit(TEXTS, WORDS), "n_features_in_")


def test_what_is_no_text_is_named(fitted: StanceEstimator):
    with pytest.raises(InputError, match=r"X\[1\] is None \(a missing text\), X\[3\] is a blank text; leave"):
        fitted.predict(["a", None, "b", " "])
    with pytest.raises(InputError, match=r"X\[0\] is nan"):
        clone(fitted).fit([float("nan"), "b"], ["x", "y"])
    with pytest.raises(InputError, match="got a str"):
        fitted.predict("a text")
    with pytest.raises(InputError, match="no texts"):
        fitted.predict([])


def test_a_text_has_the_same_features_alone_and_among_others(base: Path):
    long = " ".join(TEXTS)
    together = Features(base)([*TEXTS, long, "Why?"])
    alone = Features(base)
    assert np.allclose(np.concatenate([alone([text]) for text in (*TEXTS, long, "Why?")]), together, atol=1e-5)
    assert together.shape == (len(TEXTS) + 2, 64)
    assert together.std(axis=0).min() > 0


def test_pipeline_and_search(fitted: StanceEstimator):
    frame = pd.DataFrame({"title": "x", "body": TEXTS})
    pick = ColumnTransformer([("text", "passthrough", ["body"])])
    pipeline = Pipeline([("pick", pick), ("stance", StanceEstimator(BASE))])
    search = GridSearchCV(
        pipeline, {"stance__C": [1e-9, 0.01], "stance__class_weight": [None]}, cv=3, scoring="neg_log_loss"
    )
    search.fit(frame, WORDS)
    assert search.best_params_["stance__C"] == 0.01
    assert search.best_estimator_.score(frame, WORDS) > 0.9
    assert search.best_estimator_["stance"].n_features_in_ == 1


def test_cross_validation_and_calibration(fitted: StanceEstimator):
    proba = cross_val_predict(StanceEstimator(BASE), TEXTS, WORDS, cv=4, method="predict_proba")
    assert ((proba[:, 1] > 0.5) == RELEVANT).mean() > 0.7
    calibrated = CalibratedClassifierCV(StanceEstimator(BASE), cv=3, ensemble=False).fit(np.array(TEXTS), WORDS)
    assert ((calibrated.predict_proba(np.array(TEXTS))[:, 1] > 0.5) == RELEVANT).mean() > 0.7


def test_clones_and_pickles(fitted: StanceEstimator, tmp_path: Path):
    copy = clone(fitted.set_params(random_state=7))
    assert copy.get_params() == fitted.get_params()
    assert not hasattr(copy, "classes_")
    data = pickle.dumps(fitted)
    assert len(data) < 10_000 < (BASE / "model.safetensors").stat().st_size / 50
    features_of.cache_clear()
    assert np.array_equal(pickle.loads(data).predict_proba(TEXTS), fitted.predict_proba(TEXTS))


def test_another_model_in_the_same_place_is_noticed(tmp_path: Path):
    folder = shutil.copytree(BASE, tmp_path / "base")
    data = pickle.dumps(StanceEstimator(folder).fit(TEXTS, WORDS))
    write_encoder(folder, seed=2)
    features_of.cache_clear()
    with pytest.raises(ModelError, match="not those that this estimator was fitted with"):
        pickle.loads(data).predict(TEXTS)
    shutil.rmtree(folder)
    features_of.cache_clear()
    with pytest.raises(ModelError, match="no model"):
        pickle.loads(data).predict(TEXTS)


def test_finetuning_is_left_to_finetune(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    given: dict[str, Any] = {}

    def write(train: Any, output_dir: str, **options: Any) -> Path:
        given.update(
            options, rows=list(zip(train.texts, train.labels, strict=True)), empty=not any(Path(output_dir).iterdir())
        )
        return write_encoder(Path(output_dir), seed=3, labels=3)

    monkeypatch.setattr("stancelib.finetuning.finetune", write)
    y = [2 if yes else 0 for yes in RELEVANT]  # the model knows a third label, as ours do
    model = StanceEstimator(BASE, train_layers="upper", epochs=3, output_dir=tmp_path / "models").fit(TEXTS, y)
    assert given["rows"] == [(text, str(label)) for text, label in zip(TEXTS, y, strict=True)]
    assert (given["epochs"], given["learning_rate"], given["train_layers"]) == (3, None, "upper")
    assert given["empty"]
    proba = model.predict_proba(TEXTS)
    assert model.classes_.tolist() == [0, 2]
    assert proba.shape == (len(TEXTS), 2)
    assert proba.sum(axis=1) == pytest.approx(1)
    assert set(model.predict(TEXTS).tolist()) <= {0, 2}
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict_proba(TEXTS), proba)
    again = clone(model).fit(TEXTS, y)
    assert again.base_ != model.base_
    seed = given["seed"]
    assert clone(model).set_params(random_state=2).fit(TEXTS, y)
    assert given["seed"] != seed


def test_finetuning_itself(base: Path, tmp_path: Path):
    model = StanceEstimator(base, train_layers="all", epochs=2, output_dir=tmp_path).fit(TEXTS, RELEVANT)
    assert model.classes_.tolist() == [False, True]
    (folder,) = tmp_path.iterdir()
    assert (folder / "training.json").is_file()
    proba = model.predict_proba(TEXTS)
    assert proba.sum(axis=1) == pytest.approx(1)
    assert np.array_equal(model.predict(TEXTS), proba[:, 1] > proba[:, 0])
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict_proba(TEXTS), proba)


@pytest.mark.parametrize(
    ("options", "y", "weights", "message"),
    [
        ({"train_layers": "most"}, WORDS, None, "none of 'head', 'upper' and 'all'"),
        ({"train_layers": "all"}, WORDS, None, "output_dir="),
        ({"train_layers": "all", "output_dir": "x"}, WORDS, np.ones(len(TEXTS)), "sample_weight goes with"),
        ({}, WORDS[:-1], None, "inconsistent numbers of samples"),
        ({}, np.linspace(0, 1, len(TEXTS)), None, "Unknown label type"),
        ({"C": -1}, WORDS, None, "'C' parameter"),
    ],
)
def test_errors(options: dict[str, Any], y: Any, weights: Any, message: str):
    with pytest.raises(ValueError, match=message):
        StanceEstimator(BASE, **options).fit(TEXTS, y, sample_weight=weights)
