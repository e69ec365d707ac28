"""`StanceEstimator`: a scikit-learn classifier of texts, with any labels.

Apart from `stancelib.finetuning`, which makes model folders, this is for experiments in scikit-learn: its pipelines,
searches, cross-validation and calibration.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stancelib.batching import batches, pad
from stancelib.checkpoint import NEEDED, Checkpoint, find_folder, middle_layer, shipped
from stancelib.classifier import WINDOW, StanceClassifier
from stancelib.data import LabelledData
from stancelib.errors import InputError, MissingExtraError, ModelError
from stancelib.texts import problem, windows
from stancelib.tokens import Encoder

try:
    from scipy.sparse import issparse
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data
except ImportError as missing:
    raise MissingExtraError("StanceEstimator", missing.name or "scikit-learn", "train") from None

_SHOWN = 5
# Searches and cross-validation read the same texts again and again; the features of so many take some 120 MB.
_REMEMBERED = 20_000


class StanceEstimator(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A scikit-learn classifier that starts from a pretrained model.

    With ``train_layers="head"``, texts become the frozen features of `Features`, standardised, and a logistic
    regression learns the labels (a linear probe; Alain & Bengio 2016): seconds for hundreds of texts. ``"upper"`` and
    ``"all"`` train the model itself, by `stancelib.finetuning`.

    ``X``, everywhere, is a list, a one-dimensional array or a column of texts, or a frame or array with that one
    column.

    A pickle holds the name of the model, and the head, but not the model: it is read where its folder is to be found,
    and checked to be the same.

    Args:
        base: the model to start from: None for the shipped default, a shipped model's name, a folder, or a hub id.
        train_layers: ``"head"``, ``"upper"`` or ``"all"``; see above.
        C: for the head: the inverse strength of the L2 penalty, above 0.
        class_weight: for the head: ``"balanced"`` makes errors in rare labels count more, inverse to their frequency,
            which serves the macro-F1 and makes rare labels more probable than they are; None counts all alike.
        epochs, learning_rate, batch_size: for ``"upper"`` and ``"all"``; None leaves the choice to `finetune`.
        output_dir: for ``"upper"`` and ``"all"``, which need it: each fit writes its model to a new folder in it.
        device: that torch runs the model on; None for a GPU if there is one.
        random_state: an int, a `numpy.random.RandomState`, or None for another seed each time.

    Attributes:
        classes_: the labels, sorted.
        base_: the model that predictions start from: a name, or an absolute path.
        base_sha256_: of its weights.
        head_: the fitted scikit-learn pipeline on the features; None after finetuning.
        n_features_in_: 1, and ``feature_names_in_``, the column, if ``X`` had two dimensions.
    """

    def __init__(
        self,
        base: str | os.PathLike[str] | None = None,
        *,
        train_layers: Literal["head", "upper", "all"] = "head",
        C: float = 0.01,  # noqa: N803  # scikit-learn's name
        class_weight: Literal["balanced"] | Mapping[Any, float] | None = "balanced",
        epochs: int | None = None,
        learning_rate: float | None = None,
        batch_size: int | None = None,
        output_dir: str | os.PathLike[str] | None = None,
        device: str | None = None,
        random_state: Any = 1,
    ) -> None:
        self.base = base
        self.train_layers = train_layers
        self.C = C
        self.class_weight = class_weight
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.output_dir = output_dir
        self.device = device
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        return tags

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> StanceEstimator:
        """Learn the labels ``y`` of the texts ``X``.

        Args:
            X: n texts.
            y: n labels: strings, whole numbers or bools, of two kinds at least.
            sample_weight: n numbers, for the head only.

        Raises:
            InputError: ``X`` holds something that is no text; the message names it.
            ValueError: ``y`` holds no labels, or not one for each text, or a parameter can't be used.
            ModelError: there is no model ``base``.
            MissingExtraError: torch is not installed.
        """
        labels: NDArray[Any] = validate_data(self, X="no_validation", y=y)  # first, for it forgets names of columns
        texts = self._texts(X, reset=True)
        check_consistent_length(texts, labels)
        check_classification_targets(labels)
        self.classes_ = np.unique(labels)
        if self.train_layers == "head":
            self._fit_head(texts, labels, sample_weight)
        elif self.train_layers in ("upper", "all"):
            if sample_weight is not None:
                raise ValueError('sample_weight goes with train_layers="head"; finetuning does not weigh single texts')
            self._finetune(texts, labels)
        else:
            raise ValueError(f"train_layers={self.train_layers!r} is none of 'head', 'upper' and 'all'")
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable labels: an array of shape (n texts,), of the type of ``classes_``.

        Raises:
            InputError: ``X`` holds something that is no text; the message names it.
            ModelError: the model is gone, or is not the one that was fitted.
        """
        probabilities = self.predict_proba(X)
        found: NDArray[Any] = self.classes_[probabilities.argmax(axis=1)]
        return found

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities of shape (n texts, n labels), columns in the order of ``classes_``; raises as `predict`."""
        check_is_fitted(self)
        texts = self._texts(X, reset=False)
        found: NDArray[np.float64]
        if self.head_ is not None:
            found = self.head_.predict_proba(self._features(texts))
            return found
        model = _classifier(self.base_, self.device)
        self._check_same(model.checkpoint.sha256())
        # A model with our three labels may know one that the texts had not.
        columns = [model.labels.index(str(label)) for label in self.classes_]
        found = model.predict_proba(texts)[:, columns].astype(np.float64)
        found /= found.sum(axis=1, keepdims=True)
        return found

    def _fit_head(self, texts: list[str], labels: NDArray[Any], sample_weight: ArrayLike | None) -> None:
        self.base_ = _reference(self.base)
        self.base_sha256_ = features_of(self.base_, self.device).sha256
        regression = LogisticRegression(C=self.C, class_weight=self.class_weight, max_iter=1000)
        self.head_ = make_pipeline(StandardScaler(), regression)
        weights = {f"{step}__sample_weight": sample_weight for step, _ in self.head_.steps}
        self.head_.fit(self._features(texts), labels, **({} if sample_weight is None else weights))

    def _finetune(self, texts: list[str], labels: NDArray[Any]) -> None:
        from stancelib.finetuning import finetune

        if self.output_dir is None:
            raise ValueError(
                f"train_layers={self.train_layers!r} writes a model folder at each fit: say where, with output_dir="
            )
        names = [str(label) for label in self.classes_]
        if len(set(names)) < len(names):
            raise ValueError(f"of the labels {self.classes_.tolist()}, two are written alike; rename one")
        places = [f"X[{index}]" for index in range(len(texts))]
        Path(self.output_dir).mkdir(parents=True, exist_ok=True)
        folder = tempfile.mkdtemp(prefix="fit-", dir=self.output_dir)
        written = finetune(
            LabelledData("X", texts, [str(label) for label in labels], None, places, [{} for _ in texts]),
            output_dir=folder,
            base=self.base,
            train_layers=self.train_layers,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            seed=int(check_random_state(self.random_state).randint(2**31 - 1)),
            quiet=True,
        )
        self.head_ = None
        self.base_ = str(Path(written).resolve())
        self.base_sha256_ = _classifier(self.base_, self.device).checkpoint.sha256()

    def _features(self, texts: list[str]) -> NDArray[np.float64]:
        features = features_of(self.base_, self.device)
        self._check_same(features.sha256)
        # In single precision, a weight of two and a row given twice would differ in the seventh digit.
        return features(texts).astype(np.float64)

    def _check_same(self, sha256: str) -> None:
        if sha256 != self.base_sha256_:
            raise ModelError(
                f"the weights of {self.base_} are not those that this estimator was fitted with; fit it anew"
            )

    def _texts(self, X: Any, reset: bool) -> list[str]:
        """``X`` as a list of strings; counts and names its column, or checks them, where it has two dimensions."""
        if reset:
            for name in ("n_features_in_", "feature_names_in_"):
                if hasattr(self, name):
                    delattr(self, name)
        if issparse(X):
            raise InputError("X is a sparse matrix; give the texts themselves, with no vectorizer before this")
        if getattr(X, "ndim", 1) == 2:
            validate_data(self, X=X, reset=reset, skip_check_array=True)
            X = self._column(X)
        texts = [text for window in windows(X, WINDOW) for text in window]
        found = [f"X[{index}] is {wrong}" for index, text in enumerate(texts) if (wrong := problem(text))]
        if found:
            more = f" and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
            raise InputError(f"{', '.join(found[:_SHOWN])}{more}; leave these rows out")
        if not texts:
            raise InputError("X holds no texts: 0 samples, a minimum of 1 is required")
        return texts

    def _column(self, X: Any) -> Any:
        """The one column of ``X``, which has two dimensions."""
        if X.shape[1] == 0:
            raise InputError(
                f"X has no column: 0 feature(s) (shape={tuple(X.shape)}) while a minimum of 1 is required; give the "
                "one that holds the text"
            )
        if X.shape[1] > 1:
            raise InputError(
                f"X has {X.shape[1]} columns; give the one that holds the text, or pick it in a pipeline with a "
                "ColumnTransformer"
            )
        return X.iloc[:, 0] if hasattr(X, "iloc") else np.asarray(X)[:, 0]


class Features:
    """The frozen features of texts in the encoder of a checkpoint.

    The means over the tokens of two hidden states, one two thirds up and the last, side by side. With 300 training
    sentences of the shipped model, its own labels are learnt best from the last (macro-F1 of a logistic regression
    0.95; 0.91 from the lower one), others from the lower one (kind of text 0.51, last 0.32; Ukraine or not 0.71, last
    0.58), and from both about as well as from the better one. The first token does no better than the mean.

    They do not depend on which texts are read together, but for rounding in the last digits.
    """

    def __init__(self, name: str | os.PathLike[str] | None = None, device: str | None = None) -> None:
        """See `StanceEstimator` for ``name`` and ``device``; raises `ModelError` and `MissingExtraError`."""
        try:
            import torch
            from transformers import AutoModel
            from transformers.utils import logging
        except ImportError as error:
            raise MissingExtraError("StanceEstimator", error.name or "torch", "train") from None
        checkpoint = Checkpoint(find_folder(name))  # any encoder will do, with labels or without
        missing = [file for file in NEEDED if not (checkpoint.folder / file).is_file()]
        if missing:
            raise ModelError(f"{checkpoint.folder} is not a complete model folder: {', '.join(missing)} missing")
        self.sha256 = checkpoint.sha256()
        self._encoder = Encoder(checkpoint.folder, checkpoint.max_tokens)
        self._pad_id = int(checkpoint.config.get("pad_token_id") or 0)
        self._device = device or (
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
        said, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()  # it would list the weights of the head, which is not wanted here
        logging.disable_progress_bar()
        try:
            self._model = (
                AutoModel.from_pretrained(
                    checkpoint.folder, dtype=torch.float32, use_safetensors=True, local_files_only=True
                )
                .to(self._device)
                .eval()
            )
        except (OSError, ValueError, RuntimeError, AssertionError) as error:
            raise ModelError(f"{checkpoint.folder} cannot be loaded: {error}") from None
        finally:
            logging.set_verbosity(said)
            if bars:
                logging.enable_progress_bar()
        self._known: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Features of shape (n texts, twice the size of the model's states)."""
        with self._lock:
            unread = list(dict.fromkeys(text for text in texts if text not in self._known))
            found = dict(zip(unread, self._read(unread), strict=True))
            rows = [self._known[text] if text in self._known else found[text] for text in texts]
            self._known.update(found)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return np.stack(rows)

    def _read(self, texts: list[str]) -> list[NDArray[np.float32]]:
        import torch

        rows: list[NDArray[np.float32]] = []
        for start in range(0, len(texts), WINDOW):
            encoded = self._encoder(texts[start : start + WINDOW])
            window: list[Any] = [None] * len(encoded)
            for group in batches([len(item.ids) for item in encoded]):
                ids, mask = pad([encoded[index].ids for index in group], self._pad_id)
                with torch.inference_mode():
                    attention = torch.from_numpy(mask).to(self._device)
                    states = self._model(
                        torch.from_numpy(ids).to(self._device), attention_mask=attention, output_hidden_states=True
                    ).hidden_states
                    both = torch.cat([states[middle_layer(len(states) - 1)], states[-1]], dim=-1)
                    weights = attention.unsqueeze(-1).to(both.dtype)
                    pooled = ((both * weights).sum(1) / weights.sum(1)).float().cpu().numpy()
                for index, row in zip(group, pooled, strict=True):
                    window[index] = row
            rows.extend(window)
        return rows


@lru_cache(maxsize=2)
def features_of(name: str | None, device: str | None = None) -> Features:
    """`Features`, kept from call to call."""
    return Features(name, device)


@lru_cache(maxsize=2)
def _classifier(folder: str, device: str | None) -> StanceClassifier:
    if device in (None, "cpu") and (Path(folder) / "model.onnx").is_file():
        return StanceClassifier.from_pretrained(folder)
    return StanceClassifier.from_pretrained(folder, backend="torch", device=device)


def _reference(base: str | os.PathLike[str] | None) -> str | None:
    """What finds ``base`` again from another folder; on another machine too, unless it is a folder of this one."""
    if base is None or (isinstance(base, str) and base in shipped()):
        return base
    return str(Path(base).resolve()) if Path(base).is_dir() else str(base)
