"""Measuring: a model, or predictions made with any, against labelled texts, with intervals throughout."""

from stancelib.evaluation.measuring import evaluate
from stancelib.evaluation.mistakes import Mistake
from stancelib.evaluation.result import Bin, CurvePoint, Evaluation, Figure, Slice

__all__ = ["Bin", "CurvePoint", "Evaluation", "Figure", "Mistake", "Slice", "evaluate"]
