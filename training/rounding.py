"""Round large matrices to the 8-bit floats that are shipped, so that the outputs of each layer change least.

Plain rounding takes the nearest number for each weight. Here a column is rounded, and the error that it makes on real
inputs is made up for by the columns that are still to be rounded (GPTQ; Frantar et al. 2023, algorithm 1), on the grid
of e4m3 floats instead of integers. What comes out lies on the grid, so that storing it in 8 bits loses nothing more.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import Any

import torch
from rich.progress import track
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.loop import ROUNDED_TO_8_BITS, TRAIN_LENGTH

DAMPING = 0.01  # of the mean diagonal, added to it, as in the paper
BLOCK = 128  # columns between two updates of all that follow


def round_linear_layers(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> None:
    """Round every large linear layer of ``model`` in place; ``texts`` are what its inputs are taken from.

    Embeddings are left: each of their rows is an input of its own, for which the nearest numbers are the best ones.
    """
    layers = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module.weight.numel() >= ROUNDED_TO_8_BITS
    }
    moments = second_moments(model, tokenizer, texts, layers)
    for name, layer in track(layers.items(), "rounding"):
        layer.weight.data.copy_(round_columns(layer.weight.data, moments[name]))


def second_moments(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: list[str], layers: dict[str, torch.nn.Linear]
) -> dict[str, torch.Tensor]:
    """For each layer the mean of x xᵀ over the tokens of the texts that it gets as inputs."""
    sums: dict[str, torch.Tensor] = {}
    counts: dict[str, int] = defaultdict(int)

    def collect(name: str) -> Any:
        def hook(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            x = inputs[0].reshape(-1, inputs[0].shape[-1])
            counts[name] += len(x)
            sums[name] = sums[name].addmm_(x.T, x) if name in sums else x.T @ x

        return hook

    hooks = [layer.register_forward_pre_hook(collect(name)) for name, layer in layers.items()]
    ids = sorted(tokenizer(texts, truncation=True, max_length=TRAIN_LENGTH)["input_ids"], key=len)
    # Texts of one length together: there is no padding, which would be counted.
    with torch.inference_mode():
        for _, group in itertools.groupby(ids, key=len):
            for batch in torch.tensor(list(group)).split(32):
                model(batch)
    for hook in hooks:
        hook.remove()
    return {name: total / counts[name] for name, total in sums.items()}


def round_columns(weight: torch.Tensor, moment: torch.Tensor) -> torch.Tensor:
    """(outputs, inputs) weights on the grid, for inputs with this second moment (inputs, inputs)."""
    weight = weight.clone()
    size = weight.shape[1]
    damped = moment.double() + DAMPING * float(moment.diagonal().mean()) * torch.eye(size, dtype=torch.float64)
    # The upper factor of the inverse: row c holds how an error in column c is best spread over those after it.
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    spread = torch.linalg.cholesky(inverse, upper=True).float()
    result = torch.empty_like(weight)
    for start in range(0, size, BLOCK):
        end = min(start + BLOCK, size)
        errors = torch.empty(weight.shape[0], end - start)
        for column in range(start, end):
            kept = _nearest(weight[:, column])
            result[:, column] = kept
            error = (weight[:, column] - kept) / spread[column, column]
            weight[:, column + 1 : end] -= torch.outer(error, spread[column, column + 1 : end])
            errors[:, column - start] = error
        weight[:, end:] -= errors @ spread[start:end, end:]
    return result


def _nearest(column: torch.Tensor) -> torch.Tensor:
    return column.to(torch.float8_e4m3fn).float()
