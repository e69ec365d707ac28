"""What `stancelib.holder_head.HolderHead` learns from, and how it hangs on an encoder while that is trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from stancelib.checkpoint import HOLDER_HEAD, middle_layer
from stancelib.holder_head import HolderHead
from stancelib.holders import TAGS, mentions

IGNORED = -100  # positions that cross-entropy passes over
NAME = "holder_head"


def attach_head(model: PreTrainedModel, folder: Path | None = None) -> None:
    """Give ``model`` a `HolderHead` by the name of `NAME`, with the weights that ``folder`` has for it, if any."""
    head = HolderHead(model.config.hidden_size)
    stored = head_weights(folder) if folder is not None else {}
    if stored:
        head.load_state_dict(stored)
    setattr(model, NAME, head)


def head_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The weights of the head in a run's folder or an exported one, by name; empty if it has none of this shape."""
    for file, prefix in ((HOLDER_HEAD, ""), ("model.safetensors", f"{NAME}.")):
        if (folder / file).is_file():
            with safe_open(folder / file, "pt") as tensors:
                names = [name for name in tensors.keys() if name.startswith(f"{prefix}token.")]  # noqa: SIM118
                if names:
                    found = [name for name in tensors.keys() if name.startswith(prefix)]  # noqa: SIM118
                    return {name.removeprefix(prefix): tensors.get_tensor(name).float() for name in found}
    return {}


def tag_tokens(
    tokenizer: PreTrainedTokenizerBase, text: str, holders: list[dict[str, str]] | None, max_length: int
) -> list[int]:
    """Gold tags for the tokens of ``text``, marks at both ends included.

    A holder is tagged where its name stands first as whole words; other places with the same name are ignored, for
    nobody said which is meant. Holders None (nobody has said who holds what) ignores all.
    """
    encoding = tokenizer(text, truncation=True, max_length=max_length, return_offsets_mapping=True)
    offsets = encoding["offset_mapping"]
    if holders is None:
        return [IGNORED] * len(offsets)
    tags = [0] * len(offsets)
    tags[-1] = IGNORED
    for holder in sorted(holders, key=lambda holder: len(holder["name"])):
        opening = TAGS.index(f"B-{holder['stance']}")
        if not holder["name"]:
            tags[0] = opening
            continue
        for number, (start, end) in enumerate(mentions(text, holder["name"], any_case=False)):
            inside = [i for i, (a, b) in enumerate(offsets) if a < b and a < end and start < b]
            for index in inside:
                if number == 0:
                    tags[index] = opening if index == inside[0] else opening + 1
                elif tags[index] == 0:
                    tags[index] = IGNORED
    return tags


def tag_logits(model: PreTrainedModel, hidden_states: Sequence[torch.Tensor]) -> torch.Tensor:
    """(sentences, tokens, 7) from all hidden states of the encoder."""
    head: Any = getattr(model, NAME)
    result: torch.Tensor = head(hidden_states[middle_layer(len(hidden_states) - 1)], hidden_states[-1])
    return result
