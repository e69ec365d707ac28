"""What `stancelib.suggest` saves: the learning curve on our own corpus, against coding sentences drawn at random.

    python -m benchmarks.learning_curve                 # features of pretrained MPNet, which never saw the corpus
    python -m benchmarks.learning_curve --base tfidf    # words and pairs of words

There are two pools: sentences of the train split of seeds/ as they are, in which each label is frequent; and the same
without most of support and oppose, so that 85 % are neutral, which is nearer to real text. Labels are looked up as if
somebody coded the sentence; macro-F1 is measured on the test split. Both ways begin with the same 50 random sentences
and go on in rounds of 50: `suggest` chooses by the doubts of the learner that is fitted on what is coded so far, a
logistic regression on frozen features. Not on those of the shipped model: it was trained on these very labels, and
knows them after 50.

Intervals: 95 %, bootstrap of the test sentences (contrast sets and documents whole) and of the seeds; the same
resamples for both ways, so that differences are paired. Writes learning_curve.json, .md and .png beside this file (with
another base, learning_curve_BASE). Features are kept in --cache, so that a kill loses a minute.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stancelib import LABELS
from stancelib.estimator import Features
from stancelib.evaluation import bootstrap, metrics
from stancelib.suggestion import suggest
from training import corpus
from training.base_weights import resolve

HERE = Path(__file__).resolve().parent
WAYS = ("random", "suggest")
ROUND = 50
NEUTRAL = 0.85
PORTION = 512  # texts whose features are computed and kept at a time
Curves = dict[str, NDArray[np.int64]]  # way -> codes found for the test sentences, (seeds, rounds, sentences)


def drawn(split: str, n: int) -> list[corpus.Row]:
    """``n`` rows of a split; of more, the first ones are the same."""
    rows = corpus.load(split)
    return [rows[index] for index in np.random.default_rng(0).permutation(len(rows))[:n]]


def mostly_neutral(rows: Sequence[corpus.Row]) -> list[int]:
    """Which rows make a pool with a share of neutral ones like `NEUTRAL`, and as many of support as of oppose."""
    neutral = sum(row["label"] == "neutral" for row in rows)
    most = round(neutral * (1 - NEUTRAL) / NEUTRAL / 2)
    seen = dict.fromkeys(LABELS, 0)
    kept = []
    for index, row in enumerate(rows):
        seen[row["label"]] += 1
        if row["label"] == "neutral" or seen[row["label"]] <= most:
            kept.append(index)
    return kept


def features(base: str, texts: Sequence[str], pool: int, cache: Path) -> Any:
    """Features of the texts, a row each; the first ``pool`` of them, and the others, have portions of their own."""
    if base == "tfidf":
        return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2).fit_transform(texts)
    folder = resolve(base)
    read: Features | None = None
    parts = []
    starts = [*range(0, pool, PORTION), *range(pool, len(texts), PORTION), len(texts)]
    for start, end in pairwise(starts):
        portion = texts[start:end]
        key = hashlib.sha256("\0".join([base, *portion]).encode()).hexdigest()[:16]
        path = cache / f"{key}.npy"
        if not path.exists():
            read = read or Features(folder)
            cache.mkdir(parents=True, exist_ok=True)
            scratch = path.with_suffix(".part.npy")
            np.save(scratch, read(portion))
            scratch.rename(path)
            print(f"features of {end:,} of {len(texts):,} sentences", flush=True)
        parts.append(np.load(path))
    return np.concatenate(parts)


class Learner:
    """What `suggest` asks for its doubts: a regression that finds the features of a text by the text."""

    def __init__(self, base: str, matrix: Any, row_of: dict[str, int]) -> None:
        self._matrix, self._row_of = matrix, row_of
        regression = LogisticRegression(C=10.0 if base == "tfidf" else 0.01, class_weight="balanced", max_iter=1000)
        self._model = regression if base == "tfidf" else make_pipeline(StandardScaler(), regression)

    def fit(self, rows: Sequence[int], labels: Sequence[str]) -> Learner:
        self._model.fit(self._matrix[list(rows)], labels)
        self.classes_ = self._model.classes_
        return self

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = self._model.predict_proba(self._matrix[[self._row_of[text] for text in texts]])
        return found

    def codes(self, rows: Sequence[int]) -> NDArray[np.int64]:
        found = self._model.predict(self._matrix[list(rows)])
        return np.array([LABELS.index(label) for label in found])


def curves(
    base: str, matrix: Any, rows: Sequence[corpus.Row], pool: Sequence[int], test: range, sizes: list[int], seeds: int
) -> Curves:
    """``pool`` and ``test`` are indices of ``rows``, whose features are the rows of ``matrix``."""
    texts = [row["text"] for row in rows]
    row_of = {text: row for row, text in enumerate(texts)}
    found: Curves = {way: np.zeros((seeds, len(sizes), len(test)), dtype=np.int64) for way in WAYS}
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(pool).tolist()
        for way in WAYS:
            coded: list[int] = []
            learner: Learner | None = None
            for number, size in enumerate(sizes):
                if way == "random" or learner is None:
                    coded = order[:size]
                else:
                    left = sorted(set(order) - set(coded))
                    chosen = suggest(
                        [texts[row] for row in left],
                        size - len(coded),
                        model=learner,
                        coded=[texts[row] for row in coded],
                        seed=seed,
                    )
                    coded = coded + [left[item.index] for item in chosen]
                learner = Learner(base, matrix, row_of).fit(coded, [rows[row]["label"] for row in coded])
                found[way][seed, number] = learner.codes(test)
            print(f"{len(pool):,} sentences, seed {seed + 1}, {way}: done", flush=True)
    return found


def measure(found: Curves, test: list[corpus.Row], resamples: int) -> dict[str, Any]:
    """Macro-F1 for each way and size, differences, and the mean difference over the sizes; value, low, high each."""
    gold = np.array([LABELS.index(row["label"]) for row in test])
    k = len(LABELS)
    groups = np.unique([row.get("group") or row["id"] for row in test], return_inverse=True)[1]
    weights = np.stack([np.ones(len(test)), *bootstrap.weights(len(test), groups, resamples)])
    seeds = len(found[WAYS[0]])
    drawn = np.random.default_rng(bootstrap.SEED).integers(0, seeds, (resamples, seeds))
    of_seed = np.stack([np.full(seeds, 1 / seeds), *((draw[:, None] == np.arange(seeds)).mean(0) for draw in drawn)])
    scores: dict[str, NDArray[np.float64]] = {}
    for way in WAYS:
        # (seeds, rounds, resamples), the first resample being the sentences themselves
        each = [
            [metrics.macro_f1((weights @ np.eye(k * k)[gold * k + codes]).reshape(-1, k, k)) for codes in rounds]
            for rounds in found[way]
        ]
        scores[way] = np.einsum("srb,bs->rb", np.array(each), of_seed)
    scores["difference"] = scores["suggest"] - scores["random"]
    result: dict[str, Any] = {
        name: [[float(row[0]), *map(float, np.percentile(row[1:], bootstrap.PERCENTILES))] for row in rounds]
        for name, rounds in scores.items()
    }
    # The first round is the same for both.
    mean = scores["difference"][1:].mean(axis=0) if len(scores["difference"]) > 1 else scores["difference"][0]
    result["mean_difference"] = [float(mean[0]), *map(float, np.percentile(mean[1:], bootstrap.PERCENTILES))]
    return result


def labels_saved(sizes: list[int], measured: dict[str, Any]) -> str:
    """How many random sentences are worth as much as the suggested ones, read off the curves."""
    _, low, high = measured["mean_difference"]
    if low <= 0 <= high:
        return "That could be chance."
    goal = measured["suggest"][-1][0]
    enough = [size for size, score in zip(sizes, measured["random"], strict=True) if score[0] >= goal]
    reached = [
        size for size, score in zip(sizes, measured["suggest"], strict=True) if score[0] >= measured["random"][-1][0]
    ]
    if reached and reached[0] < sizes[-1]:
        return f"{reached[0]} suggested sentences do what {sizes[-1]} random ones do."
    if enough and enough[0] < sizes[-1]:
        return f"{enough[0]} random sentences do what {sizes[-1]} suggested ones do: nothing is saved."
    return "Neither way gets ahead of the other by a round."


def report(facts: dict[str, Any]) -> str:
    """The tables as Markdown, and what must be known to read them."""
    lines = []
    for title, pool in facts["pools"].items():
        lines += [f"## {title}", "", "| coded | random | suggest | difference |", "|--:|---|---|---|"]
        for number, size in enumerate(facts["sizes"]):
            cells = [pool["macro_f1"][name][number] for name in (*WAYS, "difference")]
            shown = [f"{value:.3f} ({low:.3f}-{high:.3f})" for value, low, high in cells[:2]]
            value, low, high = cells[2]
            lines.append(f"| {size} | {shown[0]} | {shown[1]} | {value:+.3f} ({low:+.3f} to {high:+.3f}) |")
        value, low, high = pool["macro_f1"]["mean_difference"]
        lines += [
            "",
            f"Chosen from {pool['sentences']:,} training sentences, {pool['neutral']:.0%} of them neutral. Over all "
            f"rounds after the first, suggested sentences are worth {value:+.3f} ({low:+.3f} to {high:+.3f}). "
            f"{pool['saved']}",
            "",
        ]
    learner = (
        "TF-IDF of words and pairs of words" if facts["base"] == "tfidf" else f"frozen features of `{facts['base']}`"
    )
    lines += [
        f"Macro-F1 on the {facts['test']:,} test sentences; mean of {facts['seeds']} seeds, 95 % bootstrap intervals "
        f"over sentences and seeds. The learner is a logistic regression on {learner}, far weaker than a model that is "
        "fine-tuned. Written by `python -m benchmarks.learning_curve`.",
    ]
    return "\n".join(lines)


def plot(facts: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(facts["pools"]), figsize=(9, 4), layout="constrained", sharey=True)
    for axes, (title, pool) in zip(panels, facts["pools"].items(), strict=True):
        for way, colour in zip(WAYS, ("#777777", "#1f77b4"), strict=True):
            value, low, high = np.array(pool["macro_f1"][way]).T
            axes.plot(facts["sizes"], value, "o-", color=colour, label=way, markersize=3)
            axes.fill_between(facts["sizes"], low, high, color=colour, alpha=0.15, linewidth=0)
        axes.set_title(title, fontsize="medium")
        axes.set_xlabel("sentences coded")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("macro-F1 on the test split")
    panels[0].legend(frameon=False)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--base", default="mpnet", help="mpnet, minilm, a model folder, or tfidf (default: mpnet)")
    parser.add_argument("--most", type=int, default=500, help="sentences coded in the end (default: 500)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pool", type=int, default=6000, help="training sentences to choose from (default: 6,000)")
    parser.add_argument("--test", type=int, help="measure on so many sentences only, to try something out")
    parser.add_argument("--resamples", type=int, default=bootstrap.RESAMPLES)
    parser.add_argument("--cache", type=Path, default=Path("runs/learning_curve"), help="where features are kept")
    parser.add_argument("--output", type=Path, default=HERE, help="the folder to write to")
    arguments = parser.parse_args(argv)
    pool, test = drawn("train", arguments.pool), drawn("test", arguments.test)
    rows = [*pool, *test]
    matrix = features(arguments.base, [row["text"] for row in rows], len(pool), arguments.cache)
    sizes = list(range(ROUND, arguments.most + 1, ROUND))
    pools = {}
    for title, kept in {
        "As the corpus is": list(range(len(pool))),
        "Mostly neutral, as real text": mostly_neutral(pool),
    }.items():
        found = curves(arguments.base, matrix, rows, kept, range(len(pool), len(rows)), sizes, arguments.seeds)
        measured = measure(found, test, arguments.resamples)
        pools[title] = {
            "sentences": len(kept),
            "neutral": sum(pool[index]["label"] == "neutral" for index in kept) / len(kept),
            "macro_f1": measured,
            "saved": labels_saved(sizes, measured),
        }
    facts = {
        "base": arguments.base,
        "test": len(test),
        "seeds": arguments.seeds,
        "sizes": sizes,
        "pools": pools,
    }
    name = "learning_curve" if arguments.base == "mpnet" else f"learning_curve_{Path(arguments.base).name}"
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / f"{name}.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    (arguments.output / f"{name}.md").write_text(report(facts) + "\n", encoding="utf-8")
    plot(facts, arguments.output / f"{name}.png")
    print(report(facts))


if __name__ == "__main__":
    main()
