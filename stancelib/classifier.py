"""`StanceClassifier`: texts in, calibrated predictions out."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from typing import Any, Literal, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from stancelib.batching import batches, pad
from stancelib.checkpoint import Checkpoint
from stancelib.errors import InputError, ModelError
from stancelib.labels import LABELS, Label
from stancelib.prediction import Prediction
from stancelib.runtime import Backend, Runtime, open_runtime
from stancelib.texts import problem, windows
from stancelib.tokens import Encoded, Encoder

Invalid: TypeAlias = Literal["raise", "skip"]

# Texts held at a time by `stream`: enough to find neighbours of like length, little enough to forget.
WINDOW = 1024
_SHOWN_PROBLEMS = 5


class StanceClassifier:
    """Tells whether a sentence supports, opposes or stays neutral on sending troops.

    Make one with `from_pretrained`. It may be shared between threads.

    The probabilities of a text do not depend on which other texts are classified with it.
    """

    def __init__(self, checkpoint: Checkpoint, runtime: Runtime) -> None:
        self.checkpoint = checkpoint
        self._runtime = runtime
        self._encoder = Encoder(checkpoint.folder, checkpoint.max_tokens)
        self._pad_id = int(checkpoint.config.get("pad_token_id") or 0)

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str] | None = None,
        *,
        backend: Backend = "onnx",
        device: str | None = None,
    ) -> StanceClassifier:
        """Load a model.

        Args:
            name: None for the shipped default; the name of a shipped model; a checkpoint folder; or a hub id.
            backend: ``"onnx"`` (ONNX Runtime on the CPU) or ``"torch"`` (needs the extra ``train``).
            device: for torch only, such as ``"cpu"`` or ``"cuda:0"``; by default a GPU if there is one.

        Raises:
            ModelError: the model is not there, is not complete, is damaged, or has other labels.
            MissingExtraError: ``backend="torch"`` without torch.
        """
        checkpoint = Checkpoint.open(name)
        return cls(checkpoint, open_runtime(checkpoint, backend, device))

    def __repr__(self) -> str:
        return f"StanceClassifier({self.checkpoint.name!r})"

    @property
    def labels(self) -> tuple[Label, ...]:
        """``("support", "oppose", "neutral")``: the order of the columns of `predict_proba`."""
        return LABELS

    @overload
    def predict(self, texts: str) -> Prediction: ...  # type: ignore[overload-overlap]  # a str is iterable too
    @overload
    def predict(self, texts: Iterable[str], *, invalid: Literal["raise"] = "raise") -> list[Prediction]: ...
    @overload
    def predict(self, texts: Iterable[Any], *, invalid: Invalid) -> list[Prediction | None]: ...
    def predict(self, texts: Any, *, invalid: Invalid = "raise") -> Any:
        """Classify one text, or many.

        Args:
            texts: a string, or any iterable of strings: list, generator, numpy array, pandas, polars or Arrow column.
            invalid: what to do with elements that can't be classified (None, nan, numbers, bytes, blank texts):
                ``"raise"`` an `InputError` that names them, before any work is done, or ``"skip"`` them, which leaves
                None in their places.

        Returns:
            A `Prediction` for a string, else a list of them in the order of the texts.
        """
        if isinstance(texts, str):
            return self._predict_valid(_checked([texts], "raise", single=True))[0]
        valid = _checked(_all(texts), invalid)
        return [
            prediction
            for start in range(0, len(valid), WINDOW)
            for prediction in self._predict_valid(valid[start : start + WINDOW])
        ]

    def predict_proba(self, texts: Any, *, invalid: Invalid = "raise") -> NDArray[np.float32]:
        """Probabilities as a float32 array of shape (n texts, 3), columns in the order of `labels`.

        One string gives shape (1, 3). With ``invalid="skip"``, rows of what can't be classified are nan.
        """
        elements = [texts] if isinstance(texts, str) else _all(texts)
        valid = _checked(elements, invalid, single=isinstance(texts, str))
        result = np.full((len(valid), len(LABELS)), np.nan, dtype=np.float32)
        for start in range(0, len(valid), WINDOW):
            window = valid[start : start + WINDOW]
            rows = [start + offset for offset, text in enumerate(window) if text is not None]
            if rows:
                result[rows] = self._probabilities(self._encoder([text for text in window if text is not None]))
        return result

    @overload
    def stream(self, texts: Iterable[str], *, invalid: Literal["raise"] = "raise") -> Iterator[Prediction]: ...
    @overload
    def stream(self, texts: Iterable[Any], *, invalid: Invalid) -> Iterator[Prediction | None]: ...
    def stream(self, texts: Iterable[Any], *, invalid: Invalid = "raise") -> Iterator[Any]:
        """Classify lazily: predictions in the order of the texts, with about a thousand texts in memory at a time.

        With ``invalid="raise"``, everything before the first bad element is yielded before the error is raised.
        """
        if isinstance(texts, str):
            raise InputError("stream takes an iterable of texts; for one text call predict")
        _check_invalid(invalid)
        return self._stream(windows(texts, WINDOW), invalid)

    def _stream(self, parts: Iterator[list[Any]], invalid: Invalid) -> Iterator[Prediction | None]:
        position = 0
        for window in parts:
            problems = [problem(text) for text in window]
            bad = next((i for i, found in enumerate(problems) if found), None) if invalid == "raise" else None
            usable = [text if not found else None for text, found in zip(window, problems, strict=True)]
            yield from self._predict_valid(usable[:bad])
            if bad is not None:
                raise InputError(f"texts[{position + bad}] is {problems[bad]}{_ADVICE}")
            position += len(window)

    def _predict_valid(self, texts: list[str | None]) -> list[Prediction | None]:
        """Predictions for the texts, None for None."""
        present = [text for text in texts if text is not None]
        if not present:
            return [None] * len(texts)
        encoded = self._encoder(present)
        made = iter(
            [
                _prediction(text, row, item.truncated)
                for text, row, item in zip(present, self._probabilities(encoded).tolist(), encoded, strict=True)
            ]
        )
        return [None if text is None else next(made) for text in texts]

    def _probabilities(self, encoded: list[Encoded]) -> NDArray[np.float32]:
        logits = np.empty((len(encoded), len(LABELS)), dtype=np.float32)
        for group in batches([len(item.ids) for item in encoded]):
            ids, mask = pad([encoded[index].ids for index in group], self._pad_id)
            logits[group] = self._runtime(ids, mask)[:, self.checkpoint.columns]
        if not np.isfinite(logits).all():
            raise ModelError(f"{self.checkpoint.folder} gives numbers that are not finite; its weights are damaged")
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        result: NDArray[np.float32] = exponents / exponents.sum(axis=1, keepdims=True)
        return result


_ADVICE = '; mend the input, or pass invalid="skip" to get None in its place'


def _all(texts: Any) -> list[Any]:
    return [text for window in windows(texts, WINDOW) for text in window]


def _check_invalid(invalid: str) -> None:
    if invalid not in ("raise", "skip"):
        raise ValueError(f"invalid={invalid!r} is neither 'raise' nor 'skip'")


def _checked(elements: list[Any], invalid: Invalid, single: bool = False) -> list[str | None]:
    """The texts, with None for what is invalid; raises `InputError` instead if ``invalid`` says so."""
    _check_invalid(invalid)
    problems = [problem(text) for text in elements]
    found = [(index, reason) for index, reason in enumerate(problems) if reason]
    if found and invalid == "raise":
        if single:
            raise InputError(f"the text is {found[0][1]}; there is nothing to classify")
        shown = ", ".join(f"texts[{index}] is {reason}" for index, reason in found[:_SHOWN_PROBLEMS])
        more = f" and {len(found) - _SHOWN_PROBLEMS:,} more" if len(found) > _SHOWN_PROBLEMS else ""
        raise InputError(f"{shown}{more}{_ADVICE}")
    return [None if reason else text for text, reason in zip(elements, problems, strict=True)]


def _prediction(text: str, row: list[float], truncated: bool) -> Prediction:
    best = max(range(len(row)), key=row.__getitem__)
    return Prediction(LABELS[best], row[best], dict(zip(LABELS, row, strict=True)), text, truncated)


_default: StanceClassifier | None = None
_default_lock = threading.Lock()


def default_classifier() -> StanceClassifier:
    """The shipped default model, loaded at the first call and kept; threads that come at once share one load."""
    global _default
    if _default is None:
        with _default_lock:
            if _default is None:
                _default = StanceClassifier.from_pretrained()
    return _default


@overload
def predict(texts: str) -> Prediction: ...  # type: ignore[overload-overlap]
@overload
def predict(texts: Iterable[str], *, invalid: Literal["raise"] = "raise") -> list[Prediction]: ...
@overload
def predict(texts: Iterable[Any], *, invalid: Invalid) -> list[Prediction | None]: ...
def predict(texts: Any, *, invalid: Invalid = "raise") -> Any:
    """Classify one text or many with the shipped default model; see `StanceClassifier.predict`."""
    return default_classifier().predict(texts, invalid=invalid)
