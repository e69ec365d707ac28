"""Step 4: measure a model on held-out text, beside simple baselines, and write the figures where readers look.

    python -m training.evaluate models/base --real real_dev.jsonl --readme README.md

Measures on the test split of ``seeds/`` and its gold documents, on the behaviour suite and, with ``--real``, on a JSON
Lines file of real sentences (text, label, source). Writes ``metrics.json``, the model card ``README.md`` and its
pictures into the model's folder and, with ``--readme``, the tables between the ``figures`` and ``holders`` marks of
that file. Figures of the same weights on other data are kept.
"""

from __future__ import annotations

import argparse
import collections
import json
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support
from sklearn.pipeline import make_pipeline

import stancelib
from stancelib.evaluation import metrics
from stancelib.evaluation.bootstrap import RESAMPLES, SEED
from stancelib.labels import LABELS
from training import behaviour, card, corpus, documents, plots
from training.evaluate_holders import document_scores, span_scores

CONFIDENCE = 0.95
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)

Indices = NDArray[np.int64]


def macro_f1(gold: Indices, found: Indices, axis: int = -1) -> Any:
    """Mean F1 of the classes that occur in gold or found, along ``axis``; equals scikit-learn's macro average."""
    scores = []
    for label in range(len(LABELS)):
        hits = ((gold == label) & (found == label)).sum(axis=axis)
        total = (gold == label).sum(axis=axis) + (found == label).sum(axis=axis)
        scores.append(np.where(total > 0, 2 * hits / np.maximum(total, 1), np.nan))
    return np.nanmean(np.stack(scores), axis=0)


def accuracy(gold: Indices, found: Indices, axis: int = -1) -> Any:
    return (gold == found).mean(axis=axis)


def bootstrap_interval(statistic: Callable[..., Any], gold: Indices, found: Indices) -> tuple[float, float]:
    """95 % percentile interval of ``statistic`` over resampled sentences (Efron & Tibshirani 1993)."""
    result = stats.bootstrap(
        (gold, found),
        statistic,
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=100,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(SEED),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def calibration_error(gold: Indices, probabilities: NDArray[np.float32]) -> float:
    """Expected calibration error, see `stancelib.evaluation.metrics.calibration_error`."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    return metrics.calibration_error(confidence, probabilities.argmax(axis=1) == gold)


def selective_accuracy(gold: Indices, probabilities: NDArray[np.float32], coverage: float = 0.8) -> float:
    """Share of the most confident ``coverage`` of the sentences that is right (El-Yaniv & Wiener 2010)."""
    order = metrics.by_confidence(probabilities.max(axis=1))
    return metrics.selective_accuracy(probabilities[order].argmax(axis=1) == gold[order], coverage)


def abstention(gold: Indices, probabilities: NDArray[np.float32]) -> list[dict[str, float]]:
    """For each of `THRESHOLDS`: what share of the sentences is more confident, and what share of those is wrong."""
    confidence, wrong = probabilities.max(axis=1), probabilities.argmax(axis=1) != gold
    rows = []
    for threshold in THRESHOLDS:
        kept = confidence >= threshold
        risk = float(wrong[kept].mean()) if kept.any() else 0.0
        rows.append({"threshold": threshold, "coverage": float(kept.mean()), "risk": risk})
    return rows


def measure(
    rows: Sequence[dict[str, Any]], probabilities: NDArray[np.float32], slices: Sequence[str]
) -> dict[str, Any]:
    """All figures of one model on one set of labelled rows; ``slices`` names fields to break the rows down by."""
    gold = np.array([LABELS.index(row["label"]) for row in rows])
    found = probabilities.argmax(axis=1)
    precision, recall, f1, support = precision_recall_fscore_support(
        gold, found, labels=range(len(LABELS)), zero_division=0
    )
    result: dict[str, Any] = {
        "n": len(rows),
        "macro_f1": float(macro_f1(gold, found)),
        "macro_f1_interval": bootstrap_interval(macro_f1, gold, found),
        "accuracy": float(accuracy(gold, found)),
        "accuracy_interval": bootstrap_interval(accuracy, gold, found),
        "log_loss": float(log_loss(gold, probabilities.astype(np.float64), labels=range(len(LABELS)))),
        "calibration_error": calibration_error(gold, probabilities),
        "selective_accuracy_80": selective_accuracy(gold, probabilities),
        "per_class": {
            label: {"precision": precision[i], "recall": recall[i], "f1": f1[i], "n": int(support[i])}
            for i, label in enumerate(LABELS)
        },
        "confusion": confusion_matrix(gold, found, labels=range(len(LABELS))).tolist(),
        "slices": {field: _by_value(rows, field, gold, found) for field in slices},
    }
    sets: dict[str, list[bool]] = collections.defaultdict(list)
    for row, right in zip(rows, gold == found, strict=True):
        if (row.get("group") or "").startswith("set-"):
            sets[row["group"]].append(bool(right))
    if sets:
        result["contrast_sets"] = {"n": len(sets), "all_right": sum(map(all, sets.values())) / len(sets)}
    return result


def _by_value(rows: Sequence[dict[str, Any]], field: str, gold: Indices, found: Indices) -> dict[str, Any]:
    members: dict[str, list[int]] = collections.defaultdict(list)
    for index, row in enumerate(rows):
        for value in row[field] if isinstance(row[field], list) else [row[field]]:
            members[value].append(index)
    result = {}
    for value, indices in sorted(members.items(), key=lambda item: -len(item[1])):
        if len(indices) >= 20:  # an interval on fewer says nothing
            some, other = gold[indices], found[indices]
            result[value] = {
                "n": len(indices),
                "macro_f1": float(macro_f1(some, other)),
                "macro_f1_interval": bootstrap_interval(macro_f1, some, other),
                "accuracy": float(accuracy(some, other)),
                "accuracy_interval": bootstrap_interval(accuracy, some, other),
            }
    return result


def baselines(train: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What any analyst could set up in ten minutes, trained on the same split: predict_proba by name."""
    texts, labels = [row["text"] for row in train], [LABELS.index(row["label"]) for row in train]
    models = {
        "TF-IDF + logistic regression": make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True),
            LogisticRegression(C=10, max_iter=2000, class_weight="balanced", random_state=SEED),
        ),
        "majority class": DummyClassifier(strategy="most_frequent"),
    }
    return {name: model.fit(texts, labels) for name, model in models.items()}


def _baseline(rows: Sequence[dict[str, Any]], gold: Indices, found: Indices, slices: Sequence[str]) -> dict[str, Any]:
    """Macro-F1 of a baseline, as a whole and by source."""
    return {
        "macro_f1": float(macro_f1(gold, found)),
        "macro_f1_interval": bootstrap_interval(macro_f1, gold, found),
        "slices": {field: _by_value(rows, field, gold, found) for field in slices if field == "source"},
    }


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--real", type=Path, help="a .jsonl file of real sentences: text, label, source")
    parser.add_argument("--readme", type=Path, help="a file whose part between the figures marks is rewritten")
    parser.add_argument("--backend", choices=["onnx", "torch"], default="onnx")
    parser.add_argument("--dry-run", action="store_true", help="print the figures, write nothing")
    arguments = parser.parse_args(argv)
    classifier = stancelib.StanceClassifier.from_pretrained(arguments.model, backend=arguments.backend)
    sets: dict[str, tuple[list[dict[str, Any]], tuple[str, ...]]] = {
        "seeds test": (corpus.load("test"), ("register", "phenomena"))
    }
    if arguments.real:
        sets[arguments.real.stem] = ([row for _, row in corpus.read_jsonl(arguments.real)], ("source",))
    simple = baselines(corpus.load("train"))
    checkpoint = classifier.checkpoint
    before, sha256 = checkpoint.metrics, checkpoint.sha256()
    same = before.get("model", {}).get("sha256") == sha256
    measured: dict[str, Any] = dict(before.get("data", {})) if same else {}
    scored: plots.Scored = {}
    for name, (rows, slices) in sets.items():
        texts = [row["text"] for row in rows]
        gold = np.array([LABELS.index(row["label"]) for row in rows])
        predictions = classifier.predict(texts)
        probabilities = np.array([list(p.probabilities.values()) for p in predictions], dtype=np.float32)
        scored[name] = (probabilities.max(axis=1), probabilities.argmax(axis=1) == gold)
        measured[name] = measure(rows, probabilities, slices)
        measured[name]["abstention"] = abstention(gold, probabilities)
        if checkpoint.has_holders and name == "seeds test":
            measured[name]["holders"] = span_scores(rows, predictions)
        measured[name]["measured_on"] = date.today().isoformat()
        measured[name]["baselines"] = {
            title: _baseline(rows, gold, model.predict(texts), slices) for title, model in simple.items()
        }
        print(card.summary(name, measured[name]))
    whole = {}
    if checkpoint.has_holders:
        for split in documents.SPLITS:
            texts_of_split = documents.load(split)
            found = list(classifier.analyze_many([document["text"] for document in texts_of_split], exact=True))
            whole[split] = {"documents": len(found), **document_scores(texts_of_split, found)}
            print(card.document_line(split, whole[split]))
    suite = behaviour.measure(classifier)
    print("\n".join(f"  {name}: {part['rate']:.1%} of {part['n']}" for name, part in suite.items()))
    if arguments.dry_run:
        return
    plots.reliability(scored, checkpoint.folder / "reliability.png")
    plots.risk_coverage(scored, checkpoint.folder / "risk_coverage.png")
    written = {
        "model": {
            "name": checkpoint.name,
            "sha256": sha256,
            "stancelib": stancelib.__version__,
            "training": json.loads((checkpoint.folder / "training.json").read_text()),
        },
        "data": measured,
        "documents": whole,
        "behaviour": suite,
        "abstention": measured[list(measured)[-1]]["abstention"],  # of real sentences, where there are any
    }
    if "gate" in before:  # `training.gate` measures it, and the model has no part in it
        written["gate"] = before["gate"]
    (checkpoint.folder / "metrics.json").write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    (checkpoint.folder / "README.md").write_text(card.model_card(written), encoding="utf-8")
    if arguments.readme:
        card.rewrite_section(arguments.readme, "figures", card.figures_table(written))
        card.rewrite_section(arguments.readme, "holders", card.holders_table(written))


if __name__ == "__main__":
    main()
