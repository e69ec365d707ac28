"""Which sentences to run together: those of like length, so that little padding is computed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Measured on 2 cores: larger batches than this gain nothing and fall out of the cache.
MAX_TOKENS_IN_BATCH = 1024
MAX_SENTENCES_IN_BATCH = 64


def batches(lengths: list[int]) -> list[list[int]]:
    """Indices of ``lengths`` in groups of like length, longest first; every index stands in exactly one group."""
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    groups: list[list[int]] = []
    for index in order:
        if groups:
            longest = lengths[groups[-1][0]]
            room = min(MAX_SENTENCES_IN_BATCH, MAX_TOKENS_IN_BATCH // max(1, longest))
            if len(groups[-1]) < room:
                groups[-1].append(index)
                continue
        groups.append([index])
    return groups


def pad(ids: list[list[int]], pad_id: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Token ids as one array (sentences, longest), and its mask: 1 for a token, 0 for padding."""
    longest = max(map(len, ids))
    tokens = np.full((len(ids), longest), pad_id, dtype=np.int64)
    mask = np.zeros((len(ids), longest), dtype=np.int64)
    for row, sentence in enumerate(ids):
        tokens[row, : len(sentence)] = sentence
        mask[row, : len(sentence)] = 1
    return tokens, mask
