"""Step 2: cut the teacher to fewer layers and fewer words, and teach the cut what the whole knows.

    python -m training.distill --teacher runs/teacher --output runs/student --unlabelled more.jsonl --held-out dev.jsonl

The student starts as the teacher's own layers (0, 2, 4, 7, 9, 11 for six), which is worth far more than a small
pretrained encoder (Sanh et al. 2019 do the same for DistilBERT), and learns the teacher's logits on the train split and
on unlabelled text (rows with a ``text``; without it the student learns on the train split alone).
"""

from __future__ import annotations

import argparse
import collections
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from tokenizers import Tokenizer
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast, set_seed

from stancelib.labels import LABELS
from training import corpus
from training.loop import TRAIN_LENGTH, encode, fit, load_model, precision_of_this_machine

# Sentences are short; more positions than this would only make the folder larger.
MAX_TOKENS = 256


def cut_layers(model: PreTrainedModel, layers: int) -> None:
    """Keep ``layers`` of the encoder's layers, spread evenly, the first and the last among them; in place."""
    stack = model.base_model.encoder.layer
    kept = np.linspace(0, len(stack) - 1, layers).round().astype(int).tolist()
    model.base_model.encoder.layer = torch.nn.ModuleList(stack[index] for index in kept)
    model.config.num_hidden_layers = layers


def prune_vocabulary(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: list[str], words: int
) -> PreTrainedTokenizerBase:
    """Keep the ``words`` tokens that ``texts`` use most, and every single character; other words fall into pieces.

    The rows of the embedding are cut in place, the order of the tokens is kept. Returns the new tokenizer.
    """
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary: dict[str, int] = state["model"]["vocab"]
    counts: collections.Counter[int] = collections.Counter()
    for ids in tokenizer(texts, truncation=True, max_length=TRAIN_LENGTH)["input_ids"]:
        counts.update(ids)
    kept = {token["id"] for token in state["added_tokens"]} | {vocabulary[state["model"]["unk_token"]]}
    kept |= {index for token, index in vocabulary.items() if len(token.removeprefix("##")) == 1 and token.isascii()}
    # Ids of the pretrained vocabulary go by frequency, so that the lower one wins a tie.
    for index in sorted(vocabulary.values(), key=lambda index: (-counts[index], index)):
        if len(kept) >= words:
            break
        kept.add(index)
    old_ids = sorted(kept)
    new_ids = {old: new for new, old in enumerate(old_ids)}
    state["model"]["vocab"] = {token: new_ids[index] for token, index in vocabulary.items() if index in kept}
    for token in state["added_tokens"]:
        token["id"] = new_ids[token["id"]]
    _renumber(state["post_processor"], new_ids)
    embeddings = model.get_input_embeddings().weight.data[old_ids].clone()
    model.resize_token_embeddings(len(old_ids), mean_resizing=False)
    model.get_input_embeddings().weight.data.copy_(embeddings)
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        if getattr(model.config, name, None) is not None:
            setattr(model.config, name, new_ids[getattr(model.config, name)])
    specials = {name: str(token) for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(state)), model_max_length=MAX_TOKENS, **specials
    )


def _renumber(processor: dict[str, Any], new_ids: dict[int, int]) -> None:
    """Token ids inside the post-processor that adds the marks at both ends."""
    for key in ("sep", "cls"):  # RobertaProcessing, BertProcessing: ["</s>", 2]
        if key in processor:
            processor[key][1] = new_ids[processor[key][1]]
    for token in processor.get("special_tokens", {}).values():  # TemplateProcessing
        token["ids"] = [new_ids[index] for index in token["ids"]]


def cut_positions(model: PreTrainedModel, tokens: int) -> None:
    """Keep the position embeddings of the first ``tokens`` tokens (and the two before them that MPNet reserves)."""
    embeddings = model.base_model.embeddings
    rows = tokens + model.config.pad_token_id + 1
    table = embeddings.position_embeddings
    cut = torch.nn.Embedding(rows, table.embedding_dim, padding_idx=table.padding_idx)
    cut.weight.data.copy_(table.weight.data[:rows])
    embeddings.position_embeddings = cut
    embeddings.register_buffer("position_ids", torch.arange(rows).expand((1, -1)), persistent=False)
    model.config.max_position_embeddings = rows


def read_texts(path: Path) -> list[str]:
    """Texts of a JSON Lines file, gzipped or not, each once."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:
        return list(dict.fromkeys(json.loads(line)["text"] for line in lines))


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
    weights = (folder / "model.safetensors").stat()
    key = hashlib.sha256(json.dumps([str(folder), weights.st_size, weights.st_mtime, texts]).encode()).hexdigest()[:16]
    cache.mkdir(parents=True, exist_ok=True)
    model, tokenizer = load_model(str(folder))
    model.eval()
    bf16 = precision_of_this_machine() == "bf16"
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    result = np.zeros((len(texts), len(LABELS)), dtype=np.float32)
    portions = [order[start : start + 1024] for start in range(0, len(order), 1024)]
    for number, portion in enumerate(track(portions, "teacher's logits")):
        path = cache / f"{key}-{number}.npy"
        if not path.exists():
            rows = []
            for start in range(0, len(portion), 32):
                some = [texts[index] for index in portion[start : start + 32]]
                batch = tokenizer(some, truncation=True, max_length=TRAIN_LENGTH, padding=True, return_tensors="pt")
                with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                    logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
                rows.append(logits.float().numpy())
            partial = path.with_suffix(".part.npy")
            np.save(partial, np.concatenate(rows))
            partial.rename(path)
        result[portion] = np.load(path)
    return result


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.distill", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--teacher", type=Path, default=Path("runs/teacher"))
    parser.add_argument("--output", type=Path, default=Path("runs/student"))
    parser.add_argument("--unlabelled", type=Path, help="a .jsonl or .jsonl.gz file of rows with a text")
    parser.add_argument("--held-out", type=Path, help="a file of the same kind: texts kept for measuring, never taught")
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--words", type=int, default=7800, help="size of the vocabulary to keep")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--learning-rate", type=float, default=8e-5)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--teacher-weight", type=float, default=0.7)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args(argv)
    set_seed(arguments.seed)
    rows, validation = corpus.load("train"), corpus.load("validation")
    held_out = [row["text"] for row in validation + corpus.load("test")]
    held_out += read_texts(arguments.held_out) if arguments.held_out else []
    unlabelled = without(read_texts(arguments.unlabelled), held_out) if arguments.unlabelled else []
    texts = [row["text"] for row in rows] + unlabelled
    labels = [row["label"] for row in rows] + [None] * (len(texts) - len(rows))
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
    record = {"layers": arguments.layers, "words": arguments.words, "max_tokens": MAX_TOKENS}
    record |= fit(
        model,
        tokenizer,
        encode(tokenizer, texts, labels, logits),
        encode(tokenizer, [row["text"] for row in validation], [row["label"] for row in validation]),
        arguments.output,
        epochs=arguments.epochs,
        learning_rate=arguments.learning_rate,
        batch_size=arguments.batch_size,
        seed=arguments.seed,
        teacher_weight=arguments.teacher_weight,
        evaluations=2,
    )
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
