"""Probabilities that mean what they say: one temperature, fitted on held-out text and divided into the last layer.

So every backend, plain transformers too, gives calibrated probabilities, and none needs a file more. The most probable
label of a text stays what it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stancelib.errors import MissingExtraError, ModelError

if TYPE_CHECKING:
    import torch


def fit_temperature(logits: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]) -> float:
    """The temperature T that minimises the log loss of softmax(logits / T) (Guo et al. 2017), between 0.05 and 20.

    Args:
        logits: (n texts, n labels), of texts that the model did not learn from.
        labels: (n texts,), the column of the right label of each.

    Returns:
        T; 1 if every text has its right label, for then the loss falls for ever as T goes to 0.

    Raises:
        MissingExtraError: scipy is not installed.
    """
    try:
        from scipy.optimize import minimize_scalar
    except ImportError:
        raise MissingExtraError("fitting a temperature", "scipy", "train") from None
    if (logits.argmax(axis=1) == labels).all():
        return 1.0

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        shifted = scaled - scaled.max(axis=1, keepdims=True)
        log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return float(-log_probabilities[np.arange(len(labels)), labels].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))


def last_layer(model: Any) -> torch.nn.Linear:
    """The linear layer of a transformers classifier that gives the logits, whatever the architecture calls it.

    Raises:
        ModelError: no linear layer gives as many numbers as there are labels.
    """
    import torch

    count = model.config.num_labels
    found = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m.out_features == count]
    if not found:
        raise ModelError(f"no linear layer of {type(model).__name__} gives {count} numbers, one a label")
    return found[-1]


def divide(layer: torch.nn.Linear, temperature: float) -> None:
    """Divide what ``layer`` gives by ``temperature``, in weights that 16 bits can hold; in place."""
    import torch

    with torch.no_grad():
        for weight in (layer.weight, layer.bias):
            if weight is not None:
                weight.copy_((weight / temperature).half().float())
