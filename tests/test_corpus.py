"""The corpus keeps its schema and its split."""

import hashlib
import json
from pathlib import Path

import pytest

from training import corpus
from training.corpus import FIELDS, SPLITS, CorpusError, NearDuplicates, add, check, load, load_all, split_of

DRAFT = {
    "text": "Norda will send two hundred trainers to Velia, its defence minister said.",
    "label": "support",
    "holders": [{"name": "Norda", "stance": "support"}],
    "register": "news",
    "context": "fictional",
    "phenomena": ["decision"],
}


def drafts(path: Path, *rows: dict) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_corpus_is_valid():
    by_split = check()
    assert {split: len(rows) > 500 for split, rows in by_split.items()} == dict.fromkeys(SPLITS, True)


def test_no_group_is_parted():
    places: dict[str, set[str]] = {}
    for split in SPLITS:
        for row in load(split):
            if row["group"]:
                places.setdefault(row["group"], set()).add(split)
    assert len(places) > 300
    assert all(len(splits) == 1 for splits in places.values())


def test_contrast_sets_contrast():
    sets: dict[str, set[str]] = {}
    for row in load_all():
        if (row["group"] or "").startswith("set-"):
            sets.setdefault(row["group"], set()).add(row["label"])
    assert len(sets) >= 310
    assert all(len(labels) >= 2 for labels in sets.values())


def test_the_split_is_the_one_that_was_fixed():
    # Adding rows may lengthen the files, but no row of the first corpus may move.
    batches = {f"part{number:02d}" for number in range(1, 24)}
    first = sorted(row["id"] for row in load("test") if row["batch"] in batches)
    assert len(first) == 1075
    assert hashlib.sha256("".join(first).encode()).hexdigest()[:16] == "0a0f0d69add66cd6"


def test_no_context_gives_the_label_away():
    labels: dict[str, set[str]] = {}
    counts: dict[str, int] = {}
    for row in load_all():
        if row["context"] != "offtopic":
            labels.setdefault(row["context"], set()).add(row["label"])
            counts[row["context"]] = counts.get(row["context"], 0) + 1
    assert all(len(labels[context]) == 3 for context, count in counts.items() if count >= 40)


def test_the_datasheet_counts_what_there_is():
    sheet = (corpus.SEEDS / "README.md").read_text()
    rows = load_all()
    assert f"{len(rows):,} sentences" in sheet
    assert corpus.corpus_hash(rows) in sheet


def test_drafts_are_filed_once(tmp_path: Path):
    copy = {**DRAFT, "text": DRAFT["text"].replace(", its", " – its")}
    alike = {**DRAFT, "text": "Norda will send two hundred trainers to Velia, its foreign minister told reporters."}
    counts = add([drafts(tmp_path / "part99.jsonl", DRAFT, copy, alike)], tmp_path)
    assert counts == {"added": 1, "exact duplicate": 1, "near duplicate": 1}
    (row,) = load_all(tmp_path)
    assert tuple(row) == FIELDS
    assert row["batch"] == "part99"
    assert add([tmp_path / "part99.jsonl"], tmp_path)["added"] == 0
    assert load_all(tmp_path) == [row]


def test_members_of_a_contrast_set_may_be_alike_and_stay_together(tmp_path: Path):
    other = {**DRAFT, "text": DRAFT["text"].replace("will", "will not"), "label": "oppose"}
    counts = add([drafts(tmp_path / "p.jsonl", {**DRAFT, "set": 1}, {**other, "set": 1})], tmp_path)
    assert counts == {"added": 2}
    assert len({split_of(row) for row in load_all(tmp_path)}) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"label": "maybe"}, "label 'maybe'"),
        ({"register": "poem"}, "register 'poem'"),
        ({"phenomena": ["sad"]}, "phenomena"),
        ({"holders": [{"name": "Sudland", "stance": "oppose"}]}, "stands in the text"),
        ({"text": " "}, "non-empty"),
        ({"context": ""}, "context"),
    ],
)
def test_a_bad_draft_is_refused_with_its_place_and_nothing_is_written(tmp_path: Path, change: dict, said: str):
    path = drafts(tmp_path / "p.jsonl", DRAFT, {**DRAFT, "text": "Another one.", "holders": [], **change})
    with pytest.raises(CorpusError, match=rf"p.jsonl, line 2: .*{said}"):
        add([path], tmp_path)
    assert not (tmp_path / "train.jsonl").exists()


def test_near_duplicates():
    near = NearDuplicates()
    near.add("a", "The minister said on Monday that two battalions would leave for Mali before Easter.")
    assert near.find("The minister said on Tuesday that two battalions would leave for Mali before Easter.") == "a"
    assert near.find("Two battalions were in Mali before Easter, and the minister said nothing.") is None
    assert near.find("No.") is None
