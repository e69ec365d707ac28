"""Fewer layers, fewer words, fewer positions: what makes a trained encoder small before any rounding."""

from __future__ import annotations

import collections
import json
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from training.loop import TRAIN_LENGTH

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
    """Keep the ``words`` tokens that ``texts`` use most, and every letter, digit and sign of ASCII.

    Other words fall into pieces.

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
    """Keep the position embeddings of the first ``tokens`` tokens of an MPNet (and the two before them); in place."""
    embeddings = model.base_model.embeddings
    rows = tokens + model.config.pad_token_id + 1
    table = embeddings.position_embeddings
    cut = torch.nn.Embedding(rows, table.embedding_dim, padding_idx=table.padding_idx)
    cut.weight.data.copy_(table.weight.data[:rows])
    embeddings.position_embeddings = cut
    embeddings.register_buffer("position_ids", torch.arange(rows).expand((1, -1)), persistent=False)
    model.config.max_position_embeddings = rows
