"""The three labels and their one order, which every array, table and checkpoint follows."""

from __future__ import annotations

from typing import Literal, TypeAlias

Label: TypeAlias = Literal["support", "oppose", "neutral"]

LABELS: tuple[Label, Label, Label] = ("support", "oppose", "neutral")
