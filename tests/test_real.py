"""Labels for other people's sentences: from annotators' sheets to hashes, and back to sentences for who has copies."""

import csv
import gzip
import json
from pathlib import Path

import pytest

from training import real
from training.corpus import read_jsonl, write_jsonl

# Invented.
TEXTS = {
    1: "We should send ten battalions to Sarn, said Senator Quill.",
    2: "The Tarn League wants them home; the mayor of Orun does not.",
    3: "I would bring every soldier back.",
    4: "It rained on the parade.",
    5: "The move, he said, was overdue.",
    6: "Nobody can tell what he wants.",
    7: "Norda's troops stay, and Quill is for it.",
    8: "Sarn’s mayor is undecided about the “force”.",
}
SHEETS = [
    "1\ts\tSenator Quill=s\n2\to\tThe Tarn League=o | the mayor of Orun=s\n3\to\t=o\n4\tn\n"
    "5\ts?\the=s\n6\ts\n7\ts\tQuill=s\n8\tn\tSarn’s mayor=n",
    "1\ts\n2\to?\tThe Tarn League=o\n3\to\tI=o\n4\tn\t\n5\to\the=o\n6\to\n7\ts\tNorda=s | Nobody Here=o\n8\tn",
    "5\to\the=o\n6\tn",
]


def rows_of(path: Path) -> list[dict]:
    return [row for _, row in read_jsonl(path)]


@pytest.fixture
def sheets(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{name}.tsv" for name in ("first", "second", "third")]
    for path, content in zip(paths, SHEETS, strict=True):
        path.write_text(content, encoding="utf-8")
    return paths


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.jsonl"
    write_jsonl(path, ({"n": number, "text": text} for number, text in TEXTS.items()))
    return path


def test_a_sheet(sheets: list[Path]):
    answers = real.read_sheet(sheets[0])
    assert answers[2] == (
        "oppose",
        [{"name": "The Tarn League", "stance": "oppose"}, {"name": "the mayor of Orun", "stance": "support"}],
    )
    assert answers[3] == ("oppose", [{"name": "", "stance": "oppose"}])
    assert answers[4] == ("neutral", [])
    assert answers[5][0] == "support"  # for all its question mark
    assert list(answers) == list(TEXTS)


class TestCombine:
    def test_labels_that_two_gave(self, sheets: list[Path]):
        rows = real.combine(TEXTS, [real.read_sheet(sheet) for sheet in sheets])
        by_hash = {row["sha256"]: row for row in rows}
        labels = {number: by_hash.get(real.text_hash(text), {}).get("label") for number, text in TEXTS.items()}
        assert labels == {
            1: "support",
            2: "oppose",
            3: "oppose",
            4: "neutral",
            5: "oppose",
            6: None,  # three answers, all different
            7: "support",
            8: "neutral",
        }
        assert all(set(row) == {"sha256", "label", "holders"} for row in rows)

    def test_holders_are_those_of_the_first_who_gave_the_label(self, sheets: list[Path]):
        answers = [real.read_sheet(sheet) for sheet in sheets]

        def holders(number: int) -> list[tuple[str, str]]:
            (row,) = real.combine({number: TEXTS[number]}, answers)
            return [(TEXTS[number][h["start"] : h["end"]], h["stance"]) for h in row["holders"]]

        assert holders(2) == [("The Tarn League", "oppose"), ("the mayor of Orun", "support")]
        assert holders(3) == [("", "oppose")]
        assert holders(5) == [("he", "oppose")]
        assert holders(7) == [("Quill", "support")]

    def test_holders_are_whole_words_of_the_text(self):
        text = TEXTS[5]
        sheet = {5: ("oppose", [{"name": "he", "stance": "oppose"}, {"name": "she", "stance": "oppose"}])}
        (row,) = real.combine({5: text}, [sheet, sheet])
        assert row["holders"] == [{"start": 10, "end": 12, "stance": "oppose"}]
        assert text[:3] == "The"  # has "he" in it

    def test_texts_without_answers(self):
        assert real.combine({9: "Nobody has read this."}, [{1: ("support", [])}]) == []
        assert real.combine({1: "One has read this."}, [{1: ("support", [])}]) == []


def test_hashes_pass_over_case_punctuation_and_blanks():
    assert real.text_hash("“Send   them,” he SAID!") == real.text_hash("Send them he said")
    assert real.text_hash("Send them") != real.text_hash("Send him")


def test_a_fifth_is_set_aside():
    parts = [real.split_of(real.text_hash(f"sentence {number}")) for number in range(1000)]
    assert set(parts) == {"train", "validation"}
    assert 150 < parts.count("validation") < 250


def test_combined_and_loaded_again(tmp_path: Path, texts: Path, sheets: list[Path]):
    labels = tmp_path / "labels.jsonl"
    assert real.main(["combine", str(texts), *map(str, sheets), "--output", str(labels)]) == 0
    rows = rows_of(labels)
    assert [row["sha256"] for row in rows] == sorted(real.text_hash(text) for n, text in TEXTS.items() if n != 6)
    assert not any(text in labels.read_text() for text in TEXTS.values())
    with gzip.open(tmp_path / "copy.jsonl.gz", "wt", encoding="utf-8") as file:
        for text in ["Other words.", *reversed(TEXTS.values()), TEXTS[1]]:
            file.write(json.dumps({"text": text}) + "\n")
    for copy in (texts, tmp_path / "copy.jsonl.gz"):
        loaded = real.load(copy, labels)
        assert set(loaded) == {"train", "validation"}
        assert all(real.split_of(real.text_hash(row["text"])) == part for part, rows in loaded.items() for row in rows)
        found = {row["text"]: row for rows in loaded.values() for row in rows}
        assert sum(map(len, loaded.values())) == len(found) == 7
        assert found[TEXTS[2]] == {
            "text": TEXTS[2],
            "label": "oppose",
            "holders": [
                {"name": "The Tarn League", "stance": "oppose"},
                {"name": "the mayor of Orun", "stance": "support"},
            ],
        }


def test_combining_adds_to_what_is_there(tmp_path: Path, texts: Path, sheets: list[Path]):
    labels = tmp_path / "labels.jsonl"
    old = {"sha256": "0" * 64, "label": "support", "holders": []}
    changed = {"sha256": real.text_hash(TEXTS[4]), "label": "support", "holders": []}
    write_jsonl(labels, [old, changed])
    real.main(["combine", str(texts), *map(str, sheets), "--output", str(labels)])
    rows = {row["sha256"]: row for row in rows_of(labels)}
    assert len(rows) == 8
    assert rows["0" * 64] == old
    assert rows[changed["sha256"]]["label"] == "neutral"


LABELLED = [
    {"text": TEXTS[1], "label": "support", "source": "elecdeb"},
    {"text": TEXTS[2], "label": "oppose", "source": "liar"},
    {"text": f"{TEXTS[3]} {TEXTS[4]}", "label": "oppose", "source": "fnc1"},
    {"text": 'He said "never" to it.', "label": "oppose", "source": "fnc1"},
]


class TestRebuild:
    @pytest.fixture
    def labels(self, tmp_path: Path) -> Path:
        write_jsonl(tmp_path / "labelled.jsonl", LABELLED)
        path = tmp_path / "labels.jsonl"
        real.main(["publish", str(tmp_path / "labelled.jsonl"), "--output", str(path)])
        return path

    def test_no_text_is_published(self, labels: Path):
        rows = rows_of(labels)
        assert [row["sha256"] for row in rows] == sorted(real.text_hash(row["text"]) for row in LABELLED)
        assert all(set(row) == {"sha256", "label", "source"} for row in rows)
        assert "Quill" not in labels.read_text()

    @pytest.mark.parametrize("kind", ["lines", "paragraph", "csv", "tsv", "json", "jsonl", "gz"])
    def test_from_copies_in_any_format(
        self, tmp_path: Path, labels: Path, kind: str, capsys: pytest.CaptureFixture[str]
    ):
        wanted = [row["text"] for row in LABELLED]
        copy = tmp_path / f"copy.{kind}"
        if kind == "lines":
            copy.write_text("\n".join(["Other words.", *wanted]), encoding="utf-8")
        elif kind == "paragraph":
            copy.write_text(" ".join(["Other words.", *wanted, "The end."]), encoding="utf-8")
        elif kind in ("csv", "tsv"):
            with copy.open("w", newline="", encoding="utf-8") as file:
                delimiter = "," if kind == "csv" else "\t"
                csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([["7", text] for text in wanted])
        elif kind == "gz":
            copy.write_bytes(gzip.compress("\n".join(wanted).encode()))
        else:
            rows = [{"id": 7, "parts": [{"body": text}]} for text in wanted]
            copy.write_text("\n".join(map(json.dumps, rows)) if kind == "jsonl" else json.dumps(rows), encoding="utf-8")
        output = tmp_path / "rebuilt.jsonl"
        assert real.main(["rebuild", str(labels), str(copy), "--output", str(output)]) == 0
        found = {real.text_hash(row["text"]): row for row in rows_of(output)}
        assert {digest: (row["label"], row["source"]) for digest, row in found.items()} == {
            real.text_hash(row["text"]): (row["label"], row["source"]) for row in LABELLED
        }
        assert "   2 of    2 sentences of FNC-1" in capsys.readouterr().out

    def test_what_the_copies_lack_is_left_out_and_counted(
        self, tmp_path: Path, labels: Path, capsys: pytest.CaptureFixture[str]
    ):
        copies = [tmp_path / "a.txt", tmp_path / "b.txt"]
        copies[0].write_text(TEXTS[1], encoding="utf-8")
        copies[1].write_bytes(b"\xff\xfe no text\n" + TEXTS[1].encode())
        output = tmp_path / "rebuilt.jsonl"
        assert real.main(["rebuild", str(labels), *map(str, copies), "--output", str(output)]) == 0
        assert rows_of(output) == [LABELLED[0]]
        assert "   0 of    1 sentences of LIAR" in capsys.readouterr().out
        copies[0].write_text("Other words.", encoding="utf-8")
        assert real.main(["rebuild", str(labels), str(copies[0]), "--output", str(output)]) == 1


def test_the_files_in_the_repository_hold_hashes_and_no_sentences():
    for path, fields in (
        (real.TRAINING_LABELS, {"sha256", "label", "holders"}),
        (real.BENCHMARK_LABELS, {"sha256", "label", "source"}),
    ):
        rows = rows_of(path)
        assert len({row["sha256"] for row in rows}) == len(rows) > 100
        assert all(set(row) == fields and len(row["sha256"]) == 64 for row in rows)
        assert {row["label"] for row in rows} == {"support", "oppose", "neutral"}
    trained = {row["sha256"] for row in rows_of(real.TRAINING_LABELS)}
    assert not trained & {
        row["sha256"] for row in rows_of(real.BENCHMARK_LABELS)
    }  # what is measured on is not trained on
