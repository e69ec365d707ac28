"""From texts to token ids."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from stancelib.errors import ModelError
from stancelib.texts import clean, overlong

_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


@dataclass(frozen=True, slots=True)
class Encoded:
    """One text as the model reads it."""

    ids: list[int]
    truncated: bool
    offsets: list[tuple[int, int]]  # of each token in the text, in characters


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
        encodings = self._tokenizer.encode_batch([clean(text) for text in texts])
        return [
            Encoded(
                encoding.ids,
                bool(encoding.overflowing) or overlong(text),
                _in_original(encoding.offsets, text),
            )
            for encoding, text in zip(encodings, texts, strict=True)
        ]


def _in_original(offsets: list[tuple[int, int]], text: str) -> list[tuple[int, int]]:
    """Offsets into ``clean(text)`` as offsets into ``text``: `clean` drops leading blanks and joins surrogate pairs."""
    skipped = len(text) - len(text.lstrip())
    if text.isascii() or not _PAIR.search(text):
        return [(start + skipped, end + skipped) for start, end in offsets] if skipped else offsets
    places = [match.start() + skipped for match in re.finditer(f"{_PAIR.pattern}|.", text[skipped:], re.DOTALL)]
    places.append(len(text))
    return [(places[start], places[end]) for start, end in offsets]
