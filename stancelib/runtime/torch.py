"""PyTorch and transformers: for a GPU, or for a checkpoint without an ONNX file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stancelib.checkpoint import Checkpoint, middle_layer
from stancelib.errors import MissingExtraError, ModelError
from stancelib.runtime import cannot_run

if TYPE_CHECKING:
    from stancelib.runtime import Logits, Runtime


def load_torch(checkpoint: Checkpoint, device: str | None = None, threads: int | None = None) -> Runtime:
    """Load onto ``device`` (``"cpu"``, ``"cuda:1"``, ``"mps"`` …), by default the first GPU, else the CPU.

    ``threads`` is set for all that PyTorch computes in this process, for it has one setting.
    """
    if threads is not None and threads < 1:
        raise ValueError(f"threads={threads} must be 1 or more, or None for what PyTorch chooses")
    try:
        import torch
        from transformers import AutoModelForSequenceClassification

        from stancelib.holder_head import HolderHead
    except ImportError as error:
        raise MissingExtraError('backend="torch"', error.name or "torch", "train") from None
    if threads is not None:
        torch.set_num_threads(threads)
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        model = AutoModelForSequenceClassification.from_pretrained(
            checkpoint.folder,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,  # the default, None, asks whoever sits at the terminal
        )
    except Exception as error:  # transformers raises whatever a config leads it to
        raise ModelError(f"{checkpoint.folder} cannot be loaded: {error}") from None
    try:
        model = model.to(device).eval()
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from None

    head = HolderHead.load(checkpoint.folder).to(device).eval() if checkpoint.has_holders else None

    def logits(ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Logits:
        try:
            return run(ids, mask)
        except Exception as error:  # a token that the embedding lacks, no memory
            raise cannot_run(checkpoint.folder, ids, error) from None

    def run(ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Logits:
        with torch.inference_mode():
            tokens, attention = torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)
            outputs = model(tokens, attention_mask=attention, output_hidden_states=head is not None)
            stances: NDArray[np.float32] = outputs.logits.float().cpu().numpy()
            if head is None:
                return stances, None
            states = outputs.hidden_states
            tags: NDArray[np.float32] = head(states[middle_layer(len(states) - 1)], states[-1]).float().cpu().numpy()
        return stances, tags

    return logits
