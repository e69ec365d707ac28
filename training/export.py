"""Turn a trained encoder into the folder that ships: rounded weights, and an ONNX graph over the same file.

    python -m training.export runs/teacher --output models/base --words 15500

Large matrices are rounded to 8-bit floats (e4m3: 4 bits of exponent, 3 of mantissa; Micikevicius et al. 2022), so that
the outputs change least (`training.rounding`), the rest to 16 bits. No scales are needed, so that the file stays a
plain checkpoint, which loads in fp32 anywhere.

The temperature that fits held-out text best is divided into the last layer (Guo et al. 2017), so that every backend,
plain transformers too, gives calibrated probabilities and none needs a file more; with ``--unlabelled`` it is fitted on
real sentences too, for there the model errs more than on its own kind. The head that tags holders has its own
temperature and its own file. ``model.onnx`` holds no weights: it points into the two files. Both backends compute in
fp32.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

import stancelib.export
from stancelib.calibration import divide, fit_temperature, last_layer
from stancelib.checkpoint import GATE, Checkpoint
from stancelib.classifier import StanceClassifier
from stancelib.holders import softmax
from stancelib.labels import LABELS
from training import corpus, real
from training.holders import IGNORED, NAME, tag_logits, tag_tokens
from training.loop import TRAIN_LENGTH, load_model, logits_of, stored
from training.rounding import round_linear_layers
from training.shrink import MAX_TOKENS, cut_positions, prune_vocabulary

LARGEST_FOLDER = 99_800_000  # bytes; figures and card must find room below 100 MB
LARGEST_CHANGE = 1e-3  # in probability, between the graph and the model, over so many sentences
CHECKED = 300
ROUNDED_WITH = 512  # sentences whose inputs to each layer the rounding is fitted to


def temperature_of(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, unlabelled: Path | None
) -> tuple[float, str]:
    """The temperature that held-out text asks for, and what it was fitted on."""
    held_out = corpus.load("validation")
    count = 0
    if unlabelled is not None:
        labelled = real.load(unlabelled)["validation"]
        held_out, count = held_out + labelled, len(labelled)
    labels = np.array([LABELS.index(row["label"]) for row in held_out])
    temperature = fit_temperature(logits_of(model, tokenizer, [row["text"] for row in held_out]), labels)
    return temperature, f"{len(held_out):,} validation sentences, {count:,} of them real"


def tag_logits_of(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: list[corpus.Row]
) -> tuple[np.ndarray, np.ndarray]:
    """Logits (tokens, 7) and gold tags (tokens,) of all tokens of ``rows`` that have a gold tag."""
    logits, gold = [], []
    for row in rows:
        tags = np.array(tag_tokens(tokenizer, row["text"], row["holders"], TRAIN_LENGTH))
        ids = tokenizer(row["text"], truncation=True, max_length=TRAIN_LENGTH, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            hidden = model(ids, output_hidden_states=True).hidden_states
            found = tag_logits(model, hidden)[0].float().numpy()
        logits.append(found[tags != IGNORED])
        gold.append(tags[tags != IGNORED])
    return np.concatenate(logits), np.concatenate(gold)


def write_onnx(model: PreTrainedModel, folder: Path) -> None:
    """``folder/model.onnx``, with the head that tags holders, whose weights lie in ``folder`` too."""
    stancelib.export.write_onnx(model, folder, getattr(model, NAME))


def export(source: Path, output: Path, words: int | None = None, unlabelled: Path | None = None) -> dict[str, Any]:
    """Write ``output``, and ``output/training.json`` with the history of the weights; returns that history.

    ``words`` is the size of the vocabulary to keep, ``unlabelled`` a copy of the real sentences that `training.real`
    has labels for. The folder is made beside its place, checked, and moved there when it is whole.
    """
    if source.resolve() == output.resolve():
        raise SystemExit("source and output are the same folder")
    model, tokenizer = load_model(str(source))
    model.eval()
    if words is not None:
        tokenizer = prune_vocabulary(model, tokenizer, [row["text"] for row in corpus.load("train")], words)
        cut_positions(model, MAX_TOKENS)
    labelled = real.load(unlabelled)["train"] if unlabelled else []
    sample = random.Random(1).sample(corpus.load("train") + labelled, ROUNDED_WITH)
    round_linear_layers(model, tokenizer, [row["text"] for row in sample])
    stancelib.export.round_weights(model, stored)
    # Fitted on the rounded model, and divided into the last layers, which are small enough to stay in 16 bits.
    rows = corpus.load("validation")
    temperature, held_out = temperature_of(model, tokenizer, unlabelled)
    tag_temperature = fit_temperature(*tag_logits_of(model, tokenizer, rows))
    head = getattr(model, NAME)
    divide(last_layer(model), temperature)
    divide(head.tags, tag_temperature)
    part = output.with_name(output.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    delattr(model, NAME)  # it has its own file
    stancelib.export.write_checkpoint(model, tokenizer, part, stored, head)
    texts = [row["text"] for row in rows[:CHECKED]]
    expected = softmax(logits_of(model, tokenizer, texts))
    shipped = StanceClassifier.from_pretrained(part).predict_proba(texts)
    change = float(np.abs(shipped - expected).max())
    if change > LARGEST_CHANGE:
        raise SystemExit(
            f"the graph's probabilities differ by {change:.4f} from the model's; {part} is kept to look at"
        )
    history = json.loads((source / "training.json").read_text()) if (source / "training.json").exists() else {}
    history.pop("validation_by_step", None)
    history |= {
        "layers": model.config.num_hidden_layers,
        "words": model.config.vocab_size,
        "max_tokens": Checkpoint(part).max_tokens,
        "temperature": temperature,
        "temperature_fitted_on": held_out,
        "tag_temperature": tag_temperature,
        "parameters": sum(weight.numel() for module in (model, head) for weight in module.parameters()),
    }
    (part / "training.json").write_text(json.dumps(history, indent=1) + "\n")
    # The first stage is learnt without the model (`training.gate`) and goes with any weights.
    if (output / GATE).is_file():
        shutil.copyfile(output / GATE, part / GATE)
    size = Checkpoint.open(part).size()
    if size > LARGEST_FOLDER:
        raise SystemExit(f"{part} has {size / 1e6:.1f} MB, more than {LARGEST_FOLDER / 1e6:.0f}")
    shutil.rmtree(output, ignore_errors=True)
    part.rename(output)
    return history


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.export", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--words", type=int, help="size of the vocabulary to keep (default: all of it)")
    parser.add_argument("--unlabelled", type=Path, help="real sentences that training/real_labels.jsonl has labels for")
    arguments = parser.parse_args(argv)
    print(json.dumps(export(arguments.source, arguments.output, arguments.words, arguments.unlabelled), indent=1))


if __name__ == "__main__":
    main()
