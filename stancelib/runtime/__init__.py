"""How a checkpoint runs: `open_runtime` gives a function from token ids and mask to logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stancelib.checkpoint import Checkpoint
from stancelib.errors import ModelError

Backend: TypeAlias = Literal["onnx", "torch"]
# (sentences, tokens) int64 ids and mask -> (sentences, labels) float32 logits of the stances, in the model's order, and
# (sentences, tokens, tags) of the holders' tags, or None from a model without a holder head.
Logits: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32] | None]
Runtime: TypeAlias = Callable[[NDArray[np.int64], NDArray[np.int64]], Logits]


def open_runtime(
    checkpoint: Checkpoint, backend: Backend = "onnx", device: str | None = None, threads: int | None = None
) -> Runtime:
    """Load the weights of ``checkpoint`` for ``backend``. The modules are imported only when they are asked for."""
    if backend == "onnx":
        from stancelib.runtime.onnx import load_onnx

        if device not in (None, "cpu"):
            raise ValueError(f'the onnx backend runs on the CPU; for device {device!r} pass backend="torch"')
        return load_onnx(checkpoint, threads)
    if backend == "torch":
        from stancelib.runtime.torch import load_torch

        return load_torch(checkpoint, device, threads)
    raise ValueError(f"backend {backend!r} is neither 'onnx' nor 'torch'")


def cannot_run(what: object, ids: NDArray[np.int64], error: Exception) -> ModelError:
    """What to raise for ``error``, which stopped ``what`` on the batch ``ids``."""
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    if isinstance(error, MemoryError) or any(word in said for word in ("allocat", "out of memory", "bad_alloc")):
        sentences, tokens = ids.shape
        return ModelError(
            f"out of memory on a batch of {sentences:,} sentences of {tokens:,} tokens; free some memory and try again "
            f"({said})"
        )
    return ModelError(f"{what} cannot be run: {said}")
