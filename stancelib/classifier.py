"""`StanceClassifier`: texts in, calibrated predictions out."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from stancelib.batching import batches, pad
from stancelib.checkpoint import HOLDER_HEAD, Checkpoint
from stancelib.corpus import Source, as_source
from stancelib.document import Document, build
from stancelib.errors import InputError, ModelError
from stancelib.gate import Gate, near_the_military
from stancelib.holders import Holder, find_holders, mentions, softmax, stance_probabilities
from stancelib.labels import LABELS
from stancelib.prediction import Prediction
from stancelib.runtime import Backend, Runtime, open_runtime
from stancelib.sentences import split
from stancelib.texts import problem, windows
from stancelib.tokens import Encoded, Encoder

Invalid: TypeAlias = Literal["raise", "skip"]

# Texts held at a time by `stream`: enough to find neighbours of like length, little enough to forget.
WINDOW = 1024
_SHOWN_PROBLEMS = 5


class StanceClassifier:
    """Tells whether a sentence supports, opposes or stays neutral on sending troops.

    Make one with `from_pretrained`. It may be shared between threads, and used after a fork. Pickled, it holds its name
    and the digest of its weights, not the weights: whoever loads it needs the same model at the same place. A model
    trained on another scheme answers with the labels of that scheme.

    The probabilities of a text do not depend on which other texts are classified with it.
    """

    def __init__(self, checkpoint: Checkpoint, runtime: Runtime) -> None:
        self.checkpoint = checkpoint
        self._runtime = runtime
        self._encoder = Encoder(checkpoint.folder, checkpoint.max_tokens)
        self._pad_id = int(checkpoint.config.get("pad_token_id") or 0)
        self._loaded_from: tuple[Any, ...] | None = None

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str] | None = None,
        *,
        backend: Backend = "onnx",
        device: str | None = None,
        threads: int | None = None,
    ) -> StanceClassifier:
        """Load a model.

        Args:
            name: None for the shipped default; the name of a shipped model; a checkpoint folder; or a hub id.
            backend: ``"onnx"`` (ONNX Runtime on the CPU) or ``"torch"`` (needs the extra ``train``).
            device: for torch only, such as ``"cpu"`` or ``"cuda:0"``; by default a GPU if there is one.
            threads: how many compute a batch, by default one a core; 1 where several processes share the machine.

        Raises:
            ModelError: the model is not there, is not complete, is damaged, or is no classifier with named labels.
            MissingExtraError: ``backend="torch"`` without torch.
            ValueError: ``threads`` is less than 1, or there is no such backend or device.
        """
        checkpoint = Checkpoint.open(name)
        classifier = cls(checkpoint, open_runtime(checkpoint, backend, device, threads))
        place = name if name is None or not Path(name).is_dir() else Path(name).absolute()
        classifier._loaded_from = (place, backend, device, threads)
        return classifier

    def __reduce__(self) -> tuple[Any, ...]:
        if self._loaded_from is None:
            raise TypeError("only a StanceClassifier that from_pretrained made can be pickled")
        return _load_again, (*self._loaded_from, self.checkpoint.sha256())

    def __repr__(self) -> str:
        return f"StanceClassifier({self.checkpoint.name!r})"

    @property
    def abstention(self) -> list[dict[str, float]]:
        """What `predict`'s ``abstain_below`` buys: rows of threshold, coverage and risk, as measured.

        Coverage is the share of sentences kept, risk the share of those that is wrong. Empty for a model that was not
        measured.
        """
        rows = self.checkpoint.metrics.get("abstention", [])
        if not isinstance(rows, list):
            raise ModelError(f"{self.checkpoint.folder}: abstention in metrics.json is no list; measure the model anew")
        return list(rows)

    @property
    def labels(self) -> tuple[str, ...]:
        """The order of the columns of `predict_proba`: ``("support", "oppose", "neutral")``.

        A model with other labels has its own, in the order of ``id2label`` in its ``config.json``.
        """
        return self.checkpoint.labels

    @overload
    def predict(  # type: ignore[overload-overlap]  # a str is iterable too
        self, texts: str, *, holder: str | None = None, abstain_below: float = 0.0
    ) -> Prediction: ...
    @overload
    def predict(
        self, texts: Iterable[str], *, invalid: Literal["raise"] = "raise", abstain_below: float = 0.0
    ) -> list[Prediction]: ...
    @overload
    def predict(
        self, texts: Iterable[Any], *, invalid: Invalid, abstain_below: float = 0.0
    ) -> list[Prediction | None]: ...
    def predict(
        self, texts: Any, *, invalid: Invalid = "raise", holder: str | None = None, abstain_below: float = 0.0
    ) -> Any:
        """Classify one text, or many.

        Args:
            texts: a string, or any iterable of strings: list, generator, numpy array, pandas, polars or Arrow column.
            invalid: what to do with elements that can't be classified (None, nan, numbers, bytes, blank texts):
                ``"raise"`` an `InputError` that names them, before any work is done, or ``"skip"`` them, which leaves
                None in their places.
            holder: with one text, words of it that name somebody (``""``: its author); the prediction is then of the
                stance that the text gives *them*, and ``neutral`` if it gives them none.
            abstain_below: predictions less confident than this get the label None (selective classification; El-Yaniv
                & Wiener 2010). `abstention` tells what share of sentences which threshold keeps, and how many of them
                are wrong.

        Returns:
            A `Prediction` for a string, else a list of them in the order of the texts.

        Raises:
            InputError: something can't be classified, or the text does not name ``holder``.
            ModelError: ``holder`` with a model that has no holder head.
        """
        if holder is not None:
            if not isinstance(texts, str):
                raise InputError("holder= goes with one text; with many, read the holders of each prediction")
            return self._stance_of(_checked([texts], "raise", single=True)[0] or "", holder, abstain_below)
        if isinstance(texts, str):
            return self._predict_valid(_checked([texts], "raise", single=True), abstain_below)[0]
        valid = _checked(_all(texts), invalid)
        return [
            prediction
            for start in range(0, len(valid), WINDOW)
            for prediction in self._predict_valid(valid[start : start + WINDOW], abstain_below)
        ]

    def predict_proba(self, texts: Any, *, invalid: Invalid = "raise") -> NDArray[np.float32]:
        """Probabilities as a float32 array of shape (n texts, n labels), columns in the order of `labels`.

        One string gives shape (1, n labels). With ``invalid="skip"``, rows of what can't be classified are nan.
        """
        elements = [texts] if isinstance(texts, str) else _all(texts)
        valid = _checked(elements, invalid, single=isinstance(texts, str))
        result = np.full((len(valid), len(self.labels)), np.nan, dtype=np.float32)
        for start in range(0, len(valid), WINDOW):
            window = valid[start : start + WINDOW]
            rows = [start + offset for offset, text in enumerate(window) if text is not None]
            if rows:
                encoded = self._encoder([text for text in window if text is not None])
                for group, stances, _ in self._run(encoded):
                    result[[rows[index] for index in group]] = softmax(stances)
        return result

    @overload
    def stream(
        self, texts: Iterable[str], *, invalid: Literal["raise"] = "raise", abstain_below: float = 0.0
    ) -> Iterator[Prediction]: ...
    @overload
    def stream(
        self, texts: Iterable[Any], *, invalid: Invalid, abstain_below: float = 0.0
    ) -> Iterator[Prediction | None]: ...
    def stream(self, texts: Iterable[Any], *, invalid: Invalid = "raise", abstain_below: float = 0.0) -> Iterator[Any]:
        """Classify lazily: predictions in the order of the texts, with about a thousand texts in memory at a time.

        With ``invalid="raise"``, everything before the first bad element is yielded before the error is raised.
        """
        if isinstance(texts, str):
            raise InputError("stream takes an iterable of texts; for one text call predict")
        _check_invalid(invalid)
        return self._stream(windows(texts, WINDOW), invalid, abstain_below)

    def _stream(
        self, parts: Iterator[list[Any]], invalid: Invalid, abstain_below: float
    ) -> Iterator[Prediction | None]:
        position = 0
        for window in parts:
            problems = [problem(text) for text in window]
            bad = next((i for i, found in enumerate(problems) if found), None) if invalid == "raise" else None
            usable = [text if not found else None for text, found in zip(window, problems, strict=True)]
            yield from self._predict_valid(usable[:bad], abstain_below)
            if bad is not None:
                raise InputError(f"texts[{position + bad}] is {problems[bad]}{_ADVICE}")
            position += len(window)

    def analyze(self, text: str, *, title: str | None = None) -> Document:
        """Read a whole text: its sentences, and who holds what in it.

        Args:
            text: a document of any length; paragraphs, headings, lists and quotations may stand in it.
            title: what to call it when it is shown; it is not read.

        Raises:
            InputError: ``text`` is no string, or blank.
            ModelError: the model has no holder head, or other labels than ours.
        """
        _checked([text], "raise", single=True)
        return next(self.analyze_many([Source(text, title)], exact=True))

    def analyze_many(
        self, documents: Iterable[Any], *, invalid: Invalid = "raise", exact: bool = False
    ) -> Iterator[Document]:
        """Read texts one after the other, in order and in bounded memory; see `stancelib.corpus` for tables of them.

        Sentences that surely take no position are recognised by a cheap first stage (`stancelib.gate`), as are passages
        that are far from any word of the military, and not read by the model: ``prediction.gated`` marks them. They are
        ``neutral``, without holders. A model folder without a ``gate.safetensors`` reads every sentence.

        Args:
            documents: strings, or mappings with ``text`` and perhaps ``title`` and ``date`` (ISO, ``"2024-05-17"``).
            invalid: what to do with a text that is missing or blank: ``"raise"`` an `InputError` that names it, after
                all before it, or ``"skip"`` it.
            exact: have the model read every sentence.

        Raises:
            InputError: see above.
            ModelError: the model has no holder head, or other labels than ours; or its first stage is damaged.
        """
        self._check_holders()
        if self.labels != LABELS:
            raise ModelError(
                f"{self.checkpoint.folder} has the labels {', '.join(self.labels)}; documents are read with a model "
                f"that has {', '.join(LABELS)}"
            )
        _check_invalid(invalid)
        if isinstance(documents, (str, Mapping)):
            raise InputError("analyze_many takes an iterable of texts; for one text call analyze")
        return self._analyze_many(documents, invalid, None if exact else Gate.open(self.checkpoint.folder))

    def _analyze_many(self, documents: Iterable[Any], invalid: Invalid, gate: Gate | None) -> Iterator[Document]:
        waiting: list[tuple[Source, list[tuple[int, int]]]] = []
        count = 0
        for number, element in enumerate(documents):
            source = as_source(element, number)
            wrong = source.problem or problem(source.text)
            if wrong is None:
                spans = [span for span in split(source.text) if problem(source.text[slice(*span)]) is None]
                waiting.append((source, spans))
                count += len(spans)
            elif invalid == "raise":
                yield from self._read(waiting, gate)
                raise InputError(
                    f"documents[{number}] is {wrong}{_ADVICE.replace('get None in its place', 'leave it out')}"
                )
            if count >= WINDOW:
                yield from self._read(waiting, gate)
                waiting, count = [], 0
        yield from self._read(waiting, gate)

    def _read(self, sources: list[tuple[Source, list[tuple[int, int]]]], gate: Gate | None) -> Iterator[Document]:
        by_document = [[source.text[start:end] for start, end in spans] for source, spans in sources]
        sentences = list(itertools.chain.from_iterable(by_document))
        gated: list[Prediction | None] = [None] * len(sentences)
        if gate:
            gated = [
                told
                for own, (source, _) in zip(by_document, sources, strict=True)
                for told in gate.predictions(own, near_the_military(own, source.title))
            ]
        read = iter(self.predict([text for text, told in zip(sentences, gated, strict=True) if told is None]))
        predictions = iter([next(read) if told is None else told for told in gated])
        for source, spans in sources:
            yield build(source.text, spans, list(itertools.islice(predictions, len(spans))), source.title, source.date)

    def _check_holders(self) -> None:
        if not self.checkpoint.has_holders:
            raise ModelError(f"{self.checkpoint.folder} has no {HOLDER_HEAD}: the model can't tell who holds what")

    def _predict_valid(self, texts: list[str | None], abstain_below: float) -> list[Prediction | None]:
        """Predictions for the texts, None for None."""
        present = list(dict.fromkeys(text for text in texts if text is not None))
        if not present:
            return [None] * len(texts)
        encoded = self._encoder(present)
        made: dict[str, Prediction] = {}  # what stands there twice is computed once
        for group, stances, tags in self._run(encoded):
            for row, (index, probabilities) in enumerate(zip(group, softmax(stances).tolist(), strict=True)):
                item = encoded[index]
                holders = () if tags is None else find_holders(present[index], item.offsets, tags[row, : len(item.ids)])
                scores = dict(zip(self.labels, probabilities, strict=True))
                made[present[index]] = _prediction(present[index], scores, item.truncated, holders, abstain_below)
        return [None if text is None else made[text] for text in texts]

    def _run(
        self, encoded: list[Encoded]
    ) -> Iterator[tuple[list[int], NDArray[np.float32], NDArray[np.float32] | None]]:
        """The batches: indices of ``encoded``, logits in the order of `labels`, logits of the tags."""
        for group in batches([len(item.ids) for item in encoded]):
            ids, mask = pad([encoded[index].ids for index in group], self._pad_id)
            stances, tags = self._runtime(ids, mask)
            if not (np.isfinite(stances).all() and (tags is None or np.isfinite(tags).all())):
                raise ModelError(f"{self.checkpoint.folder} gives numbers that are not finite; its weights are damaged")
            if stances.shape[1] != len(self.labels):
                raise ModelError(
                    f"{self.checkpoint.folder} gives {stances.shape[1]} numbers a text, but config.json names "
                    f"{len(self.labels)} labels"
                )
            yield group, stances[:, self.checkpoint.columns], tags

    def _stance_of(self, text: str, holder: str, abstain_below: float) -> Prediction:
        """The stance that ``text`` gives ``holder``, read off the tags of the tokens that name it."""
        self._check_holders()
        (item,) = self._encoder([text])
        ((_, _, tags),) = self._run([item])
        assert tags is not None
        named = mentions(text, holder)
        if not named:
            raise InputError(f'the text does not name {holder!r}; give words that stand in it, or "" for its author')
        by_token = stance_probabilities(softmax(tags[0]))
        # Of several mentions, the one that most plainly takes a position.
        rows = [
            by_token[[i for i, (a, b) in enumerate(item.offsets) if (a < end and start < b) or (i == 0 and end == 0)]]
            for start, end in named
        ]
        taken = max((row.mean(axis=0) for row in rows if len(row)), key=lambda row: row.sum(), default=np.zeros(3))
        support, oppose = float(taken[LABELS.index("support")]), float(taken[LABELS.index("oppose")])
        found = tuple(
            span
            for span in find_holders(text, item.offsets, tags[0])
            if any((span.start < end and start < span.end) or (span.is_author and end == 0) for start, end in named)
        )
        # The tags have our three stances, whatever labels the sentences get.
        scores = {"support": support, "oppose": oppose, "neutral": max(0.0, 1.0 - support - oppose)}
        return _prediction(text, scores, item.truncated, found, abstain_below)


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


def _prediction(
    text: str, scores: Mapping[str, float], truncated: bool, holders: tuple[Holder, ...], abstain_below: float
) -> Prediction:
    best = max(scores, key=scores.__getitem__)
    label = best if scores[best] >= abstain_below else None
    return Prediction(label, scores[best], dict(scores), text, truncated, holders)


def _load_again(
    name: str | os.PathLike[str] | None, backend: Backend, device: str | None, threads: int | None, sha256: str
) -> StanceClassifier:
    classifier = StanceClassifier.from_pretrained(name, backend=backend, device=device, threads=threads)
    if classifier.checkpoint.sha256() != sha256:
        raise ModelError(
            f"{classifier.checkpoint.folder} holds other weights than the model that was pickled; use the same model, "
            "and the same version of stancelib, on both sides"
        )
    return classifier


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
def predict(  # type: ignore[overload-overlap]
    texts: str, *, holder: str | None = None, abstain_below: float = 0.0
) -> Prediction: ...
@overload
def predict(
    texts: Iterable[str], *, invalid: Literal["raise"] = "raise", abstain_below: float = 0.0
) -> list[Prediction]: ...
@overload
def predict(texts: Iterable[Any], *, invalid: Invalid, abstain_below: float = 0.0) -> list[Prediction | None]: ...
def predict(texts: Any, *, invalid: Invalid = "raise", holder: str | None = None, abstain_below: float = 0.0) -> Any:
    """Classify one text or many with the shipped default model; see `StanceClassifier.predict`."""
    predict_any: Any = default_classifier().predict
    return predict_any(texts, invalid=invalid, holder=holder, abstain_below=abstain_below)


def analyze(text: str, *, title: str | None = None) -> Document:
    """Read a whole text with the shipped default model; see `StanceClassifier.analyze`."""
    return default_classifier().analyze(text, title=title)


def analyze_many(documents: Iterable[Any], *, invalid: Invalid = "raise", exact: bool = False) -> Iterator[Document]:
    """Read texts one after the other with the shipped default model; see `StanceClassifier.analyze_many`."""
    return default_classifier().analyze_many(documents, invalid=invalid, exact=exact)
