"""The head that tags holders as a torch module: a thin layer over the hidden states, beside the sentence head."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from stancelib.checkpoint import HOLDER_HEAD
from stancelib.errors import ModelError
from stancelib.holders import TAGS

WIDTH = 128


class HolderHead(torch.nn.Module):
    """Tag logits (sentences, tokens, 7) from the hidden states of a middle layer and of the last.

    The middle layer knows best who the words name, the opening mark in the last what the sentence says.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.token = torch.nn.Linear(2 * hidden_size, WIDTH)
        self.sentence = torch.nn.Linear(hidden_size, WIDTH, bias=False)
        self.tags = torch.nn.Linear(WIDTH, len(TAGS))

    @classmethod
    def load(cls, folder: Path) -> HolderHead:
        """The head of a checkpoint folder, in 32 bits.

        Raises:
            ModelError: its weights can't be read, or are those of something else.
        """
        try:
            weights = {name: tensor.float() for name, tensor in load_file(folder / HOLDER_HEAD).items()}
            head = cls(weights["sentence.weight"].shape[1])
            head.load_state_dict(weights)
        except (OSError, LookupError, RuntimeError, SafetensorError) as error:
            raise ModelError(f"{folder / HOLDER_HEAD} cannot be loaded: {str(error).splitlines()[0]}") from None
        return head

    def forward(self, middle: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
        inner = self.token(torch.cat([middle, last], dim=-1)) + self.sentence(last[:, :1])
        result: torch.Tensor = self.tags(torch.relu(inner))
        return result
