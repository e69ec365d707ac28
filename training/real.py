"""Labels for real sentences that other people published, kept here without the sentences.

    python -m training.real combine texts.jsonl first.tsv second.tsv …      # annotators' sheets -> real_labels.jsonl
    python -m training.real publish real_dev.jsonl                          # a labelled file -> hashes and labels
    python -m training.real rebuild benchmarks/real_dev_labels.jsonl COPIES… --output real_dev.jsonl

Two files hold a row a sentence, by the hash of its text: ``training/real_labels.jsonl``, which is trained on (label,
holders as offsets; a fifth is set aside by the hash, for calibration and for choosing), and
``benchmarks/real_dev_labels.jsonl``, which is only measured on (label, public source). Whoever has copies of the data
sets that the sentences come from joins them again with `load`, or with ``rebuild``.
"""

from __future__ import annotations

import argparse
import collections
import gzip
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from stancelib.holders import mentions
from stancelib.labels import Label
from stancelib.sentences import split
from training import corpus

TRAINING_LABELS = Path(__file__).with_name("real_labels.jsonl")
BENCHMARK_LABELS = Path(__file__).parent.parent / "benchmarks" / "real_dev_labels.jsonl"
SOURCES = {
    "elecdeb": "ElecDeb60To20: US presidential debates 1960-2020 (Goffredo et al. 2023)",
    "liar": "LIAR: statements checked by PolitiFact (Wang 2017)",
    "fnc1": "FNC-1: news bodies of 2014-15 of the Fake News Challenge (2017)",
}
_LETTERS: dict[str, Label] = {"s": "support", "o": "oppose", "n": "neutral"}


def text_hash(text: str) -> str:
    """sha256 of the text, lower case and words only, in hex."""
    return hashlib.sha256(corpus.normalise(text).encode()).hexdigest()


def read_texts(path: Path) -> list[str]:
    """Texts of a JSON Lines file, gzipped or not, each once."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:
        return list(dict.fromkeys(json.loads(line)["text"] for line in lines))


def load(texts: Path, labels: Path = TRAINING_LABELS) -> dict[str, list[dict[str, Any]]]:
    """Rows (text, label, holders) of the labelled sentences that ``texts`` has, as train and validation."""
    by_hash = {row["sha256"]: row for _, row in corpus.read_jsonl(labels)}
    found: dict[str, list[dict[str, Any]]] = {"train": [], "validation": []}
    for text in read_texts(texts):
        row = by_hash.pop(text_hash(text), None)
        if row is not None:
            holders = [{"name": text[h["start"] : h["end"]], "stance": h["stance"]} for h in row["holders"]]
            found[split_of(row["sha256"])].append({"text": text, "label": row["label"], "holders": holders})
    return found


def split_of(sha256: str) -> str:
    """``"validation"`` for a fifth of the hashes, ``"train"`` for the rest."""
    return "validation" if int(sha256[:8], 16) % 5 == 0 else "train"


def read_sheet(path: Path) -> dict[int, tuple[Label, list[dict[str, str]]]]:
    """An annotator's answers by number: lines of ``n<TAB>s|o|n, perhaps with ?<TAB>name=s | name=o``."""
    answers = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        number, letter, *rest = line.split("\t")
        holders = []
        for pair in filter(str.strip, rest[0].split(" | ") if rest else []):
            name, _, stance = pair.strip().rpartition("=")
            holders.append({"name": name.strip(), "stance": _LETTERS[stance.strip()]})
        answers[int(number)] = (_LETTERS[letter[0]], holders)
    return answers


def combine(texts: dict[int, str], sheets: list[dict[int, tuple[Label, list[dict[str, str]]]]]) -> list[dict[str, Any]]:
    """Rows of ``real_labels.jsonl``: the label that at least two annotators gave, left out where none has two.

    Holders are those of the first annotator who gave that label; a name that does not stand in the text is dropped.
    """
    rows = []
    for number, text in texts.items():
        answers = [sheet[number] for sheet in sheets if number in sheet]
        label, votes = next(iter(collections.Counter(answer[0] for answer in answers).most_common(1)), (None, 0))
        if votes < 2:
            continue
        given = next(holders for chosen, holders in answers if chosen == label)
        holders = [
            {"start": start, "end": end, "stance": holder["stance"]}
            for holder in given
            for start, end in mentions(text, holder["name"], any_case=False)[:1]
        ]
        rows.append({"sha256": text_hash(text), "label": label, "holders": holders})
    return rows


def published(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of ``real_dev_labels.jsonl`` for labelled rows with a ``source``, without their texts."""
    return [
        {"sha256": text_hash(row["text"]), "label": row["label"], "source": row["source"]}
        for row in sorted(rows, key=lambda row: text_hash(row["text"]))
    ]


def rebuild(labels: list[dict[str, Any]], copies: Iterable[Path]) -> list[dict[str, Any]]:
    """The labelled sentences that the files hold (text, label, source), whatever the files' format.

    Looked for are whole lines, the cells and strings in them, the sentences in these, and two sentences in a row.
    """
    wanted = {row["sha256"]: row for row in labels}
    found: dict[str, dict[str, Any]] = {}
    for path in copies:
        raw = path.read_bytes()
        content = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8", "replace")
        for text in _pieces(content):
            digest = text_hash(text)
            if digest in wanted and digest not in found:
                row = wanted[digest]
                found[digest] = {"text": text.strip(), "label": row["label"], "source": row["source"]}
    return [found[digest] for digest in wanted if digest in found]


def _pieces(content: str) -> Iterator[str]:
    for line in (*content.split("\n"), *content.split("\n\n")):
        cells = [line]
        try:
            cells += _strings(json.loads(line))
        except (ValueError, RecursionError):
            for mark in ("\t", '"', '","', '", "'):
                cells += [cell.replace('""', '"') for cell in line.split(mark)]
        for cell in dict.fromkeys(cells):
            yield cell
            spans = split(cell)
            for index, (start, end) in enumerate(spans):
                yield cell[start:end]
                if index:
                    yield cell[spans[index - 1][0] : end]


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.real", description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    combining = commands.add_parser("combine", help="annotators' sheets -> labels by hash, added to the file")
    combining.add_argument("texts", type=Path, help="JSON Lines of n and text")
    combining.add_argument("sheets", nargs="+", type=Path)
    combining.add_argument("--output", type=Path, default=TRAINING_LABELS)
    publishing = commands.add_parser("publish", help="labelled sentences -> labels by hash")
    publishing.add_argument("labelled", type=Path, help="JSON Lines of text, label and source")
    publishing.add_argument("--output", type=Path, default=BENCHMARK_LABELS)
    rebuilding = commands.add_parser("rebuild", help="labels by hash and your copies -> labelled sentences")
    rebuilding.add_argument("labels", type=Path)
    rebuilding.add_argument("copies", nargs="+", type=Path)
    rebuilding.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args(argv)
    if arguments.command == "combine":
        texts = {row["n"]: row["text"] for _, row in corpus.read_jsonl(arguments.texts)}
        rows = combine(texts, [read_sheet(path) for path in arguments.sheets])
        before = [row for _, row in corpus.read_jsonl(arguments.output)] if arguments.output.exists() else []
        merged = {row["sha256"]: row for row in before + rows}
        corpus.write_jsonl(arguments.output, (merged[digest] for digest in sorted(merged)))
        print(f"{len(rows):,} of {len(texts):,} sentences have a label; {len(merged):,} in {arguments.output}")
    elif arguments.command == "publish":
        rows = published(row for _, row in corpus.read_jsonl(arguments.labelled))
        corpus.write_jsonl(arguments.output, rows)
        print(f"{len(rows):,} labels in {arguments.output}")
    else:
        labels = [row for _, row in corpus.read_jsonl(arguments.labels)]
        rows = rebuild(labels, arguments.copies)
        corpus.write_jsonl(arguments.output, rows)
        counts = collections.Counter(row["source"] for row in rows)
        for source, count in collections.Counter(row["source"] for row in labels).items():
            print(f"{counts[source]:4} of {count:4} sentences of {SOURCES.get(source, source)}")
        print(f"score a model on them: python -m training.evaluate models/base --real {arguments.output}")
        if not rows:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
