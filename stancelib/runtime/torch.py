"""PyTorch and transformers: for a GPU, or for a checkpoint without an ONNX file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stancelib.checkpoint import Checkpoint
from stancelib.errors import MissingExtraError, ModelError

if TYPE_CHECKING:
    from stancelib.runtime import Runtime


def load_torch(checkpoint: Checkpoint, device: str | None = None) -> Runtime:
    """Load onto ``device`` (``"cpu"``, ``"cuda:1"``, ``"mps"`` …), by default the first GPU, else the CPU."""
    try:
        import torch
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

    def logits(ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        with torch.inference_mode():
            tokens, attention = torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)
            result: NDArray[np.float32] = model(tokens, attention_mask=attention).logits.float().cpu().numpy()
        return result

    return logits
