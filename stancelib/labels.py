"""The three labels of the shipped models and their one order, which every array, table and checkpoint follows.

A model may have other labels (two classes, five points); it keeps them, in the order of its ``config.json``.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

Label: TypeAlias = Literal["support", "oppose", "neutral"]

LABELS: tuple[Label, Label, Label] = ("support", "oppose", "neutral")
