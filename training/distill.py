"""Step 2: cut the teacher to fewer layers and fewer words, and teach the cut what the whole knows.

    python -m training.distill --teacher runs/teacher --output runs/student --unlabelled more.jsonl --held-out dev.jsonl

The student starts as the teacher's own layers (0, 2, 4, 7, 9, 11 for six), which is worth far more than a small
pretrained encoder (Sanh et al. 2019 do the same for DistilBERT), and learns the teacher's logits on the train split and
on unlabelled text (rows with a ``text``; without it the student learns on the train split alone).
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
from rich.progress import track
from transformers import set_seed

from stancelib.checkpoint import Checkpoint
from stancelib.labels import LABELS
from stancelib.trainer import compute_precision
from training import corpus, real
from training.loop import encode, fit, load_model, logits_of
from training.real import read_texts
from training.shrink import MAX_TOKENS, cut_layers, cut_positions, prune_vocabulary


def without(texts: list[str], held_out: list[str]) -> list[str]:
    """The texts that neither equal, nor hold, nor are a part of a held-out text."""
    outside = [corpus.normalise(text) for text in held_out]
    exact, long = set(outside), [text for text in outside if len(text) > 30]
    everything = "\n".join(outside)

    def clear(text: str) -> bool:
        text = corpus.normalise(text)
        return text not in exact and not (len(text) > 30 and text in everything) and not any(h in text for h in long)

    return [text for text in texts if clear(text)]


def teacher_logits(folder: Path, texts: list[str], cache: Path) -> np.ndarray:
    """The teacher's logits, (n, 3) float32 in the order of `LABELS`; kept in ``cache`` beside a hash of what they are.

    Computed in portions that are each kept, so that a kill loses a minute.
    """
    key = hashlib.sha256(json.dumps([Checkpoint(folder).sha256(), texts]).encode()).hexdigest()[:16]
    cache.mkdir(parents=True, exist_ok=True)
    model, tokenizer = load_model(str(folder))
    model.eval()
    bf16 = compute_precision() == "bf16"
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    result = np.zeros((len(texts), len(LABELS)), dtype=np.float32)
    portions = [order[start : start + 1024] for start in range(0, len(order), 1024)]
    for number, portion in enumerate(track(portions, "teacher's logits")):
        path = cache / f"{key}-{number}.npy"
        if not path.exists():
            partial = path.with_suffix(".part.npy")
            np.save(partial, logits_of(model, tokenizer, [texts[index] for index in portion], bf16))
            partial.rename(path)
        result[portion] = np.load(path)
    return result


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.distill", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--teacher", type=Path, default=Path("runs/teacher"), help="folder of a fine-tuned MPNet")
    parser.add_argument("--output", type=Path, default=Path("runs/student"))
    parser.add_argument("--unlabelled", type=Path, help="a .jsonl or .jsonl.gz file of rows with a text")
    parser.add_argument("--held-out", type=Path, help="a file of the same kind: texts kept for measuring, never taught")
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--words", type=int, default=7800, help="size of the vocabulary to keep")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--learning-rate", type=float, default=8e-5)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--teacher-weight", type=float, default=0.7)
    parser.add_argument("--holder-weight", type=float, default=1.0, help="of the loss of the holder head; 0: untaught")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args(argv)
    set_seed(arguments.seed)
    labelled = real.load(arguments.unlabelled) if arguments.unlabelled else {"train": [], "validation": []}
    rows = corpus.load("train") + labelled["train"]
    validation = corpus.load("validation") + labelled["validation"]
    held_out = [row["text"] for row in validation + corpus.load("test")]
    held_out += read_texts(arguments.held_out) if arguments.held_out else []
    taught = {row["text"] for row in rows}
    unlabelled = (
        [text for text in read_texts(arguments.unlabelled) if text not in taught] if arguments.unlabelled else []
    )
    unlabelled = without(unlabelled, held_out)
    texts = [row["text"] for row in rows] + unlabelled
    labels = [row["label"] for row in rows] + [None] * (len(texts) - len(rows))
    holders = [row["holders"] for row in rows] + [None] * (len(texts) - len(rows))
    logits = teacher_logits(arguments.teacher, texts, arguments.output / "logits")
    model, tokenizer = load_model(str(arguments.teacher))
    cut_layers(model, arguments.layers)
    tokenizer = prune_vocabulary(model, tokenizer, texts, arguments.words)
    cut_positions(model, MAX_TOKENS)
    wrong = [
        label is not None and LABELS.index(label) != row.argmax() for label, row in zip(labels, logits, strict=True)
    ]
    logits[wrong] = np.nan  # there the label teaches alone
    print(f"{len(rows):,} labelled and {len(texts) - len(rows):,} unlabelled texts; the teacher errs on {sum(wrong):,}")
    record = fit(
        model,
        tokenizer,
        encode(tokenizer, texts, labels, logits, holders),
        encode(tokenizer, [row["text"] for row in validation], [row["label"] for row in validation]),
        arguments.output,
        epochs=arguments.epochs,
        learning_rate=arguments.learning_rate,
        batch_size=arguments.batch_size,
        seed=arguments.seed,
        teacher_weight=arguments.teacher_weight,
        holder_weight=arguments.holder_weight,
        evaluations=1,
        facts={
            "layers": arguments.layers,
            "words": arguments.words,
            "max_tokens": MAX_TOKENS,
            "teacher_sha256": Checkpoint(arguments.teacher).sha256(),
            "corpus_sha256": corpus.corpus_hash(corpus.load_all()),
            "unlabelled_sentences": len(unlabelled),
        },
    )
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
