"""Sentences of like length together, none lost."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stancelib.batching import MAX_SENTENCES_IN_BATCH, MAX_TOKENS_IN_BATCH, batches, pad
from stancelib.tokens import Encoder
from training import corpus

lengths = st.lists(st.integers(1, 600), max_size=300)


@given(lengths)
def test_every_sentence_stands_in_one_batch(sizes):
    groups = batches(sizes)
    assert sorted(index for group in groups for index in group) == list(range(len(sizes)))


@given(lengths)
def test_no_batch_is_too_large(sizes):
    for group in batches(sizes):
        longest = max(sizes[index] for index in group)
        assert len(group) <= MAX_SENTENCES_IN_BATCH
        assert len(group) == 1 or longest * len(group) <= MAX_TOKENS_IN_BATCH


def test_padding_is_small_on_sentences_of_mixed_length():
    sizes = [int(n) for n in np.random.default_rng(1).gamma(4, 7, 2000) + 3]
    computed = sum(max(sizes[i] for i in group) * len(group) for group in batches(sizes))
    assert sum(sizes) / computed > 0.97


def test_pad_fills_with_the_pad_id_and_masks_it():
    tokens, mask = pad([[0, 5, 2], [0, 2]], pad_id=1)
    assert tokens.tolist() == [[0, 5, 2], [0, 2, 1]]
    assert mask.tolist() == [[1, 1, 1], [1, 1, 0]]
    assert tokens.dtype == mask.dtype == np.int64


def test_padding_is_small_on_the_sentences_of_the_corpus(clf):
    rows = [row["text"] for row in corpus.load("test")]
    sizes = [len(item.ids) for item in Encoder(clf.checkpoint.folder, clf.checkpoint.max_tokens)(rows)]
    computed = sum(max(sizes[i] for i in group) * len(group) for group in batches(sizes))
    assert sum(sizes) / computed > 0.98
