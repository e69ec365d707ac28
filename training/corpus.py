"""The labelled corpus in ``seeds/``: its schema, its checks, its split, and how text is added to it.

    python -m training.corpus check                  # validate seeds/, print the counts
    python -m training.corpus add drafts/*.jsonl     # validate, de-duplicate and file new sentences
    python -m training.corpus datasheet              # rewrite the counts in seeds/README.md

A row is one sentence::

    {"id": "s0f3a…", "text": "…", "label": "support", "holders": [{"name": "Norda", "stance": "support"}],
     "register": "news", "context": "ukraine", "phenomena": ["plain"], "group": null, "batch": "part01"}

``group`` names the contrast set or document that a sentence belongs to (``set-17``, ``doc-d03``), else null.
The split is a function of the group, or of the id where there is none, so it never parts a set or a document,
stays put when rows are added, and is the same on every machine. It is stored as three files.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import json
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from stancelib.labels import LABELS
from training.card import rewrite_section

SEEDS = Path(__file__).resolve().parent.parent / "seeds"
SPLITS = ("train", "validation", "test")
FIELDS = ("id", "text", "label", "holders", "register", "context", "phenomena", "group", "batch")
# fmt: off
REGISTERS = frozenset({
    "debate", "editorial", "encyclopedic", "headline", "interview", "letter", "news", "official", "social", "speech",
    "thinktank",
})
PHENOMENA = frozenset({
    "anti_withdrawal", "casualties_argument", "clash", "concession", "conditional", "cost_argument", "decision",
    "domestic_politics", "double_negation", "enemy_troops", "factual", "hedged", "hesitation", "historical", "idiom",
    "implicit", "irony", "legal_argument", "limited_form", "moral_argument", "negation", "numbers", "offtopic", "plain",
    "poll", "procedure", "question", "quote", "reported_speech", "rhetorical_question", "strategic_argument",
    "troop_welfare", "typo_informal", "weapons_only", "withdrawal",
})
# fmt: on
# Spellings that crept into the drafts, and the one name that the corpus keeps for each.
CONTEXTS = {
    "solomon islands": "solomons",
    "central african republic": "car",
    "south-korea": "korea",
    "newzealand": "new-zealand",
    "timor": "east-timor",
    "congo": "drc",
    "mali": "sahel",
    "niger": "sahel",
    "georgia": "caucasus",
    "armenia": "caucasus",
}
# A sentence that shares this part of its word 4-grams with an earlier one is taken for a copy of it.
NEAR_DUPLICATE = 0.5

Row = dict[str, Any]


class CorpusError(ValueError):
    """A row that breaks the schema; the message says which file and line, and what to mend."""


def normalise(text: str) -> str:
    """Text as compared for duplicates: NFC, lower case, words only."""
    return re.sub(r"\W+", " ", unicodedata.normalize("NFC", text).lower()).strip()


def new_id(text: str) -> str:
    """The id that a sentence gets when it enters the corpus; it is kept when the text is corrected later."""
    return "s" + hashlib.sha256(normalise(text).encode()).hexdigest()[:10]


def split_of(row: Row) -> str:
    """``"test"`` for 10 % of the groups, ``"validation"`` for 8 %, ``"train"`` for the rest."""
    key = row["group"] or row["id"]
    bucket = int(hashlib.sha256(f"stancelib:{key}".encode()).hexdigest()[:8], 16) % 100
    return "test" if bucket < 10 else "validation" if bucket < 18 else "train"


def check_row(row: Row, where: str) -> None:
    """Raise `CorpusError` unless ``row`` keeps the schema."""
    if tuple(row) != FIELDS:
        raise CorpusError(f"{where}: the fields are {list(row)}, they must be {list(FIELDS)}, in this order")
    text = row["text"]
    if not isinstance(text, str) or not text.strip() or text != text.strip() or "\n" in text:
        raise CorpusError(f"{where}: text must be one non-empty line without blanks around it")
    if row["label"] not in LABELS:
        raise CorpusError(f"{where}: label {row['label']!r} is none of {', '.join(LABELS)}")
    if not isinstance(row["context"], str) or not row["context"]:
        raise CorpusError(f"{where}: context must name a conflict or place, or be generic, fictional or offtopic")
    if row["register"] not in REGISTERS:
        raise CorpusError(f"{where}: register {row['register']!r} is none of {', '.join(sorted(REGISTERS))}")
    if not row["phenomena"] or set(row["phenomena"]) - PHENOMENA:
        raise CorpusError(
            f"{where}: phenomena {row['phenomena']} must be one or more of {', '.join(sorted(PHENOMENA))}"
        )
    for holder in row["holders"]:
        if set(holder) != {"name", "stance"} or holder["stance"] not in LABELS or holder["name"] not in text:
            raise CorpusError(f"{where}: holder {holder} needs a name that stands in the text and a stance")


def read_jsonl(path: Path) -> Iterator[tuple[int, Row]]:
    """Line numbers and rows of a JSON Lines file. Raises `CorpusError` at a broken line."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError as error:
                raise CorpusError(f"{path}, line {number}: not JSON ({error})") from None


def write_jsonl(path: Path, rows: Iterable[Row]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def load(split: str, seeds: Path = SEEDS) -> list[Row]:
    """The rows of one split (``"train"``, ``"validation"`` or ``"test"``), in the order of the file."""
    return [row for _, row in read_jsonl(seeds / f"{split}.jsonl")]


def load_all(seeds: Path = SEEDS) -> list[Row]:
    return [row for split in SPLITS for row in load(split, seeds)]


def corpus_hash(rows: Iterable[Row]) -> str:
    """sha256 over ids, texts and labels in the order of the ids: what a model card quotes as its data."""
    digest = hashlib.sha256()
    for row in sorted(rows, key=lambda row: row["id"]):
        digest.update(f"{row['id']}\t{row['text']}\t{row['label']}\n".encode())
    return digest.hexdigest()


def check(seeds: Path = SEEDS) -> dict[str, list[Row]]:
    """Validate every row, the ids, the duplicates and the split; return the rows by split."""
    ids: dict[str, str] = {}
    texts: dict[str, str] = {}
    found: dict[str, list[Row]] = {split: [] for split in SPLITS}
    for split in SPLITS:
        path = seeds / f"{split}.jsonl"
        for number, row in read_jsonl(path):
            where = f"{path.name}, line {number}"
            check_row(row, where)
            if split_of(row) != split:
                raise CorpusError(f"{where}: {row['id']} belongs in {split_of(row)}.jsonl")
            for seen, key in ((ids, row["id"]), (texts, normalise(row["text"]))):
                if key in seen:
                    raise CorpusError(f"{where}: repeats {seen[key]}")
                seen[key] = where
            found[split].append(row)
    return found


class NearDuplicates:
    """Finds an earlier sentence that shares at least half of the word 4-grams of a new one."""

    def __init__(self) -> None:
        self._ids_by_gram: dict[tuple[str, ...], list[str]] = collections.defaultdict(list)
        self._sizes: dict[str, int] = {}

    def find(self, text: str) -> str | None:
        """The id of the earlier sentence that is most alike, or None."""
        grams = self._grams(text)
        shared = collections.Counter(id_ for gram in grams for id_ in self._ids_by_gram.get(gram, ()))
        for id_, count in shared.most_common(3):
            if count / min(len(grams), self._sizes[id_]) >= NEAR_DUPLICATE and count >= 3:
                return id_
        return None

    def add(self, id_: str, text: str) -> None:
        grams = self._grams(text)
        self._sizes[id_] = len(grams)
        for gram in grams:
            self._ids_by_gram[gram].append(id_)

    @staticmethod
    def _grams(text: str) -> set[tuple[str, ...]]:
        words = normalise(text).split()
        return {tuple(words[i : i + 4]) for i in range(len(words) - 3)}


def add(paths: Iterable[Path], seeds: Path = SEEDS) -> collections.Counter[str]:
    """File the draft rows of ``paths`` in ``seeds/``, skipping exact and near duplicates.

    A draft has text, label, holders, register, context and phenomena, and may have ``set`` or ``doc``. All files are
    checked before one is written. Members of one contrast set may be alike; copies of anything else are left out.
    Returns how many were added, and how many left out by reason.
    """
    rows = load_all(seeds) if (seeds / "train.jsonl").exists() else []
    known = {normalise(row["text"]) for row in rows}
    near = NearDuplicates()
    groups = {row["id"]: row["group"] for row in rows}
    for row in rows:
        near.add(row["id"], row["text"])
    counts: collections.Counter[str] = collections.Counter()
    for path in paths:
        for number, draft in read_jsonl(path):
            where = f"{path}, line {number}"
            row = _from_draft(draft, path.stem, where)
            check_row(row, where)
            twin = near.find(row["text"])
            if normalise(row["text"]) in known:
                counts["exact duplicate"] += 1
            elif twin is not None and (row["group"] is None or groups[twin] != row["group"]):
                counts["near duplicate"] += 1
            else:
                known.add(normalise(row["text"]))
                near.add(row["id"], row["text"])
                groups[row["id"]] = row["group"]
                rows.append(row)
                counts["added"] += 1
    seeds.mkdir(exist_ok=True)
    for split in SPLITS:
        write_jsonl(seeds / f"{split}.jsonl", (row for row in rows if split_of(row) == split))
    return counts


def _from_draft(draft: Row, batch: str, where: str) -> Row:
    missing = [
        field for field in ("text", "label", "holders", "register", "context", "phenomena") if field not in draft
    ]
    if missing:
        raise CorpusError(f"{where}: no {', '.join(missing)}")
    # Batches number their sets and documents each for itself.
    group = next((f"{kind}-{batch}-{draft[kind]}" for kind in ("set", "doc") if kind in draft), None)
    return {
        "id": new_id(draft["text"]),
        "text": draft["text"].strip(),
        "label": draft["label"],
        "holders": draft["holders"],
        "register": draft["register"],
        "context": CONTEXTS.get(draft["context"], draft["context"]),
        "phenomena": draft["phenomena"],
        "group": group,
        "batch": batch,
    }


def counts_table(rows: list[Row], field: str, least: int = 1) -> str:
    """A Markdown table of ``field`` × label; values with fewer than ``least`` rows are added up in the last line."""
    by_value: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for row in rows:
        for value in row[field] if isinstance(row[field], list) else [row[field]]:
            by_value[value][row["label"]] += 1
    kept = {value: count for value, count in by_value.items() if count.total() >= least}
    rest = sum((c for value, c in by_value.items() if value not in kept), collections.Counter())
    ordered = sorted(kept.items(), key=lambda item: -item[1].total())
    if rest:
        ordered.append((f"{len(by_value) - len(kept)} others", rest))
    lines = [f"| {field} | " + " | ".join(LABELS) + " | all |", "|---|" + "--:|" * (len(LABELS) + 1)]
    for value, count in ordered:
        lines.append(f"| {value} | " + " | ".join(f"{count[label]:,}" for label in LABELS) + f" | {count.total():,} |")
    return "\n".join(lines)


def write_datasheet(seeds: Path = SEEDS) -> None:
    """Rewrite the part of ``seeds/README.md`` between the two ``counts`` marks."""
    by_split = check(seeds)
    rows = [{**row, "split": split} for split, part in by_split.items() for row in part]
    parts = [
        f"{len(rows):,} sentences, {sum(len(row['text'].split()) for row in rows) / len(rows):.1f} words on average; "
        f"{len({row['group'] for row in rows if (row['group'] or '').startswith('set-')})} contrast sets and "
        f"{len({row['group'] for row in rows if (row['group'] or '').startswith('doc-')})} documents; "
        f"{sum(len(row['holders']) for row in rows):,} holders. Hash of ids, texts and labels (sha256): "
        f"`{corpus_hash(rows)}`.",
        counts_table(rows, "split"),
        counts_table(rows, "register"),
        counts_table(rows, "context", least=40),
        counts_table(rows, "phenomena"),
    ]
    rewrite_section(seeds / "README.md", "counts", "\n\n".join(parts))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.corpus", description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="validate seeds/ and print the counts")
    commands.add_parser("datasheet", help="rewrite the counts in seeds/README.md")
    adding = commands.add_parser("add", help="validate and file draft sentences")
    adding.add_argument("drafts", nargs="+", type=Path)
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "add":
            for reason, count in add(arguments.drafts).items():
                print(f"{count:6,} {reason}")
        elif arguments.command == "datasheet":
            write_datasheet()
        for split, rows in check().items():
            labels = collections.Counter(row["label"] for row in rows)
            print(f"{split:<11}{len(rows):6,}  " + "  ".join(f"{label} {labels[label]:,}" for label in LABELS))
    except CorpusError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
