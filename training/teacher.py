"""Step 1: fine-tune a large pretrained encoder on the train split of ``seeds/``, stances and holders together.

python -m training.teacher --base mpnet --output runs/teacher
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

from transformers import set_seed

from training import base_weights, corpus, real
from training.loop import Example, encode, fit, load_model
from training.perturb import PERTURBATIONS, perturb


def perturbed(rows: list[corpus.Row], count: int, seed: int) -> list[corpus.Row]:
    """``count`` of ``rows`` drawn at random, each changed in one of the ways of `training.perturb`.

    Labels stay. Nobody has said where the holders stand in the changed text, so that they are None.
    """
    random_ = random.Random(seed)
    result: list[corpus.Row] = []
    for row in random_.sample(rows, len(rows)):
        if len(result) == count:
            break
        text = perturb(random_.choice(list(PERTURBATIONS)), row["text"], seed)
        if text != row["text"]:
            result.append(row | {"text": text, "holders": None})
    return result


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.teacher", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--base", default="mpnet", help="mpnet, minilm, a folder or a hub id (default: mpnet)")
    parser.add_argument("--output", type=Path, default=Path("runs/teacher"))
    parser.add_argument(
        "--unlabelled",
        type=Path,
        help="your copy of the real sentences that training/real_labels.jsonl has labels for: they are learnt too",
    )
    parser.add_argument("--real-copies", type=int, default=2, help="how often a real sentence is learnt in an epoch")
    parser.add_argument("--epochs", type=float, default=4)
    parser.add_argument("--learning-rate", type=float, default=3e-5)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--holder-weight", type=float, default=1.0, help="of the loss of the holder head; 0: untaught")
    parser.add_argument("--smoothing", type=float, default=0.05, help="of the labels")
    parser.add_argument("--frozen-layers", type=int, default=0, help="so many lower layers stay as they are")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sentences", type=int, help="of each split of the corpus only so many, to try something out")
    parser.add_argument("--since", default="", help="the first batch that --base has not seen, such as part30")
    parser.add_argument("--replay", type=int, help="with --since: so many sentences of the batches before, at random")
    parser.add_argument(
        "--perturbed", type=int, default=0, help="so many sentences of the corpus once more, changed a bit"
    )
    parser.add_argument("--evaluations", type=int, default=2, help="validations and checkpoints in an epoch")
    arguments = parser.parse_args(argv)
    set_seed(arguments.seed)  # the new heads are drawn at random
    model, tokenizer = load_model(base_weights.resolve(arguments.base))

    def examples(rows: list[corpus.Row]) -> list[Example]:
        return encode(
            tokenizer,
            [row["text"] for row in rows],
            [row["label"] for row in rows],
            holders=[row["holders"] for row in rows],
        )

    rows = corpus.load("train")[: arguments.sentences]
    if arguments.replay is not None:
        seen = [row for row in rows if row["batch"] < arguments.since]
        seen = random.Random(arguments.seed).sample(seen, min(arguments.replay, len(seen)))
        rows = seen + [row for row in rows if row["batch"] >= arguments.since]
    rows += perturbed(rows, arguments.perturbed, arguments.seed)
    labelled = real.load(arguments.unlabelled) if arguments.unlabelled else {"train": [], "validation": []}
    record = fit(
        model,
        tokenizer,
        examples(rows + labelled["train"] * arguments.real_copies),
        examples(corpus.load("validation")[: arguments.sentences] + labelled["validation"]),
        arguments.output,
        epochs=arguments.epochs,
        learning_rate=arguments.learning_rate,
        batch_size=arguments.batch_size,
        seed=arguments.seed,
        holder_weight=arguments.holder_weight,
        smoothing=arguments.smoothing,
        frozen_layers=arguments.frozen_layers,
        evaluations=arguments.evaluations,
        facts={
            "base": arguments.base,
            "corpus_sha256": corpus.corpus_hash(corpus.load_all()),
            "real_sentences": len(labelled["train"]),
            "real_copies": arguments.real_copies,
            "perturbed": arguments.perturbed,
            "since": arguments.since,
            "replay": arguments.replay,
        },
    )
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
