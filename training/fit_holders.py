"""Fit the head that tags holders to the encoder as it ships, averaged, rounded and frozen; and put it into the folder.

    python -m training.fit_holders models/base

It goes on from the head that the folder has, if any. The head is thin, so that some thousand sentences are enough; the
encoder, and with it every stance, stays as it is. Writes ``holders.safetensors``, and ``model.onnx`` anew.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from safetensors.torch import save_file
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed

from stancelib.calibration import fit_temperature
from stancelib.checkpoint import HOLDER_HEAD, Checkpoint, middle_layer
from stancelib.holder_head import HolderHead
from training import corpus
from training.export import write_onnx
from training.holders import IGNORED, NAME, head_weights, tag_tokens
from training.loop import TRAIN_LENGTH, load_model

SENTENCES = 4096
NAMED = 0.7  # of them: sentences with a holder who is named, as far as there are so many
PORTION = 256
EPOCHS, TOKENS_IN_BATCH = 8, 1024
LEARNING_RATE, FURTHER = 1e-3, 3e-4  # of a head that begins at random, and of one that has learnt


def choose_rows(rows: list[corpus.Row]) -> list[corpus.Row]:
    """Sentences to fit on, mostly such as name a holder; in random order."""
    generator = random.Random(5)
    naming: dict[bool, list[corpus.Row]] = {True: [], False: []}
    for row in generator.sample(rows, len(rows)):
        naming[any(holder["name"] for holder in row["holders"])].append(row)
    chosen = naming[True][: round(NAMED * SENTENCES)]
    chosen += naming[False][: SENTENCES - len(chosen)]
    return generator.sample(chosen, len(chosen))


def states(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: list[corpus.Row], cache: Path
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each sentence its hidden states (tokens, 2 × hidden size; middle layer and last) in 16 bits, and its tags.

    Computed in portions that are each kept in ``cache``, so that a kill loses a minute.
    """
    cache.mkdir(parents=True, exist_ok=True)
    layer = middle_layer(model.config.num_hidden_layers)
    found = []
    for start in track(range(0, len(rows), PORTION), "hidden states"):
        path = cache / f"hid{start:05d}.npz"
        if not path.exists():
            some = sorted(rows[start : start + PORTION], key=lambda row: len(row["text"]))
            hidden, tags = [], []
            for first in range(0, len(some), 32):
                texts = [row["text"] for row in some[first : first + 32]]
                batch = tokenizer(texts, truncation=True, max_length=TRAIN_LENGTH, padding=True, return_tensors="pt")
                with torch.inference_mode():
                    outputs = model(
                        batch["input_ids"], attention_mask=batch["attention_mask"], output_hidden_states=True
                    )
                both = torch.cat([outputs.hidden_states[layer], outputs.hidden_states[-1]], dim=-1)
                for index, row in enumerate(some[first : first + 32]):
                    hidden.append(both[index, : int(batch["attention_mask"][index].sum())].half().numpy())
                    tags.append(tag_tokens(tokenizer, row["text"], row["holders"], TRAIN_LENGTH))
            part = path.with_suffix(".part.npz")
            np.savez(part, H=np.concatenate(hidden), n=np.array(list(map(len, tags))), T=np.concatenate(tags))
            part.rename(path)
        with np.load(path) as kept:
            cuts = kept["n"].cumsum()[:-1]
            found += list(zip(np.split(kept["H"], cuts), np.split(kept["T"], cuts), strict=True))
    return found


def fit_head(
    sentences: list[tuple[np.ndarray, np.ndarray]],
    held_out: list[tuple[np.ndarray, np.ndarray]],
    seed: int,
    start: dict[str, torch.Tensor] | None = None,
) -> tuple[HolderHead, dict[str, Any]]:
    """The head with the lowest cross-entropy on ``held_out``, its temperature divided in; and its figures.

    ``start`` are the weights that it goes on from, by default random ones.
    """
    set_seed(seed)
    size = sentences[0][0].shape[1] // 2

    def stacked(part: list[tuple[np.ndarray, np.ndarray]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        hidden = torch.from_numpy(np.concatenate([states for states, _ in part]))
        opening = torch.from_numpy(np.stack([states[0, size:] for states, _ in part]))
        sentence = torch.from_numpy(np.repeat(np.arange(len(part)), [len(tags) for _, tags in part]))
        tags = torch.from_numpy(np.concatenate([tags for _, tags in part]))
        kept = tags != IGNORED
        return hidden[kept], opening[sentence[kept]], tags[kept]

    test, train = stacked(held_out), stacked(sentences)
    head = HolderHead(size)
    if start:
        head.load_state_dict(start)
    optimizer = torch.optim.AdamW(head.parameters(), lr=FURTHER if start else LEARNING_RATE, weight_decay=0.01)
    steps = EPOCHS * (len(train[2]) // TOKENS_IN_BATCH + 1)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, steps)

    def logits(hidden: torch.Tensor, opening: torch.Tensor) -> torch.Tensor:
        hidden, opening = hidden.float(), opening.float()
        inner = functional.dropout(head.token(hidden) + head.sentence(opening), 0.2, head.training)
        result: torch.Tensor = head.tags(torch.relu(inner))
        return result

    best, kept = float("inf"), {}
    for epoch in range(EPOCHS):
        head.train()
        order = torch.randperm(len(train[2]))
        for some in order.split(TOKENS_IN_BATCH):
            loss = functional.cross_entropy(logits(train[0][some], train[1][some]), train[2][some])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        head.eval()
        with torch.no_grad():
            outside = float(functional.cross_entropy(logits(*test[:2]), test[2]))
        print(f"epoch {epoch + 1} of {EPOCHS}: cross-entropy a token {outside:.4f} held out", flush=True)
        if outside < best:
            best, kept = outside, {name: weight.clone() for name, weight in head.state_dict().items()}
    head.load_state_dict(kept)
    with torch.no_grad():
        temperature = fit_temperature(logits(*test[:2]).numpy(), test[2].numpy())
        head.tags.weight.div_(temperature)
        head.tags.bias.div_(temperature)
    return head, {"head_sentences": len(sentences), "head_cross_entropy": best, "tag_temperature": temperature}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.fit_holders", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", type=Path, help="a folder that training.export wrote")
    parser.add_argument("--cache", type=Path, default=Path("runs/holders"), help="where the hidden states are kept")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args(argv)
    folder: Path = arguments.model
    model, tokenizer = load_model(str(folder))
    model.eval()

    def states_of(rows: list[corpus.Row]) -> list[tuple[np.ndarray, np.ndarray]]:
        # Hidden states of other weights, or of other sentences, are not these.
        name = f"{Checkpoint(folder).sha256()[:12]}-{corpus.corpus_hash(rows)[:12]}"
        return states(model, tokenizer, rows, arguments.cache / name)

    chosen, held_out = choose_rows(corpus.load("train")), corpus.load("validation")
    head, figures = fit_head(states_of(chosen), states_of(held_out), arguments.seed, head_weights(folder))
    # As it is stored, so that both backends read the same numbers.
    head.load_state_dict({name: weight.half().float() for name, weight in head.state_dict().items()})
    setattr(model, NAME, head)
    save_file(
        {name: weight.half().contiguous() for name, weight in head.state_dict().items()},
        folder / HOLDER_HEAD,
        metadata={"format": "pt"},
    )
    write_onnx(model, folder)
    path = folder / "training.json"
    history = json.loads(path.read_text()) | figures
    history["parameters"] = sum(weight.numel() for weight in model.parameters())
    path.write_text(json.dumps(history, indent=1) + "\n")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
