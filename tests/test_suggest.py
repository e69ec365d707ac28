"""What to code next: unsure, unlike each other, nothing twice; and sheets that come back as they were filled in."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import openpyxl
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from stancelib import FileError, InputError, MissingExtraError
from stancelib.commands.suggest import suggest as command
from stancelib.duplicates import near_duplicates
from stancelib.suggestion import read_sheet, suggest

PLACES = ["Norda", "Sudria", "Westmark", "Ostania", "Meridia", "Valdor", "Carpathia", "Lower Lund"]
TOPICS = {
    "troops": "{} will send {} battalions across the river before the winter",
    "trade": "the ministers of {} signed {} contracts for grain and timber",
    "sport": "fans from {} watched {} goals in a wild second half",
    "weather": "forecasters in {} expect {} days of freezing rain",
}


def texts_of(topic: str) -> list[str]:
    return [TOPICS[topic].format(place, number) for place, number in zip(PLACES, range(11, 99, 11), strict=False)]


class Doubtful:
    """A model that is unsure of texts with certain words, and of no others."""

    classes_ = np.array(["no", "yes"])

    def __init__(self, *words: str) -> None:
        self.words = words

    def predict_proba(self, texts: list[str]) -> np.ndarray:
        yes = np.array([0.55 if any(word in text for word in self.words) else 0.01 for text in texts])
        return np.stack([1 - yes, yes], axis=1)


EVERYTHING = [text for topic in TOPICS for text in texts_of(topic)]


def test_unsure_texts_come_first():
    chosen = suggest(EVERYTHING, 8, model=Doubtful("goals"))
    assert sum("goals" in text.text for text in chosen) >= 6  # of 8 among 32
    assert all(EVERYTHING[item.index] == item.text for item in chosen)
    assert chosen.labels == ("no", "yes")
    assert chosen.chosen[0].confidence == 0.55
    assert [item.confidence for item in chosen] == sorted(item.confidence for item in chosen)


def test_what_is_chosen_is_diverse():
    # Unsure of everything: then the kinds of texts decide, of which one is ten times as frequent as each of the others.
    pool = {
        f"{text} said {who}": "troops" for text in texts_of("troops") for who in ("Ann", "Bob", "Cleo", "Dan", "Eve")
    }
    pool |= {text: topic for topic in ("trade", "sport", "weather") for text in texts_of(topic)[:4]}
    kinds = [
        len({pool[item.text] for item in suggest(pool.keys(), 6, model=Doubtful(""), seed=seed)}) for seed in range(10)
    ]
    rng = np.random.default_rng(1)
    by_chance = [len(set(rng.choice([*pool.values()], 6, replace=False))) for _ in range(500)]
    assert np.mean(kinds) > 3.2
    assert np.mean(by_chance) < 2.4


def test_nothing_twice_and_nothing_that_is_coded():
    pool = [*EVERYTHING, EVERYTHING[0].upper(), f"  {EVERYTHING[1]}!! https://t.co/x", None, "", float("nan")]
    coded = [EVERYTHING[5].upper(), "Something else entirely."]
    chosen = suggest(pool, 100, model=Doubtful("goals"), coded=coded)
    indices = [item.index for item in chosen]
    assert sorted(indices) == [index for index in range(32) if index != 5]
    assert chosen.left_out == {"unusable": 3, "coded already": 1, "near-duplicates": 2, "not drawn": 0}
    assert str(chosen) == "31 chosen of 31 texts (3 unusable, 1 coded already, 2 near-duplicates)"


@settings(max_examples=25)
@given(st.lists(st.text("abc xyz.", max_size=30), max_size=25), st.integers(1, 30), st.integers(0, 5))
def test_any_texts(texts: list[str], n: int, seed: int):
    try:
        chosen = suggest(texts, n, model=Doubtful("a"), coded=texts[:2], seed=seed)
    except InputError:  # none to choose from: all are blank, or among the coded
        assert all(text in texts[:2] or not text.strip(". ") or near_duplicates([text], texts[:2]) for text in texts)
        return
    indices = [item.index for item in chosen]
    assert len(set(indices)) == len(indices) == min(n, chosen.considered)
    assert not near_duplicates([item.text for item in chosen])
    assert chosen.considered + sum(chosen.left_out.values()) == len(texts)
    assert suggest(texts, n, model=Doubtful("a"), coded=texts[:2], seed=seed) == chosen


def test_large_pools_are_drawn_from(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys.modules["stancelib.suggestion"], "POOL", 10)
    chosen = suggest(EVERYTHING, 5, model=Doubtful("goals"))
    assert (chosen.considered, chosen.left_out["not drawn"]) == (10, 22)


def test_progress_is_told():
    told: list[tuple[int, int]] = []
    unlike = [f"{word} {number}{number}" for word in ("abc", "def", "ghi") for number in range(60)]
    chosen = suggest(unlike, 2, model=Doubtful("abc"), progress=lambda read, total: told.append((read, total)))
    assert told == [(128, chosen.considered), (chosen.considered, chosen.considered)]


def test_a_model_with_other_labels_than_it_says_is_an_error():
    model = Doubtful("a")
    model.classes_ = np.array(["no", "yes", "perhaps"])
    with pytest.raises(InputError, match=r"shape \(32, 2\) for 32 texts and 3 labels"):
        suggest(EVERYTHING, 2, model=model)


def test_a_model_without_labels_is_an_error():
    with pytest.raises(InputError, match="needs classes_ or labels"):
        suggest(EVERYTHING, 2, model=object())


def test_the_shipped_model_is_the_default(clf):
    chosen = suggest(["Norda rules out soldiers.", "The move was debated.", "It rains."], 2)
    assert chosen.labels == clf.labels
    assert len(chosen) == 2


def test_errors(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(InputError, match="at least 1"):
        suggest(EVERYTHING, 0)
    with pytest.raises(InputError, match="2 unusable, 1 coded already"):
        suggest([None, "", "a b"], 1, coded=["A b!"])
    with pytest.raises(InputError, match="none was given"):
        suggest([], 1)
    with pytest.raises(InputError, match="expected a text"):
        suggest(None, 1)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtraError, match=r"stancelib\[eval\]"):
        suggest(EVERYTHING, 1)


@pytest.mark.parametrize("ending", ["csv", "tsv", "xlsx"])
def test_a_sheet_goes_out_and_comes_back(tmp_path: Path, ending: str):
    texts = ["=1+1 soldiers", "“Quoted”, with\na second line", "-5 degrees\tin Norda", "'single' quotes", "plain text"]
    path = tmp_path / f"sheet.{ending}"
    chosen = suggest(texts, 5, model=Doubtful("e"))
    chosen.write(path, labels=["relevant", "irrelevant"], ids=["a", "b", "c", "d", "e"])
    with pytest.raises(FileError, match="none of its 5 rows can be used"):
        read_sheet(path)
    fill_in(path, {"a": "relevant", "b": "IRRELEVANT", "c": "relevent", "d": "", "e": "relevant"})
    read = read_sheet(path, ["relevant", "irrelevant"])
    by_id = {cells["id"]: (text, label) for cells, text, label in zip(read.cells, read.texts, read.labels, strict=True)}
    assert by_id == {"a": (texts[0], "relevant"), "b": (texts[1], "irrelevant"), "e": (texts[4], "relevant")}
    reasons = {row.cells["id"]: row.reason for row in read.left_out}
    assert reasons == {
        "c": "its label 'relevent' is none of relevant, irrelevant; did you mean 'relevant'?",
        "d": "no label",
    }
    assert all(f"sheet.{ending}, " in row.place for row in read.left_out)


def fill_in(path: Path, labels: dict[str, str]) -> None:
    """As a coder would, in a spreadsheet."""
    if path.suffix == ".xlsx":
        book = openpyxl.load_workbook(path)
        for id_, _, label in book["texts"].iter_rows(min_row=2):
            label.value = labels[id_.value]
        book.save(path)
        return
    dialect = {"delimiter": "\t" if path.suffix == ".tsv" else ","}
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, **dialect))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), **dialect)
        writer.writeheader()
        writer.writerows(row | {"label": labels[row["id"]]} for row in rows)


def test_the_sheet_tells_what_to_do_and_hides_the_guess(tmp_path: Path):
    chosen = suggest(EVERYTHING, 3, model=Doubtful("goals"))
    chosen.write(tmp_path / "a.csv")
    chosen.write(tmp_path / "b.csv", show_guess=True)
    chosen.write(tmp_path / "c.xlsx")
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "text", "label", "instructions"]
    assert "no, yes" in rows[0]["instructions"]
    assert [row["instructions"] for row in rows[1:]] == ["", ""]
    assert "yes" in [row["guess"] for row in csv.DictReader((tmp_path / "b.csv").open())]
    book = openpyxl.load_workbook(tmp_path / "c.xlsx")
    assert [cell.value for cell in book["texts"][1]] == ["id", "text", "label"]
    assert "no, yes" in book["instructions"]["A1"].value
    (rule,) = book["texts"].data_validations.dataValidation
    assert (str(rule.sqref), rule.formula1) == ("C2:C4", "instructions!$C$1:$C$2")
    with pytest.raises(FileError, match="exists already"):
        chosen.write(tmp_path / "a.csv")
    with pytest.raises(FileError, match="exists already"):
        chosen.write(tmp_path / "c.xlsx")
    with pytest.raises(FileError, match=r"\.csv, \.tsv or \.xlsx"):
        chosen.write(tmp_path / "d.jsonl")


app = typer.Typer()
app.command()(command)


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_round_by_round(tmp_path: Path, clf):
    pool = tmp_path / "pool.csv"
    pool.write_text("body\n" + "\n".join(EVERYTHING) + "\n\n")
    sheet, second, coded = (tmp_path / name for name in ("pool-to-code.csv", "sheet2.csv", "coded.csv"))
    first = run(pool, "-n", 5, "--labels", "relevant, irrelevant")
    assert first.exit_code == 0, first.output
    assert "5 chosen of 32 texts" in first.stderr
    with sheet.open() as file:
        rows = list(csv.DictReader(file))
    assert all(EVERYTHING[int(row["id"].removeprefix("line ")) - 2] == row["text"] for row in rows)
    assert run(pool, "-n", 5, "-o", sheet).exit_code == 1

    fill_in(
        sheet,
        {row["id"]: label for row, label in zip(rows, ["relevant", "irrelevant", "x", "", "relevant"], strict=True)},
    )
    again = run(pool, "-n", 100, "-o", second, "--coded", sheet)
    assert again.exit_code == 0, again.output
    assert "28 chosen of 28 texts (4 coded already)" in again.stderr  # x is a label, since any is
    assert "fewer than 100" in again.stderr

    back = run("--read", sheet, "-o", coded, "--labels", "relevant,irrelevant")
    assert back.exit_code == 0, back.output
    assert "its label 'x' is none of relevant, irrelevant" in back.stderr
    assert "no label; left out" in back.stderr
    assert "3 coded texts" in back.stderr
    with coded.open() as file:
        assert [row["label"] for row in csv.DictReader(file)] == ["relevant", "irrelevant", "relevant"]


def test_the_command_chooses_from_a_workbook(tmp_path: Path):
    book = openpyxl.Workbook()
    for row in (["text", "day"], *([text, 1] for text in EVERYTHING)):
        book.active.append(row)
    book.save(tmp_path / "pool.xlsx")
    ended = run(tmp_path / "pool.xlsx", "-n", 4, "-o", tmp_path / "sheet.csv")
    assert ended.exit_code == 0, ended.output
    with (tmp_path / "sheet.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == [EVERYTHING[int(row["id"].removeprefix("row ")) - 2] for row in rows]
    assert len(rows) == 4


def test_the_command_asks_for_what_it_needs(tmp_path: Path):
    for arguments in ([], ["-o", tmp_path / "x.csv"], ["pool.csv", "--read", "a.csv", "-o", "b.csv"]):
        assert run(*arguments).exit_code == 2
    assert isinstance(run("pool.csv", "-o", tmp_path / "x.json").exception, FileError)
    assert run("pool.csv", "-o", tmp_path / "x.csv", "--labels", "one").exit_code == 2
