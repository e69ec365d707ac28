"""PyTorch and transformers: for a GPU, or for a checkpoint without an ONNX file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stancelib.checkpoint import HOLDER_HEAD, Checkpoint
from stancelib.errors import MissingExtraError, ModelError

if TYPE_CHECKING:
    from stancelib.runtime import Logits, Runtime


def load_torch(checkpoint: Checkpoint, device: str | None = None) -> Runtime:
    """Load onto ``device`` (``"cpu"``, ``"cuda:1"``, ``"mps"`` …), by default the first GPU, else the CPU."""
    try:
        import torch
        from safetensors.torch import load_file
        from transformers import AutoModelForSequenceClassification
    except ImportError as error:
        raise MissingExtraError('backend="torch"', error.name or "torch", "train") from None
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        model = AutoModelForSequenceClassification.from_pretrained(
            checkpoint.folder, dtype=torch.float32, use_safetensors=True, local_files_only=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"{checkpoint.folder} cannot be loaded: {error}") from None
    try:
        model = model.to(device).eval()
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from None

    head = None
    if checkpoint.has_holders:
        tensors = {name: tensor.float() for name, tensor in load_file(checkpoint.folder / HOLDER_HEAD).items()}
        head = torch.nn.Linear(tensors["weight"].shape[1], tensors["weight"].shape[0])
        head.load_state_dict(tensors)
        head = head.to(device)

    def logits(ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Logits:
        with torch.inference_mode():
            tokens, attention = torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)
            outputs = model(tokens, attention_mask=attention, output_hidden_states=head is not None)
            stances: NDArray[np.float32] = outputs.logits.float().cpu().numpy()
            if head is None:
                return stances, None
            tags: NDArray[np.float32] = head(outputs.hidden_states[-1]).float().cpu().numpy()
        return stances, tags

    return logits
