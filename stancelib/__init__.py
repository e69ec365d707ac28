"""stancelib: who supports, who opposes and who stays neutral on sending troops.

>>> import stancelib
>>> print(stancelib.predict("Norda rules out soldiers on the ground."))  # doctest: +ELLIPSIS
oppose  0...  Norda rules out soldiers on the ground.
"""

from importlib.metadata import PackageNotFoundError, version

from stancelib.classifier import StanceClassifier, analyze, analyze_many, predict
from stancelib.document import Balance, Document, Evidence, HolderStance, Sentence
from stancelib.errors import FileError, InputError, MissingExtraError, ModelError, StancelibError
from stancelib.holders import Holder
from stancelib.labels import LABELS, Label
from stancelib.prediction import Prediction

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
    "StancelibError",
    "__version__",
    "analyze",
    "analyze_many",
    "predict",
]
