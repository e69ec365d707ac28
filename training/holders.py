"""The token head that tags holders: what it learns from, and how it hangs on an encoder.

It is one linear layer over the last hidden states, beside the sentence head, so that both share one pass.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from stancelib.holders import TAGS, mentions

IGNORED = -100  # positions that cross-entropy passes over
NAME = "holder_head"


def attach_head(model: PreTrainedModel, folder: Path | None = None) -> None:
    """Give ``model`` a `NAME` layer (hidden size -> `TAGS`), with the weights that ``folder`` has for it, if any."""
    head = torch.nn.Linear(model.config.hidden_size, len(TAGS))
    torch.nn.init.normal_(head.weight, std=0.02)
    torch.nn.init.zeros_(head.bias)
    stored = head_weights(folder) if folder is not None else {}
    if stored:
        head.load_state_dict(stored)
    setattr(model, NAME, head)


def head_weights(folder: Path) -> dict[str, torch.Tensor]:
    """``weight`` and ``bias`` of the head in a run's folder or an exported one; empty if it has none."""
    for file, prefix in (("holders.safetensors", ""), ("model.safetensors", f"{NAME}.")):
        if (folder / file).is_file():
            with safe_open(folder / file, "pt") as tensors:
                names = [name for name in ("weight", "bias") if prefix + name in tensors.keys()]  # noqa: SIM118
                if names:
                    return {name: tensors.get_tensor(prefix + name).float() for name in names}
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


def tag_logits(model: PreTrainedModel, hidden: torch.Tensor) -> torch.Tensor:
    """(sentences, tokens, 7) from the last hidden states."""
    head: Any = getattr(model, NAME)
    result: torch.Tensor = head(hidden)
    return result
