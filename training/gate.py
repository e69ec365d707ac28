"""Make the first stage that ships, ``gate.safetensors``, and measure what it misses and what it saves.

    python -m training.gate models/base --unlabelled copies.jsonl.gz --real real_dev.jsonl

It learns the labels of the corpus and of the real sentences that have one. On all other sentences in ``--unlabelled``
it then learns what it says itself, with the doubtful ones left doubtful (self-training; Scudder 1965), so that it knows
ordinary news and debates too. The threshold and the probabilities come from scores of sentences that were held out
(five folds, groups kept together). The test split, the gold documents and ``--real`` are only measured on; but the
misses in ``--real`` were in view when the rule for the threshold was made, and those in the gold documents when
`stancelib.gate.NEAR` was (none beyond eight sentences). The model has no part in it, so the file stays good when the
weights change. Writes ``gate.safetensors`` and the key ``gate`` of ``metrics.json``; takes a minute.
"""

from __future__ import annotations

import argparse
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

from stancelib.checkpoint import GATE
from stancelib.gate import BUCKETS, Gate, features, near_the_military
from training import corpus, documents, real

MISSED = 0.005  # of the sentences with a position, at most, in the corpus and in real text alike
SPARED = 1  # of those of real text that this lets go, so many are kept all the same: they are few to measure on
FOLDS = 5
REGULARISATION = 3.0
REAL_WEIGHT = 3.0  # a labelled real sentence counts as so many of the corpus: it is the kind that will be read
SURELY_NEUTRAL = 0.05  # an unlabelled sentence with a lower probability of a position counts as one without

Row = dict[str, Any]


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


def takes_position(rows: Sequence[Row]) -> NDArray[np.bool_]:
    return np.array([row["label"] != "neutral" for row in rows], dtype=bool)


def held_out_scores(
    x: csr_matrix, positions: NDArray[np.float64], weights: NDArray[np.float64], groups: Sequence[str]
) -> NDArray[np.float64]:
    """The score of each row of ``x`` by a model that has not seen it, nor others of its group."""
    scores = np.zeros(x.shape[0])
    for learnt, left in GroupKFold(FOLDS, shuffle=True, random_state=1).split(x, groups=groups):
        scores[left] = fit(x, positions, weights, learnt).decision_function(x[left])
    return scores


def choose_floor(scores: Sequence[NDArray[np.float64]]) -> float:
    """The highest score below which no more of the sentences with a position lie than may be missed.

    ``scores`` are theirs by kind of text, the last being real text if there are two: the worst kind decides.
    """
    lost = [int(MISSED * len(part)) for part in scores]
    if len(scores) > 1:
        lost[-1] = max(0, lost[-1] - SPARED)
    return float(min(np.sort(part)[count] for part, count in zip(scores, lost, strict=True)))


def measure(gate: Gate, rows: Sequence[Row]) -> dict[str, Any]:
    """Recall on the sentences with a position, with its interval, and the share of the others that is skipped."""
    kept, takes = gate.keeps(gate.scores([row["text"] for row in rows])), takes_position(rows)
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


def measure_documents(gate: Gate) -> dict[str, Any]:
    """What both halves of the first stage miss and skip in the gold documents, read as a corpus is."""
    n = missed = far = count = skipped = 0
    for document in documents.load():
        texts = [document["text"][start:end] for start, end in documents.spans(document)]
        near = near_the_military(texts, document["title"])
        gated = [told is not None for told in gate.predictions(texts, near)]
        takes = takes_position(document["sentences"])
        n, missed = n + int(takes.sum()), missed + int(takes[gated].sum())
        count, skipped, far = count + len(texts), skipped + sum(gated), far + near.count(False)
    return {
        "n": count,
        "positions": n,
        "missed": missed,
        "recall": 1 - missed / n,
        "recall_interval": clopper_pearson(n - missed, n),
        "skipped": skipped / count,
        "far_from_the_military": far / count,
    }


def calibrate(scores: NDArray[np.float64], positions: NDArray[np.float64]) -> tuple[float, float]:
    """Slope and intercept of P(position | score) on held-out text (Platt 1999)."""
    both = np.concatenate([scores, scores])[:, None]
    model = LogisticRegression(C=1e6).fit(
        both, np.repeat([1, 0], len(scores)), sample_weight=np.concatenate([positions, 1 - positions])
    )
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def make(unlabelled: Path | None) -> tuple[Gate, dict[str, Any]]:
    """The gate, and its figures on held-out text."""
    seeds = corpus.load("train") + corpus.load("validation")
    labelled: list[Row] = []
    others: list[str] = []
    if unlabelled is not None:
        found = real.load(unlabelled)
        labelled = found["train"] + found["validation"]
        known = {row["text"] for row in labelled}
        others = [text for text in real.read_texts(unlabelled) if text not in known]
    rows = seeds + labelled
    takes = takes_position(rows)
    in_real = np.arange(len(rows)) >= len(seeds)
    x = matrix([row["text"] for row in rows] + others)
    groups = [row["group"] or row["id"] for row in seeds]
    groups += [corpus.normalise(text) for text in [row["text"] for row in labelled] + others]

    positions = takes.astype(np.float64)
    weights = np.where(in_real, REAL_WEIGHT, 1.0)
    scores = held_out_scores(x[: len(rows)], positions, weights, groups[: len(rows)])
    if others:
        slope, intercept = calibrate(scores[in_real], positions[in_real])
        first = fit(x, positions, weights, np.arange(len(rows)))
        told = 1 / (1 + np.exp(-(slope * first.decision_function(x[len(rows) :]) + intercept)))
        positions = np.concatenate([positions, np.where(told < SURELY_NEUTRAL, 0.0, told)])
        weights = np.concatenate([weights, np.ones(len(others))])
        scores = held_out_scores(x, positions, weights, groups)
    labelled_scores = scores[: len(rows)]
    parts = {"corpus": ~in_real, **({"real": in_real} if labelled else {})}
    floor = choose_floor([labelled_scores[part & takes] for part in parts.values()])
    # Real text is what will be read: calibrated on it, where there is some.
    last = list(parts.values())[-1]
    slope, intercept = calibrate(labelled_scores[last], takes[last].astype(np.float64))
    ordered = [rows[index]["label"] for index in np.argsort(labelled_scores) if takes[index]]
    low = ordered[: max(10, len(ordered) // 100)]
    final = fit(x, positions, weights, np.arange(x.shape[0]))
    coefficients = final.coef_[0]
    scale = float(np.abs(coefficients).max() / 127)
    gate = Gate(
        weights=np.rint(coefficients / scale).astype(np.int8),
        scale=scale,
        bias=float(final.intercept_[0]),
        floor=floor,
        slope=slope,
        intercept=intercept,
        support_share=low.count("support") / len(low),
    )
    figures: dict[str, Any] = {"held_out": {}}
    for name, part in parts.items():
        n, missed = int((part & takes).sum()), int((labelled_scores[part & takes] < floor).sum())
        figures["held_out"][name] = {
            "positions": n,
            "missed": missed,
            "recall": 1 - missed / n,
            "recall_interval": clopper_pearson(n - missed, n),
            "neutral_skipped": float((labelled_scores[part & ~takes] < floor).mean()),
        }
    if others:
        figures["held_out"]["unlabelled"] = {
            "n": len(others),
            "skipped": float((scores[len(rows) :] < floor).mean()),
        }
    return gate, figures


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.gate", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", type=Path, nargs="?", default=Path("models/base"))
    parser.add_argument(
        "--unlabelled", type=Path, help="real sentences, some with labels in training/real_labels.jsonl"
    )
    parser.add_argument("--real", type=Path, help="labelled real sentences to measure on")
    parser.add_argument("--output", type=Path, help="the folder to write to (default: the model's)")
    arguments = parser.parse_args(argv)
    output: Path = arguments.output or arguments.model
    gate, figures = make(arguments.unlabelled)
    output.mkdir(parents=True, exist_ok=True)
    gate.save(output)
    test = corpus.load("test")
    figures["seeds/test"] = measure(gate, test)
    figures["seeds/documents"] = measure_documents(gate)
    if arguments.real is not None:
        figures["real_dev"] = measure(gate, [row for _, row in corpus.read_jsonl(arguments.real)])
    sentences = [row["text"] for row in test]
    start = time.perf_counter()
    gate.scores(sentences)
    figures["sentences_per_second"] = round(len(sentences) / (time.perf_counter() - start))
    figures |= {"floor": gate.floor, "bytes": (output / GATE).stat().st_size}
    path = output / "metrics.json"
    metrics = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    path.write_text(json.dumps(metrics | {"gate": figures}, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
