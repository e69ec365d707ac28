"""ONNX Runtime: the default backend."""

from __future__ import annotations

import ctypes
import os
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from stancelib.checkpoint import Checkpoint
from stancelib.errors import ModelError
from stancelib.runtime import cannot_run

if TYPE_CHECKING:
    from stancelib.runtime import Logits, Runtime


_sessions: weakref.WeakSet[Any] = weakref.WeakSet()


def _keep_in_child() -> None:
    # The destructor of a session waits for its threads, which a fork leaves behind: it must never run in the child.
    for session in _sessions:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_in_child)


def load_onnx(checkpoint: Checkpoint, threads: int | None = None) -> Runtime:
    """Load the graph of ``checkpoint``; each run is computed by ``threads`` threads, by default one a core.

    Several threads may call the result at once: their runs share the threads. A process that was forked loads the graph
    anew at its first call.

    Raises:
        ModelError: there is no ``model.onnx``, or it can't be loaded.
        ValueError: ``threads`` is no positive number.
    """
    if threads is not None and threads < 1:
        raise ValueError(f"threads={threads} must be 1 or more, or None for one a core")
    path = checkpoint.folder / "model.onnx"
    if not path.is_file():
        raise ModelError(
            f'{checkpoint.folder} has no model.onnx, which the onnx backend runs; load it with backend="torch"'
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised, there is no need to print it too
    options.intra_op_num_threads = threads or 0
    # Threads that wait busily between two layers save time, between two batches they take it from the tokenizer.
    options.add_session_config_entry("session.force_spinning_stop", "1")

    def start() -> tuple[Any, int]:
        try:
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors share no base class
            raise ModelError(f"{path} cannot be loaded: {str(error).splitlines()[0]}") from None
        _sessions.add(session)
        return session, os.getpid()

    session, process = start()

    names = ["logits", *(["tag_logits"] if checkpoint.has_holders else [])]

    def logits(ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Logits:
        nonlocal session, process
        if process != os.getpid():  # no lock, which could be held by a thread that the fork left behind
            session, process = start()
        try:
            stances, *tags = session.run(names, {"input_ids": ids, "attention_mask": mask})
        except Exception as error:  # a token that the embedding lacks, another graph, no memory
            raise cannot_run(path, ids, error) from None
        return np.asarray(stances, dtype=np.float32), np.asarray(tags[0], dtype=np.float32) if tags else None

    return logits
