"""Figures: against scikit-learn, against what is known, and as they are written down."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from stancelib import LABELS
from stancelib.checkpoint import DEFAULT_MODEL, Checkpoint, shipped
from training import card, corpus
from training.evaluate import (
    accuracy,
    baselines,
    bootstrap_interval,
    calibration_error,
    macro_f1,
    measure,
    selective_accuracy,
)

pairs = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=60)


@given(pairs)
def test_macro_f1_is_scikit_learns(rows):
    gold, found = np.array(rows).T
    assert macro_f1(gold, found) == pytest.approx(f1_score(gold, found, average="macro", zero_division=0))


def test_the_interval_covers_the_truth_as_often_as_it_says():
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(100):
        gold = random.integers(0, 3, 300)
        found = np.where(random.random(300) < 0.8, gold, random.integers(0, 3, 300))
        low, high = bootstrap_interval(accuracy, gold, found)
        covered += low <= 0.8 + 0.2 / 3 <= high
    assert 88 <= covered <= 100


def test_calibration_error_of_the_calibrated_is_small_and_of_the_overconfident_is_not():
    random = np.random.default_rng(1)
    p = random.dirichlet([1, 1, 1], 6000)
    gold = np.array([random.choice(3, p=row) for row in p])
    assert calibration_error(gold, p) < 0.03
    sure = p**4 / (p**4).sum(1, keepdims=True)
    assert calibration_error(gold, sure) > 0.15


def test_selective_accuracy_leaves_out_the_least_confident():
    p = np.array([[0.9, 0.1, 0.0]] * 8 + [[0.5, 0.4, 0.1]] * 2)
    gold = np.array([0] * 8 + [1] * 2)
    assert selective_accuracy(gold, p) == 1
    assert selective_accuracy(gold, p, coverage=1) == 0.8


def test_measure_breaks_down_by_field_and_counts_contrast_sets():
    rows = [{"label": LABELS[i % 3], "group": f"set-{i // 3}", "register": "news"} for i in range(60)]
    p = np.eye(3, dtype=np.float32)[[i % 3 for i in range(60)]] * 0.9 + 0.1 / 3
    p[0] = p[1]
    figures = measure(rows, p / p.sum(1, keepdims=True), ["register"])
    assert figures["contrast_sets"] == {"n": 20, "all_right": 0.95}
    assert figures["slices"]["register"]["news"]["accuracy"] == pytest.approx(59 / 60)
    assert figures["confusion"] == [[19, 1, 0], [0, 20, 0], [0, 0, 20]]


def test_baselines_learn_something():
    train = corpus.load("train")[:600]
    models = baselines(train)
    gold = [LABELS.index(row["label"]) for row in train]
    assert models["TF-IDF + logistic regression"].score([row["text"] for row in train], gold) > 0.9


@pytest.fixture(scope="module")
def metrics() -> dict:
    return Checkpoint.open().metrics


def test_the_figures_are_those_of_the_weights_that_ship(metrics: dict):
    assert metrics["model"]["sha256"] == Checkpoint.open().sha256()
    assert len(metrics["model"]["training"]["corpus_sha256"]) == 64


def test_a_figure_of_the_card_is_reproduced(clf, metrics: dict):
    # One register, for the whole split takes minutes.
    rows = [row for row in corpus.load("test") if row["register"] == "speech"]
    gold = np.array([LABELS.index(row["label"]) for row in rows])
    found = clf.predict_proba([row["text"] for row in rows]).argmax(1)
    written = metrics["data"]["seeds test"]["slices"]["register"]["speech"]
    assert len(rows) == written["n"] >= 100
    # A sentence on the edge may fall to the other side on another processor.
    assert (gold == found).mean() == pytest.approx(written["accuracy"], abs=1.5 / len(rows))
    assert len(corpus.load("test")) == metrics["data"]["seeds test"]["n"]


def test_readme_and_model_card_show_these_figures(metrics: dict):
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert card.figures_table(metrics) in readme
    assert card.holders_table(metrics) in readme
    assert card.model_card(metrics) == (shipped()[DEFAULT_MODEL] / "README.md").read_text(encoding="utf-8")


def test_the_first_result_of_the_readme_is_what_the_model_says(clf):
    shown = [line for line in (REPOSITORY / "README.md").read_text().splitlines() if line.startswith("oppose")]
    assert shown == [str(clf.predict("Norda rules out soldiers on the ground."))]


def test_real_text_was_measured_and_is_not_in_the_repository(metrics: dict):
    assert metrics["data"]["real_dev"]["n"] == 207
    assert "text" not in json.dumps(metrics["data"]["real_dev"])
    assert not list(Path(REPOSITORY).glob("seeds/**/real_dev*"))
