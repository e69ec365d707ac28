"""The same text, and nearly the same text: what makes two rows duplicates."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stancelib.errors import MissingExtraError


class _Separators(dict[int, str]):
    """For `str.translate`: punctuation, symbols, spaces and what is not to be seen become spaces."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        self[code] = " " if unicodedata.category(character)[0] in "PSZC" else character
        return self[code]


_SEPARATORS = _Separators()
_LINK = re.compile(r"https?://\S+|www\.\S+")


def normalised(text: str) -> str:
    """``text`` without case, punctuation, symbols, links and surplus space; two texts with the same are duplicates.

    A text that has nothing else keeps its punctuation.

    >>> normalised("“Norda” rules OUT\\n soldiers! https://t.co/x1") == normalised("norda rules out soldiers")
    True
    """
    folded = (text if text.isascii() else unicodedata.normalize("NFKC", text)).casefold()
    words = _LINK.sub(" ", folded).translate(_SEPARATORS).split()
    return " ".join(words or folded.split())


# Characters in a shingle: short enough that a changed word leaves most of a sentence, long enough to be rare.
_SHINGLE = 4
# A shingle or a text is compared with so many at most, which keeps time linear in families of similar texts.
_MOST_TEXTS, _MOST_CANDIDATES = 100, 64
_MOST_SHINGLES = 20_000_000
_CHUNK = 2_000_000  # characters or pairs held at a time


def near_duplicates(
    texts: Sequence[str], among: Sequence[str] | None = None, threshold: float = 0.9
) -> list[tuple[int, int, float]]:
    """For each text, the one that is most like it, if it is like enough.

    Similarity is the Jaccard index of the sets of four-character shingles (Broder 1997) of the `normalised` texts.
    Pairs are found by prefix filtering (Chaudhuri et al. 2006; Bayardo et al. 2007): two sets that are like enough
    share one of the few rarest shingles of each. That misses nothing, except that in large families of similar texts
    each is compared with 64 others; of more than 20 million shingles, a random share is used.

    Args:
        texts: what to look up.
        among: where; by default each of ``texts`` among those before it.
        threshold: from which similarity on, above 0 and at most 1.

    Returns:
        Index in ``texts``, index in ``among``, similarity; ordered by the first.

    Raises:
        MissingExtraError: scipy is not installed.
    """
    sets = shingles([normalised(text) for text in [*texts, *(among or ())]])
    own = np.arange(len(texts))
    return nearest(sets, own, None if among is None else np.arange(len(texts), sets.shape[0]), threshold)


def nearest(
    sets: Any, rows: NDArray[np.int64], among: NDArray[np.int64] | None, threshold: float
) -> list[tuple[int, int, float]]:
    """As `near_duplicates`, of these rows of ``sets``; the indices are into ``rows`` and ``among``."""
    mine = sets[rows]
    others = mine if among is None else sets[among]
    prefixes = _first_in_row(mine, _prefix_lengths(mine, threshold))
    postings = _first_in_row(others, _prefix_lengths(others, threshold)).T.tocsr()
    postings = _first_in_row(postings, np.full(postings.shape[0], _MOST_TEXTS))
    sizes, other_sizes = np.diff(mine.indptr), np.diff(others.indptr)
    step = max(1, _CHUNK // (_MOST_TEXTS * int(np.diff(prefixes.indptr).max(initial=1))))
    best: list[tuple[int, int, float]] = []
    for start in range(0, len(rows), step):
        shared = (prefixes[start : start + step] @ postings).tocoo()
        left, right, counts = shared.row.astype(np.int64) + start, shared.col.astype(np.int64), shared.data
        a, b = sizes[left], other_sizes[right]
        fits = np.minimum(a, b) >= threshold * np.maximum(a, b) - 1e-9
        if among is None:
            fits &= right < left
        best.extend(_best(mine, others, *_most_shared(left[fits], right[fits], counts[fits]), threshold))
    return best


def _prefix_lengths(sets: Any, threshold: float) -> NDArray[np.int64]:
    """How many of its rarest shingles a set has in which another that is like enough must have one, too."""
    sizes = np.diff(sets.indptr).astype(np.int64)
    return np.where(sizes > 0, sizes - np.ceil(threshold * sizes - 1e-9).astype(np.int64) + 1, 0)


def _first_in_row(matrix: Any, numbers: NDArray[np.int64]) -> Any:
    """A CSR matrix without what comes after the first so many entries of each row."""
    from scipy import sparse

    sizes = np.diff(matrix.indptr)
    kept = np.arange(matrix.nnz) - np.repeat(matrix.indptr[:-1], sizes) < np.repeat(numbers, sizes)
    pointers = np.concatenate([[0], np.cumsum(np.minimum(sizes, numbers))])
    return sparse.csr_matrix((matrix.data[kept], matrix.indices[kept], pointers), shape=matrix.shape)


def shingles(keys: Sequence[str]) -> Any:
    """A sparse 0/1 matrix, normalised texts x shingles; the columns go from the rarest shingle to the commonest.

    Raises:
        MissingExtraError: scipy is not installed.
    """
    try:
        from scipy import sparse
    except ImportError:
        raise MissingExtraError("looking for near-duplicates", "scipy", "eval") from None
    if not keys:
        return sparse.csr_matrix((0, 0), dtype=np.int32)
    padded = [f" {key} ".ljust(_SHINGLE) for key in keys]
    sample = np.uint64(1 + sum(map(len, padded)) // _MOST_SHINGLES)
    rows, hashes = [], []
    for start, chunk in _chunks(padded):
        codes = np.frombuffer("".join(chunk).encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint64)
        lengths = np.fromiter(map(len, chunk), np.int64, len(chunk))
        # A polynomial hash, modulo 2**64, of each window; those that reach into the next text are dropped.
        hashed = np.zeros(len(codes) - _SHINGLE + 1, np.uint64)
        for offset in range(_SHINGLE):
            hashed = hashed * np.uint64(0x9E3779B97F4A7C15) + codes[offset : offset + len(hashed)]
        starts = np.cumsum(lengths) - lengths
        inside = np.arange(len(hashed)) - np.repeat(starts, lengths)[: len(hashed)]
        whole = inside <= np.repeat(lengths, lengths)[: len(hashed)] - _SHINGLE
        if sample > 1:
            whole &= (hashed * np.uint64(0xBF58476D1CE4E5B9) >> np.uint64(32)) % sample == 0
        rows.append(np.repeat(np.arange(start, start + len(chunk)), lengths)[: len(hashed)][whole])
        hashes.append(hashed[whole])
    _, column = np.unique(np.concatenate(hashes), return_inverse=True)
    row = np.concatenate(rows)
    matrix = sparse.csr_matrix(
        (np.ones(len(row), np.int32), (row, column)), shape=(len(keys), int(column.max(initial=-1)) + 1)
    )
    matrix.sum_duplicates()
    matrix.data[:] = 1
    frequency = np.bincount(matrix.indices, minlength=matrix.shape[1])
    rank = np.empty(matrix.shape[1], np.int32)
    rank[np.argsort(frequency, kind="stable")] = np.arange(matrix.shape[1])
    matrix.indices = rank[matrix.indices]
    matrix.has_sorted_indices = False
    matrix.sort_indices()
    return matrix


def _chunks(texts: list[str]) -> Iterator[tuple[int, list[str]]]:
    start, characters = 0, 0
    for end, text in enumerate(texts):
        if characters and characters + len(text) > _CHUNK:
            yield start, texts[start:end]
            start, characters = end, 0
        characters += len(text)
    yield start, texts[start:]


def _most_shared(
    rows: NDArray[np.int64], others: NDArray[np.int64], counts: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each row, the `_MOST_CANDIDATES` others that share most."""
    order = np.lexsort((others, -counts, rows))
    rows, others = rows[order], others[order]
    kept = np.arange(len(rows)) - np.searchsorted(rows, rows) < _MOST_CANDIDATES
    return rows[kept], others[kept]


def _best(
    mine: Any, others: Any, left: NDArray[np.int64], right: NDArray[np.int64], threshold: float
) -> list[tuple[int, int, float]]:
    """Of each row of ``mine``, the one of ``others`` that is most like it, if it is like enough."""
    if not len(left):
        return []
    sizes, other_sizes = np.diff(mine.indptr)[left], np.diff(others.indptr)[right]
    step = max(1, _CHUNK // max(1, int(sizes.max())))
    common = np.concatenate(
        [
            np.asarray(mine[left[i : i + step]].multiply(others[right[i : i + step]]).sum(axis=1)).ravel()
            for i in range(0, len(left), step)
        ]
    )
    similarity = common / (sizes + other_sizes - common)
    order = np.lexsort((right, -similarity, left))
    firsts = order[np.unique(left[order], return_index=True)[1]]
    return [(int(left[i]), int(right[i]), float(similarity[i])) for i in firsts if similarity[i] >= threshold - 1e-9]
