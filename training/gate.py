"""Make the first stage that ships, ``gate.npz``, and measure what it misses and what it saves.

    python -m training.gate models/base --unlabelled copies.jsonl.gz --real real_dev.jsonl

It learns the labels of the train split and of the real sentences that have one, and, of all others in
``--unlabelled``, what the model itself says (distillation; Hinton et al. 2015), so that it knows ordinary news and
debates too. Thresholds and probabilities come from scores of sentences that were held out (five folds); groups are not
parted. The test split and ``--real`` are only measured on. Writes ``gate.npz`` and the key ``gate`` of
``metrics.json``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.stats import beta
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from stancelib.classifier import WINDOW, StanceClassifier
from stancelib.gate import BUCKETS, GATE, Gate, features, kept_in_document
from stancelib.labels import LABELS
from training import corpus, documents, real

CACHE = Path("runs/gate")
MISSED = 0.005  # of the sentences with a position, at most, in the corpus and in real text alike
FOLDS = 5
REGULARISATION = 3.0
REAL_WEIGHT = 3.0  # a labelled real sentence counts as so many of the corpus: it is the kind that will be read
# Of the held-out positions, the share that is plainly on the topic by itself; see `choose_topic`.
TOPIC_SHARES = (0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.985, 0.99, 0.995)

Row = dict[str, Any]
Scores = NDArray[np.float32]
_NEUTRAL = LABELS.index("neutral")


def clopper_pearson(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share (Clopper & Pearson 1934), two-sided."""
    tail = (1 - level) / 2
    low = float(beta.ppf(tail, successes, n - successes + 1)) if successes else 0.0
    high = float(beta.ppf(1 - tail, successes + 1, n - successes)) if successes < n else 1.0
    return low, high


def matrix(texts: Sequence[str]) -> csr_matrix:
    """A row a text: how often each bucket occurs, over the square root of how many there are."""
    rows = [list(features(text)) for text in texts]
    ends = np.cumsum([0, *map(len, rows)])
    values = np.concatenate([np.full(len(row), 1 / max(1, len(row)) ** 0.5, dtype=np.float32) for row in rows])
    made = csr_matrix(
        (values, np.concatenate([np.array(row, dtype=np.int32) for row in rows]), ends), (len(rows), BUCKETS)
    )
    made.sum_duplicates()
    return made


def fit(x: csr_matrix, positions: NDArray[np.float64], weights: NDArray[np.float64], rows: NDArray[np.intp]) -> Any:
    """A logistic regression on the ``rows`` of ``x``; ``positions`` are probabilities, and count on both sides."""
    chosen, soft = x[rows], positions[rows]
    model = LogisticRegression(C=REGULARISATION, solver="liblinear", random_state=1, max_iter=200)
    yes, no = np.flatnonzero(soft > 0), np.flatnonzero(soft < 1)
    both = np.concatenate([yes, no])
    return model.fit(
        chosen[both],
        np.repeat([1, 0], [len(yes), len(no)]),
        sample_weight=weights[rows][both] * np.concatenate([soft[yes], 1 - soft[no]]),
    )


def model_says(classifier: StanceClassifier, texts: list[str], cache: Path = CACHE) -> NDArray[np.float64]:
    """P(support or oppose) of each text by the model, kept in ``cache`` by its weights and the texts."""
    key = hashlib.sha256("\n".join([classifier.checkpoint.sha256(), *texts]).encode()).hexdigest()[:16]
    path = cache / f"{key}.npy"
    if path.is_file():
        return np.asarray(np.load(path, allow_pickle=False))
    found: list[NDArray[np.float64]] = []
    start = time.monotonic()
    for done in range(0, len(texts), WINDOW):
        part = classifier.predict_proba(texts[done : done + WINDOW])
        found.append(1 - part[:, _NEUTRAL].astype(np.float64))
        print(f"model: {done + len(part):,} of {len(texts):,} sentences, {time.monotonic() - start:.0f} s", flush=True)
    cache.mkdir(parents=True, exist_ok=True)
    values = np.concatenate(found)
    np.save(path, values)
    return values


def takes_position(rows: Sequence[Row]) -> NDArray[np.bool_]:
    return np.array([row["label"] != "neutral" for row in rows], dtype=bool)


def choose_floor(parts: Sequence[Scores], missed: float = MISSED) -> float:
    """The highest score below which at most the share ``missed`` of each of ``parts`` lies.

    ``parts`` are the scores of sentences with a position, by kind of text: the worst one decides.
    """
    return float(min(np.sort(part)[int(missed * len(part))] for part in parts))


def choose_topic(
    parts: Sequence[Scores], texts: Sequence[tuple[Scores, NDArray[np.bool_]]], floor: float, missed: float = MISSED
) -> float:
    """The highest of some thresholds with which documents miss at most ``missed`` of their positions.

    Args:
        parts: scores of sentences with a position, by kind of text; a threshold that leaves few of these plainly on
            the topic asks too much of the neighbours.
        texts: of each document, the scores of its sentences in order, and which of them take a position.
        floor: see `choose_floor`.
    """
    for share in TOPIC_SHARES if texts else ():
        topic = max(floor, choose_floor(parts, 1 - share))
        kept = np.concatenate([kept_in_document(scores, floor, topic)[takes] for scores, takes in texts])
        if (~kept).mean() <= missed:
            return topic
    return floor


def measure(gate: Gate, rows: Sequence[Row]) -> dict[str, Any]:
    """Recall on the sentences with a position, with its interval, and the share of the others that is skipped."""
    kept, takes = gate.keeps([row["text"] for row in rows]), takes_position(rows)
    n, found = int(takes.sum()), int((kept & takes).sum())
    off_topic = np.array(["offtopic" in row.get("phenomena", ()) for row in rows])
    figures = {
        "n": len(rows),
        "positions": n,
        "missed": n - found,
        "recall": found / n,
        "recall_interval": clopper_pearson(found, n),
        "neutral_skipped": float((~kept)[~takes].mean()),
    }
    if off_topic.any():
        figures["off_topic_skipped"] = float((~kept)[off_topic].mean())
    return figures


def measure_documents(texts: Sequence[tuple[Scores, NDArray[np.bool_]]], floor: float, topic: float) -> dict[str, Any]:
    kept = np.concatenate([kept_in_document(scores, floor, topic) for scores, _ in texts])
    takes = np.concatenate([takes for _, takes in texts])
    n, found = int(takes.sum()), int((kept & takes).sum())
    return {
        "documents": len(texts),
        "n": len(kept),
        "positions": n,
        "missed": n - found,
        "recall": found / n,
        "recall_interval": clopper_pearson(found, n),
        "skipped": float((~kept).mean()),
    }


def calibrate(scores: Scores, positions: NDArray[np.float64]) -> tuple[float, float]:
    """Slope and intercept of P(position | score) on held-out text (Platt 1999)."""
    both = np.concatenate([scores, scores])[:, None]
    model = LogisticRegression(C=1e6).fit(
        both, np.repeat([1, 0], len(scores)), sample_weight=np.concatenate([positions, 1 - positions])
    )
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def make(model: Path, unlabelled: Path | None, sentences: int | None = None) -> tuple[Gate, dict[str, Any]]:
    """The gate for ``model``, and its figures on held-out text."""
    seeds = (corpus.load("train") + corpus.load("validation"))[:sentences]
    labelled: list[Row] = []
    others: list[str] = []
    if unlabelled is not None:
        found = real.load(unlabelled)
        labelled = (found["train"] + found["validation"])[:sentences]
        known = {row["text"] for row in labelled}
        others = [text for text in real.read_texts(unlabelled) if text not in known][:sentences]
    rows = seeds + labelled
    positions = takes_position(rows).astype(np.float64)
    weights = np.repeat([1.0, REAL_WEIGHT, 1.0], [len(seeds), len(labelled), len(others)])
    if others:
        positions = np.concatenate([positions, model_says(StanceClassifier.from_pretrained(model), others)])
    x = matrix([row["text"] for row in rows] + others)
    groups = [row["group"] or row["id"] for row in seeds]
    groups += [corpus.normalise(text) for text in [row["text"] for row in labelled] + others]

    held_out = np.zeros(x.shape[0], dtype=np.float32)
    for learnt, left in GroupKFold(FOLDS, shuffle=True, random_state=1).split(x, groups=groups):
        held_out[left] = fit(x, positions, weights, learnt).decision_function(x[left])
    final = fit(x, positions, weights, np.arange(x.shape[0]))

    takes = positions >= 0.5
    is_real = np.arange(len(takes)) >= len(seeds)
    in_seeds, in_real = np.flatnonzero(~is_real & takes), np.flatnonzero(is_real & takes)
    parts = [held_out[in_seeds], *([held_out[in_real[in_real < len(rows)]]] if labelled else [])]
    floor = choose_floor(parts)
    texts = _documents_of(seeds, held_out)
    topic = choose_topic(parts, texts, floor)
    # Real text is what will be read: calibrated on it, where there is some.
    on = np.flatnonzero(is_real) if is_real.any() else np.arange(len(takes))
    slope, intercept = calibrate(held_out[on], positions[on])
    low = [
        row["label"] for row, score in zip(rows, held_out, strict=False) if score < topic and row["label"] != "neutral"
    ]
    coefficients = final.coef_[0]
    scale = float(np.abs(coefficients).max() / 127)
    gate = Gate(
        np.rint(coefficients / scale).astype(np.int8),
        scale,
        float(final.intercept_[0]),
        floor,
        topic,
        slope,
        intercept,
        (low.count("support") + 1) / (len(low) + 2),
    )
    skipped = held_out < floor
    figures: dict[str, Any] = {"held_out": {}}
    for name, part in zip(("corpus", "real"), parts, strict=False):
        n, missed = len(part), int((part < floor).sum())
        figures["held_out"][name] = {
            "positions": n,
            "missed": missed,
            "recall": 1 - missed / n,
            "recall_interval": clopper_pearson(n - missed, n),
        }
    if is_real.any():
        probable = 1 / (1 + np.exp(-(slope * held_out + intercept)))
        figures["held_out"]["real"] |= {
            "n": int(is_real.sum()),
            "neutral_skipped": float(skipped[is_real & ~takes].mean()),
            "skipped_expected_positions": float(probable[is_real & skipped].sum()),
            "skipped_positions": float(positions[is_real & skipped].sum()),
        }
    if texts:
        figures["held_out"]["documents"] = measure_documents(texts, floor, topic)
    return gate, figures


def _documents_of(rows: Sequence[Row], scores: Scores) -> list[tuple[Scores, NDArray[np.bool_]]]:
    """Scores and positions of the sentences of each document in the corpus, in order."""
    by_group: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        if (row["group"] or "").startswith("doc-"):
            by_group.setdefault(row["group"], []).append(index)
    takes = takes_position(rows)
    return [(scores[indices], takes[indices]) for indices in by_group.values() if len(indices) > 1]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.gate", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", type=Path, nargs="?", default=Path("models/base"))
    parser.add_argument(
        "--unlabelled", type=Path, help="real sentences, some with labels in training/real_labels.jsonl"
    )
    parser.add_argument("--real", type=Path, help="labelled real sentences to measure on")
    parser.add_argument("--sentences", type=int, help="of each kind of text, to try something out")
    parser.add_argument("--output", type=Path, help="the folder to write to (default: the model's)")
    arguments = parser.parse_args(argv)
    output: Path = arguments.output or arguments.model
    gate, figures = make(arguments.model, arguments.unlabelled, arguments.sentences)
    output.mkdir(parents=True, exist_ok=True)
    gate.save(output)
    test = corpus.load("test")
    figures["seeds/test"] = measure(gate, test)
    gold = documents.load()
    texts = [
        (gate.scores([sentence["text"] for sentence in doc["sentences"]]), takes_position(doc["sentences"]))
        for doc in gold
    ]
    figures["seeds/documents"] = measure_documents(texts, gate.floor, gate.topic)
    if arguments.real is not None:
        figures["real_dev"] = measure(gate, [row for _, row in corpus.read_jsonl(arguments.real)])
    sentences = [row["text"] for row in test]
    start = time.perf_counter()
    gate.scores(sentences)
    figures["sentences_per_second"] = round(len(sentences) / (time.perf_counter() - start))
    figures |= {"floor": gate.floor, "topic": gate.topic, "bytes": (output / GATE).stat().st_size}
    path = output / "metrics.json"
    metrics = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    path.write_text(json.dumps(metrics | {"gate": figures}, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
