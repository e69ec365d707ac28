"""From texts to token ids."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from stancelib.errors import ModelError
from stancelib.texts import clean, overlong


@dataclass(frozen=True, slots=True)
class Encoded:
    """One text as the model reads it."""

    ids: list[int]
    truncated: bool


class Encoder:
    """The tokenizer of a checkpoint, cutting at ``max_tokens``. Safe to share between threads."""

    def __init__(self, folder: Path, max_tokens: int) -> None:
        path = folder / "tokenizer.json"
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises bare Exception
            raise ModelError(f"{path} is damaged: {error}") from None
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)

    def __call__(self, texts: list[str]) -> list[Encoded]:
        """Token ids for each text, in order."""
        # The fast variant leaves out offsets, which nothing here needs.
        encodings = self._tokenizer.encode_batch_fast([clean(text) for text in texts])
        return [
            Encoded(encoding.ids, bool(encoding.overflowing) or overlong(text))
            for encoding, text in zip(encodings, texts, strict=True)
        ]
