"""Files of texts: every row keeps its place, and what is wrong is said."""

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stancelib import FileError, MissingExtraError
from stancelib.results import Writer, result_names
from stancelib.tables import Row, open_table


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def texts(path: Path, column: str | None = None) -> list[str]:
    return [row.text for row in open_table(path, column).rows]


def problems(path: Path, column: str | None = None) -> dict[int, str | None]:
    return {row.number: row.problem for row in open_table(path, column).rows}


def test_text_lines(tmp_path: Path):
    path = write(tmp_path / "a.txt", "\ufeffSend them.\r\n\r\n  Bring them home.\nNo final newline")
    assert texts(path) == ["Send them.", "  Bring them home.", "No final newline"]
    assert list(problems(path)) == [1, 3, 4]


def test_a_file_without_an_ending_is_text_lines(tmp_path: Path):
    assert texts(write(tmp_path / "speech", "One.\nTwo.\n")) == ["One.", "Two."]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_of_any_delimiter(tmp_path: Path, delimiter: str):
    path = tmp_path / "a.csv"
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(
            [["id", "text"], [1, 'He said "no", twice;\tand\nleft'], [2, "b"]]
        )
    assert texts(path) == ['He said "no", twice;\tand\nleft', "b"]


def test_tsv(tmp_path: Path):
    assert texts(write(tmp_path / "a.tsv", "n\ttext\n1\tone, two\n")) == ["one, two"]


def test_jsonl_keeps_other_fields(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", '{"text": "One.", "tags": [1, 2]}\n\n{"tags": [], "text": "Two."}\n')
    rows = list(open_table(path).rows)
    assert [row.cells["tags"] for row in rows] == [[1, 2], []]
    assert [row.number for row in rows] == [1, 3]


def test_parquet(tmp_path: Path):
    pq.write_table(pa.table({"n": [1, 2, 3], "body": ["One.", None, "Three."]}), tmp_path / "a.parquet")
    table = open_table(tmp_path / "a.parquet", "body")
    assert table.total == 3
    assert [(row.text, row.problem is None) for row in table.rows] == [("One.", True), (None, False), ("Three.", True)]
    assert table.done() == 3


def test_the_text_column_is_found_or_asked_for(tmp_path: Path):
    assert texts(write(tmp_path / "a.csv", "body\nx\n")) == ["x"]
    assert texts(write(tmp_path / "b.csv", "id,sentence\n1,x\n")) == ["x"]
    path = write(tmp_path / "c.csv", "id,body,speaker\n1,x,y\n")
    assert texts(path, "body") == ["x"]
    with pytest.raises(FileError, match=r"which column.*'id', 'body', 'speaker'.*--text-column"):
        open_table(path)
    with pytest.raises(FileError, match="no column 'text'; it has 'id', 'body', 'speaker'"):
        open_table(path, "text")
    with pytest.raises(FileError, match="no column 'text'; it has 'a'"):
        open_table(write(tmp_path / "d.jsonl", '{"a": "x"}\n'), "text")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"", "is empty"),
        ("a.csv", b"\n\n", "must name the columns"),
        ("a.csv", b"id,id,text\n1,2,x\n", "more than one column 'id'"),
        ("a.csv", b"id,text,ann\xe9e\n1,x,y\n", "not UTF-8"),
        ("a.jsonl", b"\n\n", "no line of JSON"),
        ("a.jsonl", b"text\nmore\n", "line 1: not JSON"),
        ("a.csv", "id,text\n1,x\n".encode("utf-16"), "UTF-16"),
        ("a.csv", b"PK\x03\x04rest", "Excel"),
        ("a.parquet", b"not parquet at all", "no Parquet file"),
    ],
)
def test_a_file_that_cannot_be_used_is_said(tmp_path: Path, name: str, content: bytes, said: str):
    with pytest.raises(FileError, match=said):
        list(open_table(write(tmp_path / name, content)).rows)


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(FileError, match="no such file"):
        open_table(tmp_path / "a.csv")
    with pytest.raises(FileError, match="folder"):
        open_table(tmp_path)


def test_bad_rows_keep_their_place_and_number(tmp_path: Path):
    path = write(
        tmp_path / "a.jsonl",
        b'{"text": "One."}\n{"text": "Tw\n[1]\n{"body": "x"}\n{"text": null}\n{"text": "\xe9t\xe9"}\n',
    )
    found = problems(path)
    assert list(found) == [1, 2, 3, 4, 5, 6]
    assert found[1] is None
    for number, said in {2: "not JSON", 3: "not an object", 4: "no 'text'", 5: "missing", 6: "not UTF-8"}.items():
        assert said in found[number]


def test_bad_csv_rows(tmp_path: Path):
    path = write(tmp_path / "a.csv", b"id,text\n1,One.\n2\n3,Three,more\n4,\n5,caf\xe9\n6,Six.\n")
    found = problems(path)
    assert [number for number, problem in found.items() if problem is None] == [2, 7]
    assert "1 cells, the header has 2" in found[3]
    assert "not UTF-8" in found[6]


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip), min_size=1, max_size=20))
def test_csv_and_jsonl_give_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, written: list[str]):
    folder = tmp_path_factory.mktemp("tables")
    with (folder / "a.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["n", "text"], *enumerate(written)])
    (folder / "a.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in written), encoding="utf-8")
    assert texts(folder / "a.csv") == written
    assert texts(folder / "a.jsonl") == written


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtraError, match=r"stancelib\[parquet\]"):
        open_table(write(tmp_path / "a.parquet", "x"))


def row(cells: dict, text: str | None = None, problem: str | None = None) -> Row:
    return Row(1, cells, text, problem)


def read(path: Path) -> list[dict]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    lines = path.read_text(errors="surrogateescape").splitlines()
    return [json.loads(line) for line in lines] if path.suffix == ".jsonl" else list(csv.DictReader(lines))


KINDS = pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])


class TestResults:
    def test_names_that_the_input_has_are_left_to_it(self):
        assert result_names(["id", "text"])["stance"] == "stance"
        assert result_names(["stance"])["problem"] == "predicted_problem"
        assert result_names(["stance", "predicted_stance"])["stance"] == "predicted_predicted_stance"

    @KINDS
    def test_every_row_has_the_same_columns(self, tmp_path: Path, kind: str):
        target = tmp_path / f"out.{kind}"
        with Writer(target, kind, ["text", "stance"]) as writer:
            writer.write(row({"text": "One.", "stance": "gold"}), None)
            writer.write(row({"text": "Two."}, problem="broken"), None)
        first, second = read(target)
        assert first["stance"] == "gold"
        assert not second.get("stance")
        assert second["predicted_problem"] == "broken"

    def test_a_field_that_only_later_rows_have(self, tmp_path: Path):
        late = row({"text": "Two.", "stance": "gold", "note": "x"})
        for kind, left_out in (("csv", {"stance", "note"}), ("jsonl", set())):
            with Writer(tmp_path / f"out.{kind}", kind, ["text"]) as writer:
                writer.write(row({"text": "One."}), None)
                writer.write(late, None)
            assert writer.left_out == left_out
            assert not read(tmp_path / f"out.{kind}")[1]["stance"]
        assert read(tmp_path / "out.jsonl")[1]["input_stance"] == "gold"

    @KINDS
    def test_written_and_then_renamed(self, tmp_path: Path, kind: str):
        target = tmp_path / f"out.{kind}"
        with Writer(target, kind, ["text"]) as writer:
            writer.write(row({"text": "One."}), None)
            assert not target.exists()
        assert not writer.part.exists()
        assert read(target)[0]["text"] == "One."

    @KINDS
    def test_a_run_that_breaks_off_keeps_what_it_had(self, tmp_path: Path, kind: str):
        target = tmp_path / f"out.{kind}"
        writer = Writer(target, kind, ["text"])
        with pytest.raises(KeyboardInterrupt), writer:
            writer.write(row({"text": "One."}), None)
            raise KeyboardInterrupt
        assert not target.exists()
        assert read(writer.part.rename(tmp_path / f"kept.{kind}"))[0]["text"] == "One."

    @KINDS
    def test_what_no_file_can_hold_is_replaced_and_raw_bytes_are_kept(self, tmp_path: Path, kind: str):
        target = tmp_path / f"out.{kind}"
        with Writer(target, kind, ["name", "tags"]) as writer:
            writer.write(row({"name": "Jos\udce9", "tags": ["\ud83d"]}), None)
        if kind != "parquet":
            assert b"Jos\xe9" in target.read_bytes()
        assert len(read(target)) == 1

    def test_parquet_keeps_the_types_of_its_input(self, tmp_path: Path):
        nothing = pa.array([None, None], pa.date32())
        source = pa.table({"n": pa.array([1, 2], pa.int8()), "empty": nothing, "text": ["a", "b"]})
        pq.write_table(source, tmp_path / "in.parquet")
        table = open_table(tmp_path / "in.parquet")
        with Writer(tmp_path / "out.parquet", "parquet", table.columns, schema=table.schema) as writer:
            for item in table.rows:
                writer.write(item, None)
        assert pq.read_table(tmp_path / "out.parquet").select(["n", "empty", "text"]) == source

    def test_a_column_that_changes_its_kind_loses_nothing_before(self, tmp_path: Path):
        writer = Writer(tmp_path / "o.parquet", "parquet", ["n"])
        with pytest.raises(FileError, match="changes its kind"), writer:
            for value in [*range(8192), "one"]:
                writer.write(row({"n": value}), None)
        assert pq.read_table(writer.part).num_rows == 8192

    def test_an_existing_file_is_not_replaced(self, tmp_path: Path):
        target = write(tmp_path / "out.csv", "mine")
        with pytest.raises(FileError, match="exists already"):
            Writer(target, "csv", ["text"])
        assert target.read_text() == "mine"
        with Writer(target, "csv", ["text"], overwrite=True):
            pass
        assert target.read_text().startswith("text,stance,")

    def test_a_place_that_cannot_be_written(self, tmp_path: Path):
        with pytest.raises(FileError, match="cannot be written"):
            Writer(tmp_path / "no" / "folder" / "out.csv", "csv", ["text"])
        with pytest.raises(FileError, match="folder"):
            Writer(tmp_path, "csv", ["text"])
