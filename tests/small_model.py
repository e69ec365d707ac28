"""A small random model with our tokenizer, for both backends: quick enough for thousands of batches."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path


@functools.cache
def small_model() -> Path:
    """The folder of a small model: ``STANCELIB_SMALL_MODEL`` if that is set, else one made for this process.

    Do not write into it; `copied` gives a folder that may be damaged.
    """
    if given := os.environ.get("STANCELIB_SMALL_MODEL"):
        return Path(given)
    folder = Path(tempfile.mkdtemp(prefix="stancelib-small-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return write_small_model(folder / "small")


def copied(target: Path) -> Path:
    """A copy of the small model at ``target``."""
    shutil.copytree(small_model(), target)
    return target


def write_small_model(folder: Path) -> Path:
    """Write an untrained MPNet of three thin layers and a random holder head into ``folder``, and return it.

    The weights are drawn wide, so that the answers differ from text to text and no label has them all.
    """
    import torch
    from transformers import AutoTokenizer, MPNetConfig, MPNetForSequenceClassification, set_seed

    from stancelib import LABELS
    from stancelib.checkpoint import DEFAULT_MODEL, shipped
    from stancelib.export import half, round_weights, write_checkpoint
    from stancelib.holder_head import HolderHead

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(shipped()[DEFAULT_MODEL])
    set_seed(1)
    config = MPNetConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=258,
        initializer_range=0.3,
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
    )
    model, tagger = MPNetForSequenceClassification(config).eval(), HolderHead(32).eval()
    for part in (model, tagger):
        round_weights(part, half)
    with torch.no_grad():
        write_checkpoint(model, tokenizer, folder, half, tagger)
    return folder
