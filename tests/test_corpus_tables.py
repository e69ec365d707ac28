"""Corpora: from files to documents, and from documents to tidy tables."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from by_hand import read
from hypothesis import given
from hypothesis import strategies as st

from stancelib import Document, FileError, InputError, MissingExtraError
from stancelib.corpus import (
    PERIODS,
    TABLES,
    Source,
    Timeline,
    as_source,
    period_of,
    read_sources,
    to_frames,
    write_tables,
)


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


class TestSources:
    def test_a_text_file_is_one_document(self, tmp_path: Path):
        paths = [
            write(tmp_path / "a.txt", "\ufeffOne.\n\nTwo."),
            write(tmp_path / "b.md", "# Three"),
            write(tmp_path / "c", ""),
        ]
        assert list(read_sources(paths)) == [Source("One.\n\nTwo.", "a"), Source("# Three", "b"), Source("", "c")]

    def test_a_text_file_in_another_encoding(self, tmp_path: Path):
        (source,) = read_sources([write(tmp_path / "a.txt", "café".encode("latin-1"))])
        assert (source.text, source.title) == (None, "a")
        assert source.problem is not None
        assert "not UTF-8" in source.problem

    def test_a_row_of_a_table_is_one_document(self, tmp_path: Path):
        path = write(tmp_path / "news.csv", "text,head,day\nOne.,First,2024-05-17\nTwo.,,\n")
        assert list(read_sources([path], None, "head", "day")) == [
            Source("One.", "First", "2024-05-17"),
            Source("Two.", "news:3", None),
        ]
        assert [source.title for source in read_sources([path])] == ["news:2", "news:3"]

    def test_problems_of_rows_are_kept(self, tmp_path: Path):
        path = write(
            tmp_path / "news.jsonl", '{"body": "One.", "n": 1}\n{"body": null}\n{"b\n{"body": "Two.", "n": 0}\n'
        )
        sources = list(read_sources([path], "body", "n"))
        assert [source.title for source in sources] == ["1", "news:2", "news:3", "0"]
        assert [source.problem is None for source in sources] == [True, False, False, True]
        assert "not JSON" in str(sources[2].problem)

    def test_dates_of_parquet(self, tmp_path: Path):
        day = pa.array([19860, None], pa.date32())
        pq.write_table(pa.table({"text": ["One.", "Two."], "day": day}), tmp_path / "a.parquet")
        assert [source.date for source in read_sources([tmp_path / "a.parquet"], date_column="day")] == [
            "2024-05-17",
            None,
        ]

    def test_a_folder_is_read_in_the_order_of_its_names(self, tmp_path: Path):
        write(tmp_path / "b.txt", "B")
        write(tmp_path / "a" / "z.txt", "Z")
        write(tmp_path / "c.tsv", "text\nC\n")
        write(tmp_path / "a.html", "no text")
        write(tmp_path / "d.csv.part", "text\nno\n")
        assert [source.text for source in read_sources([tmp_path])] == ["Z", "B", "C"]

    def test_what_can_not_be_read(self, tmp_path: Path):
        for name in ("no.txt", "no.csv"):
            with pytest.raises(FileError, match="no such file"):
                list(read_sources([tmp_path / name]))
        (tmp_path / "empty").mkdir()
        with pytest.raises(FileError, match="holds no text files"):
            list(read_sources([tmp_path / "empty"]))
        path = write(tmp_path / "a.csv", "text,head\nOne.,First\n")
        with pytest.raises(FileError, match="has no column 'day'; it has 'text', 'head'"):
            list(read_sources([path], date_column="day"))

    def test_what_callers_pass(self):
        assert as_source("One.", 0) == Source("One.")
        assert as_source(None, 0) == Source(None)
        assert as_source({"text": "One.", "title": None, "date": 2024, "more": 1}, 0) == Source("One.", None, "2024")
        source = Source("One.", "a")
        assert as_source(source, 0) is source
        with pytest.raises(InputError, match=r"documents\[3\] has no 'text'"):
            as_source({}, 3)


class TestPeriods:
    @pytest.mark.parametrize(
        ("when", "periods"),
        [
            ("2024-05-17", ["2024", "2024-Q2", "2024-05", "2024-W20", "2024-05-17"]),
            (" 2024-12-30T23:59:59+02:00", ["2024", "2024-Q4", "2024-12", "2025-W01", "2024-12-30"]),
            ("2021-01-01 00:00", ["2021", "2021-Q1", "2021-01", "2020-W53", "2021-01-01"]),
            ("2024-05", ["2024", "2024-Q2", "2024-05", None, None]),
            ("2024", ["2024", None, None, None, None]),
            ("17 May 2024", [None] * 5),
            ("2024-13-01", [None] * 5),
            ("2024-02-30", [None] * 5),
            ("2024-5-17", [None] * 5),
            ("nan", [None] * 5),
            ("", [None] * 5),
        ],
    )
    def test_of_dates(self, when: str, periods: list[str | None]):
        assert [period_of(when, period) for period in PERIODS] == periods

    @given(st.dates(min_value=__import__("datetime").date(1000, 1, 1)))
    def test_of_any_day(self, day: Any):
        found = {period: period_of(day.isoformat(), period) for period in PERIODS}
        assert found["day"] == day.isoformat()
        assert str(found["month"]).startswith(str(found["year"]))
        assert found["week"] == "{}-W{:02}".format(*day.isocalendar())
        assert found["quarter"] == f"{day.year}-Q{1 + (day.month - 1) // 3}"

    @given(st.text())
    def test_of_any_text(self, when: str):
        assert all(found is None or found[:4].isdigit() for found in (period_of(when, period) for period in PERIODS))

    def test_counts_by_holder_and_period(self):
        timeline = Timeline("quarter")
        for day, text in [
            ("2024-05-17", "[Berlin-] spoke. [Ada Berg, the minister,+] did."),
            ("2024-04-01", "[Germany+] spoke. [Germany-] did."),
            ("2024-06-30", "[The Germans-] spoke. Ada Berg told Eva Dahl that [she+] would. [-]No."),
            ("2024-07-01", "[Berlin?] spoke."),
            ("never", "[Berlin+] spoke."),
        ]:
            timeline.add(read(text, date=day))
        timeline.add(read("[Berlin+] spoke."))
        nothing = {"support": 0, "oppose": 0, "neutral": 0, "mixed": 0}
        germany = {"holder": "Germany", "kind": "country", "country": "Germany"}
        assert timeline.rows() == [
            {"period": "2024-Q2", "holder": "Ada Berg", "kind": "person", "country": None, "documents": 1}
            | nothing
            | {"support": 1, "score": 1.0},
            {"period": "2024-Q2", **germany, "documents": 3} | nothing | {"oppose": 2, "mixed": 1, "score": -0.6667},
            {"period": "2024-Q3", **germany, "documents": 1} | nothing | {"neutral": 1, "score": 0.0},
        ]


KINDS = pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])


def documents() -> Iterator[Document]:
    text = "[Berlin-80] said “no” to sending soldiers, ships, and aircraft, and\n[Ada Berg+70] yes. [-]A mistake."
    yield read(text, title="first", date="2024-05-17")
    yield read("It rained.")
    yield read("[Berlin+] went; \ud83d did not.", date="2024-06-01")


def table(folder: Path, name: str, kind: str) -> list[dict[str, Any]]:
    path = folder / f"{name}.{kind}"
    if kind == "parquet":
        return pq.read_table(path).to_pylist()
    if kind == "jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    with path.open(newline="", encoding="utf-8") as file:
        kinds = TABLES[name] | {"gated": "true".__eq__}
        return [
            {key: kinds[key](value) if value else None for key, value in row.items()} for row in csv.DictReader(file)
        ]


class TestTables:
    @KINDS
    def test_the_same_rows_in_every_format(self, tmp_path: Path, kind: str):
        passed = list(write_tables(documents(), tmp_path, kind))
        assert [document.title for document in passed] == ["first", None, None]
        assert {path.name for path in tmp_path.iterdir()} == {f"{name}.{kind}" for name in TABLES}
        holders, sentences, periods = (table(tmp_path, name, kind) for name in TABLES)
        assert all(
            list(row) == list(TABLES[name])
            for name, rows in zip(TABLES, (holders, sentences, periods), strict=True)
            for row in rows
        )

        assert [(row["document"], row["date"], row["holder"] or "", row["stance"]) for row in holders] == [
            ("first", "2024-05-17", "Germany", "oppose"),
            ("first", "2024-05-17", "Ada Berg", "support"),
            ("first", "2024-05-17", "", "oppose"),
            ("3", "2024-06-01", "Germany", "support"),
        ]
        assert (holders[0]["confidence"], holders[0]["sentences"], holders[0]["kind"]) == (0.8, 1, "country")
        assert holders[0]["evidence"] == "Berlin said “no” to sending soldiers, ships, and aircraft, and\nAda Berg yes."

        assert [row["document"] for row in sentences] == ["first", "first", "2", "3"]
        assert [row["sentence"] for row in sentences] == [1, 2, 1, 1]
        assert sentences[0] == {
            "document": "first",
            "date": "2024-05-17",
            "sentence": 1,
            "start": 0,
            "end": 76,
            "stance": "neutral",
            "confidence": 0.8,
            "p_support": 0.1,
            "p_oppose": 0.1,
            "p_neutral": 0.8,
            "holders": "Berlin: oppose | Ada Berg: support",
            "gated": False,
            "text": "Berlin said “no” to sending soldiers, ships, and aircraft, and\nAda Berg yes.",
        }
        assert sentences[1]["holders"] == "(author): oppose"
        assert not sentences[2]["holders"]
        assert sentences[3]["text"].encode("utf-8", "strict")

        assert [(row["period"], row["holder"], row["score"]) for row in periods] == [
            ("2024-05", "Ada Berg", 1.0),
            ("2024-05", "Germany", -1.0),
            ("2024-06", "Germany", 1.0),
        ]

    @KINDS
    def test_no_documents_give_empty_tables(self, tmp_path: Path, kind: str):
        assert list(write_tables([], tmp_path, kind)) == []
        assert [table(tmp_path, name, kind) for name in ("holders", "sentences")] == [[], []]

    def test_no_table_by_period_without_dates(self, tmp_path: Path):
        list(write_tables([read("[Berlin-] spoke."), read("[Berlin-] spoke.", date="spring")], tmp_path / "a" / "b"))
        assert {path.name for path in (tmp_path / "a" / "b").iterdir()} == {"holders.csv", "sentences.csv"}

    def test_periods_may_be_others(self, tmp_path: Path):
        list(write_tables(documents(), tmp_path, period="year"))
        assert [(row["period"], row["documents"]) for row in table(tmp_path, "periods", "csv")] == [
            ("2024", 1),
            ("2024", 2),
        ]

    @KINDS
    def test_what_was_written_stays_when_the_stream_breaks_off(self, tmp_path: Path, kind: str):
        def broken() -> Iterator[Document]:
            yield from documents()
            raise InputError("documents[3] is a blank text")

        with pytest.raises(InputError, match="blank"):
            list(write_tables(broken(), tmp_path, kind))
        assert {path.name for path in tmp_path.iterdir()} == {f"holders.{kind}.part", f"sentences.{kind}.part"}
        (tmp_path / f"sentences.{kind}.part").rename(tmp_path / f"sentences.{kind}")
        assert len(table(tmp_path, "sentences", kind)) == 4

    def test_a_reader_who_stops_early(self, tmp_path: Path):
        stream = write_tables(documents(), tmp_path)
        next(stream)
        stream.close()
        assert {path.name for path in tmp_path.iterdir()} == {"holders.csv.part", "sentences.csv.part"}

    @pytest.mark.parametrize("name", [*TABLES, "sentences.csv.part"])
    def test_tables_that_exist_are_not_replaced_and_nothing_is_begun(self, tmp_path: Path, name: str):
        mine = write(tmp_path / (name if "." in name else f"{name}.csv"), "mine")
        with pytest.raises(FileError, match="exists already"):
            next(write_tables(documents(), tmp_path))
        assert [path.name for path in tmp_path.iterdir()] == [mine.name]
        assert mine.read_text() == "mine"
        list(write_tables(documents(), tmp_path, overwrite=True))
        assert len(table(tmp_path, "holders", "csv")) == 4
        assert len(list(tmp_path.iterdir())) == 3

    def test_a_folder_that_can_not_be_made(self, tmp_path: Path):
        with pytest.raises(FileError, match="cannot be made"):
            next(write_tables(documents(), write(tmp_path / "file", "x")))

    def test_frames(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
        frames = to_frames(documents())
        assert {name: list(frame.columns) for name, frame in frames.items()} == {n: list(c) for n, c in TABLES.items()}
        list(write_tables(documents(), tmp_path, "jsonl"))
        for name in ("holders", "periods"):
            assert json.loads(frames[name].to_json(orient="records")) == table(tmp_path, name, "jsonl")
        assert list(frames["sentences"]["sentence"]) == [1, 2, 1, 1]
        assert [len(frame) for frame in to_frames([]).values()] == [0, 0, 0]
        monkeypatch.setitem(__import__("sys").modules, "pandas", None)
        with pytest.raises(MissingExtraError, match=r"stancelib\[frames\]"):
            to_frames(documents())
