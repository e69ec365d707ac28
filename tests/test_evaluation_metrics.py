"""The figures are scikit-learn's, or those of the plain formula; the intervals cover what they should."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from stancelib.evaluation import bootstrap, metrics


@st.composite
def labelled(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes of three labels and probabilities, of 1 to 200 rows; some labels may lack, some confidences may tie."""
    n = draw(st.integers(1, 200))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    gold = rng.integers(0, draw(st.integers(1, 3)), n)
    probabilities = rng.dirichlet(np.full(3, draw(st.sampled_from([0.2, 1.0, 5.0]))), n)
    probabilities = np.round(probabilities, draw(st.sampled_from([1, 2, 8]))) + 1e-6
    return gold, probabilities.argmax(axis=1), probabilities / probabilities.sum(axis=1, keepdims=True)


@given(labelled())
@settings(max_examples=60)
def test_figures_of_labels_are_those_of_scikit_learn(rows: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    gold, found, _ = rows
    confusion = metrics.confusion_matrix(gold, found, 3)
    np.testing.assert_array_equal(confusion, sk.confusion_matrix(gold, found, labels=range(3)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of labels that do not occur
        each = sk.precision_recall_fscore_support(gold, found, labels=range(3), zero_division=np.nan)
        macro = sk.precision_recall_fscore_support(gold, found, average="macro", zero_division=0)
        kappa = sk.cohen_kappa_score(gold, found)
    for own, theirs in zip((metrics.precision, metrics.recall, metrics.f1), each[:3], strict=True):
        np.testing.assert_allclose(own(confusion), theirs)
    for measure, value in (
        (metrics.accuracy, sk.accuracy_score(gold, found)),
        (metrics.macro_precision, macro[0]),
        (metrics.macro_recall, macro[1]),
        (metrics.macro_f1, macro[2]),
        (metrics.matthews, sk.matthews_corrcoef(gold, found)),
        (metrics.kappa, kappa),
    ):
        np.testing.assert_allclose(measure(confusion), value, atol=1e-12, err_msg=measure.__name__)


@given(labelled())
@settings(max_examples=60)
def test_figures_of_probabilities_are_those_of_scikit_learn_and_of_the_formulas(
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    gold, found, probabilities = rows
    confidence, right = probabilities.max(axis=1), gold == found
    assert metrics.log_losses(gold, probabilities).mean() == pytest.approx(
        sk.log_loss(gold, probabilities, labels=range(3))
    )
    assert metrics.brier_scores(gold, probabilities).mean() == pytest.approx(
        sk.brier_score_loss(gold, probabilities, labels=range(3), scale_by_half=False)
    )
    bins = [b for b in np.array_split(np.argsort(confidence, kind="stable"), 15) if len(b)]
    error = sum(len(b) / len(gold) * abs(confidence[b].mean() - right[b].mean()) for b in bins)
    assert metrics.calibration_error(confidence, right) == pytest.approx(error, abs=1e-9)
    surest = sorted(range(len(gold)), key=lambda row: -confidence[row])  # stable, too
    for coverage in (0.1, 0.8, 1.0):
        kept = surest[: max(1, round(coverage * len(gold)))]
        ranked = right[metrics.by_confidence(confidence)]
        assert metrics.selective_accuracy(ranked, coverage) == pytest.approx(np.mean([right[row] for row in kept]))


@given(labelled())
@settings(max_examples=30)
def test_semeval_is_the_mean_of_two_f1_of_scikit_learn(rows: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    gold, found, _ = rows
    figure = metrics.semeval_f1(metrics.confusion_matrix(gold, found, 3), ["support", "oppose", "neutral"])
    each = sk.f1_score(gold, found, labels=[0, 1], average=None, zero_division=np.nan)
    assert figure == pytest.approx(each.mean(), nan_ok=True)


def test_semeval_counts_the_third_label_through_its_errors() -> None:
    gold = np.array([0, 0, 1, 1, 2, 2])
    found = np.array([0, 0, 1, 1, 0, 2])
    figure = metrics.semeval_f1(metrics.confusion_matrix(gold, found, 3), ["support", "oppose", "neutral"])
    assert figure == pytest.approx((0.8 + 1.0) / 2)


def test_risk_coverage_by_hand() -> None:
    right = np.array([True, True, False, True])
    np.testing.assert_allclose(metrics.selective_risks(right), [0, 0, 1 / 3, 1 / 4])
    assert metrics.aurc(right) == pytest.approx((1 / 3 + 1 / 4) / 4)


def test_resampled_matrices_are_those_of_resampled_rows() -> None:
    """Drawing the counts of cells, or of kinds of groups, gives what drawing rows or groups gives."""
    rng = np.random.default_rng(3)
    gold, noise = rng.integers(0, 3, 300), rng.random(300)
    found = np.where(noise < 0.75, gold, rng.integers(0, 3, 300))
    for groups in (None, rng.integers(0, 40, 300)):
        fast = bootstrap.confusions(gold, found, 3, groups, resamples=4000)
        slow = np.array(
            [
                np.bincount(gold * 3 + found, weights=weights, minlength=9).reshape(3, 3)
                for weights in bootstrap.weights(300, groups, resamples=4000, seed=2)
            ]
        )
        if groups is None:
            assert (fast.sum(axis=(1, 2)) == 300).all()
        for measure in (metrics.accuracy, metrics.macro_f1):
            one, other = measure(fast), measure(slow)
            assert one.mean() == pytest.approx(other.mean(), abs=0.003)
            np.testing.assert_allclose(np.percentile(one, [2.5, 97.5]), np.percentile(other, [2.5, 97.5]), atol=0.012)


def test_intervals_cover_and_groups_widen_them() -> None:
    """Rows of a group are right or wrong together: only intervals over groups have their 95 %."""
    rng = np.random.default_rng(5)
    covered = {"rows": 0, "groups": 0}
    for seed in range(200):
        groups = np.repeat(np.arange(60), 5)
        right = (rng.random(60) < 0.8)[groups]
        gold = np.zeros(300, dtype=np.int64)
        for name, given_groups in (("rows", None), ("groups", groups)):
            resampled = metrics.accuracy(bootstrap.confusions(gold, 1 - right, 2, given_groups, 500, seed))
            low, high = bootstrap.interval(resampled) or (np.nan, np.nan)
            covered[name] += low <= 0.8 <= high
    assert covered["groups"] >= 180
    assert covered["rows"] <= 150


def test_no_interval_where_resamples_do_not_vary() -> None:
    gold = np.array([0, 1, 2] * 10)
    assert bootstrap.interval(metrics.accuracy(bootstrap.confusions(gold, gold, 3))) is None


def test_interval_of_the_calibration_error_holds_the_figure() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.34, 1, 400)
    right = rng.random(400) < confidence
    error = metrics.calibration_error(confidence, right)
    drawn = []
    for weights in bootstrap.weights(400, resamples=500):
        rows = np.repeat(np.arange(400), weights)
        drawn.append(metrics.calibration_error(confidence[rows], right[rows]))
    plain = bootstrap.interval(np.array(drawn))
    centred = bootstrap.centred_interval(error, np.array(drawn))
    assert plain is not None
    assert centred is not None
    assert np.mean(drawn) > error  # why it is moved
    assert centred[0] <= error <= centred[1]
