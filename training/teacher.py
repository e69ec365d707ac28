"""Step 1: fine-tune a large pretrained encoder on the train split of ``seeds/``.

python -m training.teacher --base mpnet --output runs/teacher
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from transformers import set_seed

from training import base_weights, corpus
from training.loop import encode, fit, load_model


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.teacher", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--base", default="mpnet", help="mpnet, minilm, a folder or a hub id (default: mpnet)")
    parser.add_argument("--output", type=Path, default=Path("runs/teacher"))
    parser.add_argument("--epochs", type=float, default=4)
    parser.add_argument("--learning-rate", type=float, default=3e-5)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sentences", type=int, help="train on the first so many only, to try something out")
    arguments = parser.parse_args(argv)
    set_seed(arguments.seed)  # the new head is drawn at random
    model, tokenizer = load_model(base_weights.resolve(arguments.base))
    rows = corpus.load("train")[: arguments.sentences]
    validation = corpus.load("validation")
    record = fit(
        model,
        tokenizer,
        encode(tokenizer, [row["text"] for row in rows], [row["label"] for row in rows]),
        encode(tokenizer, [row["text"] for row in validation], [row["label"] for row in validation]),
        arguments.output,
        epochs=arguments.epochs,
        learning_rate=arguments.learning_rate,
        batch_size=arguments.batch_size,
        seed=arguments.seed,
        evaluations=2,
        facts={"base": arguments.base, "corpus_sha256": corpus.corpus_hash(corpus.load_all())},
    )
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
