"""stancelib: who supports, who opposes and who stays neutral on sending troops.

>>> import stancelib
>>> print(stancelib.predict("Norda rules out soldiers on the ground."))  # doctest: +ELLIPSIS
oppose  0...  Norda rules out soldiers on the ground.
"""

import os
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

# onnxruntime 1.32 sends usage data over the network and writes to ~/.cache/Microsoft unless this is set before it is
# imported; the thread that does so also hangs forked processes when they end.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from stancelib.classifier import StanceClassifier, analyze, analyze_many, predict
from stancelib.document import Balance, Document, Evidence, HolderStance, Sentence
from stancelib.errors import FileError, InputError, MissingExtraError, ModelError, StancelibError
from stancelib.holders import Holder
from stancelib.labels import LABELS, Label
from stancelib.prediction import Prediction

if TYPE_CHECKING:
    from stancelib.comparison import compare
    from stancelib.estimator import StanceEstimator
    from stancelib.evaluation import evaluate
    from stancelib.finetuning import finetune
    from stancelib.reliability import agreement
    from stancelib.shares import prevalence
    from stancelib.suggestion import suggest

# Imported when they are asked for, so that whoever predicts does not wait for them.
_LATER = {
    "StanceEstimator": "stancelib.estimator",
    "agreement": "stancelib.reliability",
    "compare": "stancelib.comparison",
    "evaluate": "stancelib.evaluation",
    "finetune": "stancelib.finetuning",
    "prevalence": "stancelib.shares",
    "suggest": "stancelib.suggestion",
}

try:
    __version__ = version("stancelib")
except PackageNotFoundError:  # a clone on the path that was never installed
    __version__ = "0+unknown"

__all__ = [
    "LABELS",
    "Balance",
    "Document",
    "Evidence",
    "FileError",
    "Holder",
    "HolderStance",
    "InputError",
    "Label",
    "MissingExtraError",
    "ModelError",
    "Prediction",
    "Sentence",
    "StanceClassifier",
    "StanceEstimator",
    "StancelibError",
    "__version__",
    "agreement",
    "analyze",
    "analyze_many",
    "compare",
    "evaluate",
    "finetune",
    "predict",
    "prevalence",
    "suggest",
]


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module 'stancelib' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
