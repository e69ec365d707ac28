"""PyTorch and transformers: for a GPU, or for a checkpoint without an ONNX file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stancelib.checkpoint import HOLDER_HEAD, Checkpoint, middle_layer
from stancelib.errors import MissingExtraError, ModelError
from stancelib.runtime import cannot_run

if TYPE_CHECKING:
    from stancelib.runtime import Logits, Runtime


def load_torch(checkpoint: Checkpoint, device: str | None = None) -> Runtime:
    """Load onto ``device`` (``"cpu"``, ``"cuda:1"``, ``"mps"`` …), by default the first GPU, else the CPU."""
    try:
        import torch
        from safetensors.torch import load_file
        from torch.nn.functional import linear
        from transformers import AutoModelForSequenceClassification
    except ImportError as error:
        raise MissingExtraError('backend="torch"', error.name or "torch", "train") from None
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

    head: dict[str, Any] = {}
    if checkpoint.has_holders:
        head = {name: tensor.float().to(device) for name, tensor in load_file(checkpoint.folder / HOLDER_HEAD).items()}

    def logits(ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Logits:
        try:
            return run(ids, mask)
        except Exception as error:  # a token that the embedding lacks, no memory
            raise cannot_run(checkpoint.folder, ids, error) from None

    def run(ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Logits:
        with torch.inference_mode():
            tokens, attention = torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)
            outputs = model(tokens, attention_mask=attention, output_hidden_states=bool(head))
            stances: NDArray[np.float32] = outputs.logits.float().cpu().numpy()
            if not head:
                return stances, None
            states = outputs.hidden_states
            last = states[-1]
            middle = states[middle_layer(len(states) - 1)]
            inner = linear(torch.cat([middle, last], dim=-1), head["token.weight"], head["token.bias"])
            inner = inner + linear(last[:, :1], head["sentence.weight"])
            found = linear(torch.relu(inner), head["tags.weight"], head["tags.bias"])
            tags: NDArray[np.float32] = found.float().cpu().numpy()
        return stances, tags

    return logits
