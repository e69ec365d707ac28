"""The gold documents in ``seeds/documents/``: who holds what in whole texts, written and annotated for this project.

    python -m training.documents          # validate them all, print the counts

A file is one document::

    {"id": "d01-…", "title": "…", "kind": "wire", "text": "…", "author_stance": null,
     "sentences": [{"text": "…", "label": "support",
                    "holders": [{"name": "Oudkerk", "stance": "support", "refers_to": "Marleen Oudkerk"}]}, …],
     "holders": [{"name": "Marleen Oudkerk", "aliases": ["Defence Minister Marleen Oudkerk", "Oudkerk"],
                  "stance": "support", "country": "Netherlands", "title": "Defence Minister"}, …]}

``refers_to`` names a holder of the document, or is ``""`` for its author. Documents of odd number are for development,
those of even number for testing.
"""

from __future__ import annotations

import collections
import json
import sys
from pathlib import Path
from typing import Any

from stancelib.labels import LABELS
from training.corpus import SEEDS, CorpusError

DOCUMENTS = SEEDS / "documents"
SPLITS = ("development", "test")


def split_of(document: dict[str, Any]) -> str:
    """``"development"`` for documents of odd number, ``"test"`` for the others."""
    return SPLITS[0] if int(document["id"][1:3]) % 2 else SPLITS[1]


def load(split: str | None = None, folder: Path = DOCUMENTS) -> list[dict[str, Any]]:
    """The documents of one split, or all, in the order of their ids."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("d*.json"))]
    return [document for document in found if split in (None, split_of(document))]


def spans(document: dict[str, Any]) -> list[tuple[int, int]]:
    """Start and end of each gold sentence in the text."""
    found, position = [], 0
    for sentence in document["sentences"]:
        start = document["text"].find(sentence["text"], position)
        if start < 0:
            raise CorpusError(f"{document['id']}: not in the text, or out of order: {sentence['text']!r}")
        position = start + len(sentence["text"])
        found.append((start, position))
    return found


def check(document: dict[str, Any]) -> None:
    """Raise `CorpusError` unless sentences, holders and aliases fit the text and each other."""
    where, text = document["id"], document["text"]
    left = text
    for start, end in reversed(spans(document)):
        left = left[:start] + left[end:]
    if left.strip():
        raise CorpusError(f"{where}: no sentence covers {left.strip()[:60]!r}")
    names = {holder["name"] for holder in document["holders"]}
    if len(names) != len(document["holders"]):
        raise CorpusError(f"{where}: two holders of one name")
    for holder in document["holders"]:
        if holder["stance"] not in (*LABELS, "mixed"):
            raise CorpusError(f"{where}: stance {holder['stance']!r} of {holder['name']!r}")
        lost = [alias for alias in holder["aliases"] if alias not in text]
        if lost:
            raise CorpusError(f"{where}: not in the text: {lost}")
    for sentence in document["sentences"]:
        for holder in sentence["holders"]:
            if holder["name"] not in sentence["text"] or holder["stance"] not in LABELS:
                raise CorpusError(f"{where}: {holder} does not fit {sentence['text']!r}")
            if holder["refers_to"] not in names | {""}:
                raise CorpusError(f"{where}: {holder['refers_to']!r} is no holder of the document")
        if sentence["label"] not in LABELS:
            raise CorpusError(f"{where}: label {sentence['label']!r}")


def main() -> int:
    try:
        for split in SPLITS:
            found = load(split)
            for document in found:
                check(document)
            stances = collections.Counter(holder["stance"] for document in found for holder in document["holders"])
            print(
                f"{split:<12}{len(found):3} documents, {sum(len(d['sentences']) for d in found):4} sentences, "
                f"{stances.total():3} holders: " + ", ".join(f"{n} {stance}" for stance, n in stances.most_common())
            )
    except CorpusError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
