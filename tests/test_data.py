"""Labelled data: one table gives the same from any source, and what can't be used is named."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import datasets
import openpyxl
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stancelib import LABELS, FileError, InputError, MissingExtraError
from stancelib.data import LeftOut, label_order, parse_label_map, read_labelled, read_splits, write_left_out

ROWS = [
    {"id": 1, "text": "Send them.", "label": "favor", "speaker": "A"},
    {"id": 2, "text": "Bring them home.", "label": "against", "speaker": "B"},
    {"id": 3, "text": "  ", "label": "against", "speaker": "B"},
    {"id": 4, "text": "Forty were sent.", "label": None, "speaker": None},
    {"id": 5, "text": "Forty more were sent.", "label": " none ", "speaker": None},
]
MAP = "favor=support, against=oppose, none=neutral"


def write(path: Path, rows: list[dict]) -> Path:
    frame = pd.DataFrame(rows)
    match path.suffix:
        case ".csv":
            frame.to_csv(path, index=False)
        case ".tsv":
            frame.to_csv(path, index=False, sep="\t")
        case ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        case ".parquet":
            frame.to_parquet(path)
        case ".xlsx":
            frame.to_excel(path, index=False)
    return path


def reasons(data) -> list[tuple[str, str]]:
    return [(row.place, row.reason) for row in data.left_out]


@pytest.mark.parametrize(
    ("suffix", "places"),
    [
        (".csv", ["line 2", "line 3", "line 6", "line 4", "line 5"]),
        (".tsv", ["line 2", "line 3", "line 6", "line 4", "line 5"]),
        (".jsonl", ["line 1", "line 2", "line 5", "line 3", "line 4"]),
        (".parquet", ["row 1", "row 2", "row 5", "row 3", "row 4"]),
        (".xlsx", ["row 2", "row 3", "row 6", "row 4", "row 5"]),
    ],
)
def test_a_file_of_any_format(tmp_path: Path, suffix: str, places: list[str]):
    path = write(tmp_path / f"coded{suffix}", ROWS)
    data = read_labelled(path, group_column="speaker", label_map=MAP)
    assert data.name == str(path)
    assert data.texts == ["Send them.", "Bring them home.", "Forty more were sent."]
    assert data.labels == ["support", "oppose", "neutral"]
    assert data.places == [f"{path}, {place}" for place in places[:3]]
    assert data.groups == ["A", "B", data.places[2]]  # without a value it is a group by itself
    assert [str(cells["id"]) for cells in data.cells] == ["1", "2", "5"]
    assert reasons(data) == [(f"{path}, {places[3]}", "a blank text"), (f"{path}, {places[4]}", "no label")]


@pytest.mark.parametrize(
    ("make", "place"),
    [
        (pd.DataFrame, "frame.iloc[{}]"),
        (datasets.Dataset.from_list, "dataset[{}]"),
        (pa.Table.from_pylist, "dataset[{}]"),
        (iter, "rows[{}]"),
        (tuple, "rows[{}]"),
    ],
    ids=["pandas", "datasets", "arrow", "generator", "tuple"],
)
def test_what_is_in_memory(make, place: str):
    data = read_labelled(make(ROWS), label_map=MAP)
    assert data.labels == ["support", "oppose", "neutral"]
    assert data.groups is None
    assert data.places == [place.format(i) for i in (0, 1, 4)]
    assert reasons(data) == [(place.format(2), "a blank text"), (place.format(3), "no label")]


def test_places_of_a_frame_are_positions_whatever_its_index():
    frame = pd.DataFrame(ROWS[:2], index=["x", "x"])
    data = read_labelled(frame)
    assert [eval(place, {"frame": frame})["text"] for place in data.places] == data.texts


def test_numbers_are_the_same_labels_from_any_source(tmp_path: Path):
    rows = [{"text": f"Text {i}.", "label": label} for i, label in enumerate([1, 2, 3, None, -1])]
    sources = [pd.DataFrame(rows), rows, *(write(tmp_path / f"a{s}", rows) for s in (".csv", ".jsonl", ".xlsx"))]
    for source in sources:
        assert read_labelled(source).labels == ["1", "2", "3", "-1"]
    halves = [{"text": "A.", "label": 1.5}, {"text": "B.", "label": True}]
    assert read_labelled(halves).labels == ["1.5", "True"]


def test_case_is_kept_unless_the_label_is_ours():
    rows = [{"text": str(i), "label": label} for i, label in enumerate(["Support", "OPPOSE", "Favor", "favor"])]
    assert read_labelled(rows).labels == ["support", "oppose", "Favor", "favor"]


def test_names_of_class_labels():
    features = datasets.Features(text=datasets.Value("string"), label=datasets.ClassLabel(names=["against", "for"]))
    rows = {"text": ["A.", "B.", "C."], "label": [1, 0, -1]}
    dataset = datasets.Dataset.from_dict(rows, features=features)
    for given_ in (dataset, dataset.with_format("numpy"), dataset.with_format("pandas")):
        data = read_labelled(given_)
        assert data.labels == ["for", "against"]
        assert reasons(data) == [("dataset[2]", "no label")]


def test_columns_by_name_and_by_default():
    rows = [{"body": "A.", "Sentiment": "x", "stance": "support", "class": 3, "text": "B."}]
    assert read_labelled(rows).labels == ["support"]  # stance goes before class
    data = read_labelled(rows, text_column="body", label_column="Sentiment")
    assert (data.texts, data.labels) == (["A."], ["x"])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label_column": "sentimant"}, r"has no column 'sentimant'; it has .*did you mean 'sentiment'"),
        ({"text_column": "body"}, "has no column 'body'"),
        ({"group_column": "speaker", "label_column": "sentiment"}, "has no column 'speaker'"),
        ({"label_column": "text"}, "both the text and the label"),
        ({}, "which column holds the label.*--label-column"),
    ],
)
def test_columns_that_are_not_there(tmp_path: Path, columns: dict, message: str):
    rows = [{"text": "A.", "sentiment": "x"}]
    with pytest.raises(FileError, match=message):
        read_labelled(write(tmp_path / "a.csv", rows), **columns)
    with pytest.raises(InputError, match=message.replace("--label-column", "label_column=")):
        read_labelled(rows, **columns)


def test_a_column_that_only_later_lines_have(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "A."}\nnonsense\n{"text": "B.", "label": "x"}\n{"label": "x"}\n')
    data = read_labelled(path)
    assert data.texts == ["B."]
    assert [(place[-6:], reason.split(":")[0]) for place, reason in reasons(data)] == [
        ("line 1", "no label"),
        ("line 2", "not JSON (Expecting value"),
        ("line 4", "no 'text'"),
    ]


def test_labels_that_are_no_names(tmp_path: Path):
    rows = [{"text": "A.", "label": "x"}, {"text": "B.", "label": ["x", "y"]}, {"text": "C.", "label": "\t"}]
    assert [row.reason for row in read_labelled(rows).left_out] == ["its label is a list, not one name", "no label"]
    path = tmp_path / "latin.csv"
    path.write_bytes(b"text,label\nA.,x\nB.,contr\xe1rio\n")
    assert "not UTF-8" in read_labelled(path).left_out[0].reason


def test_labels_that_are_not_in_the_map(tmp_path: Path):
    rows = [*ROWS[:2], {"text": "A.", "label": "FAVOR"}, {"text": "B.", "label": "favour"}, {"text": "C.", "label": 7}]
    data = read_labelled(rows, label_map=MAP)
    assert data.labels == ["support", "oppose", "support"]  # case does not part two keys
    assert [row.reason for row in data.left_out] == [
        "its label 'favour' is not in the label map, which has 'favor', 'against', 'none'; did you mean 'favor'?",
        "its label '7' is not in the label map, which has 'favor', 'against', 'none'; add 7=… to use it",
    ]
    with pytest.raises(FileError, match=r"2 of 3 labels in the column 'label'.*'favor' \(1\).*the map has 'pro'"):
        read_labelled(write(tmp_path / "a.csv", rows[:3]), label_map="pro=support,against=oppose")


def test_parse_label_map():
    assert parse_label_map({1: "Support", 2.0: " OPPOSE"}) == {"1": "support", "2": "oppose"}
    assert parse_label_map(" 1.0 = a=b ,, x=Y,") == {"1": "a=b", "x": "Y"}
    for wrong in ("favor", "=support", "favor=", "a=b,a=c", "", {}, {"a": None}, ["a=b"]):
        with pytest.raises(InputError, match="label map"):
            parse_label_map(wrong)  # type: ignore[arg-type]


LABEL = st.text(st.characters(exclude_characters=",=", exclude_categories=("C", "Z")), min_size=1)


@given(st.dictionaries(LABEL, LABEL, min_size=1))
def test_a_map_is_the_same_as_text_and_as_mapping(pairs: dict[str, str]):
    parsed = parse_label_map(pairs)
    assert parse_label_map(",".join(f"{a}={b}" for a, b in pairs.items())) == parsed
    assert parse_label_map(parsed) == parsed


@given(st.lists(st.text(min_size=1)), st.lists(st.integers(), min_size=1))
def test_label_order(words: list[str], numbers: list[int]):
    order = label_order([*words, *map(str, numbers)])
    assert len(order) == len({*words, *map(str, numbers)})
    assert order == label_order(reversed(order))
    assert [int(label) for label in label_order(map(str, numbers))] == sorted(set(numbers))


def test_our_labels_have_our_order():
    assert label_order(["oppose", "support", "oppose"]) == LABELS
    assert label_order(["oppose", "support", "x"]) == ("oppose", "support", "x")
    assert label_order(["10", "b", "9", "nan", "-1.5"]) == ("-1.5", "9", "10", "b", "nan")


def test_select():
    data = read_labelled([{"text": f"{i}.", "label": "x", "g": i} for i in range(4)], group_column="g")
    part = data.select([3, 1])
    assert (part.texts, part.groups, part.places) == (["3.", "1."], ["3", "1"], ["rows[3]", "rows[1]"])
    assert len(part) == 2
    assert part.cells[0]["g"] == 3


# Workbooks


def test_the_sheet_that_has_the_columns(tmp_path: Path):
    book = openpyxl.Workbook()
    book.active.title = "Codebook"
    book.active.append(["code", "meaning"])
    sheet = book.create_sheet("Data")
    for row in (["text", "code", None], ["A.", 1, "stray"], [], ["B.", 2], [None, 2]):
        sheet.append(row)
    book.save(path := tmp_path / "a.xlsx")
    data = read_labelled(path)
    assert data.labels == ["1", "2"]
    assert data.places == [f"{path}, sheet 'Data', row 2", f"{path}, sheet 'Data', row 4"]
    assert data.cells[0] == {"text": "A.", "code": 1}
    assert reasons(data) == [(f"{path}, sheet 'Data', row 5", "None (a missing text)")]
    with pytest.raises(FileError, match=r"'Codebook' has no column 'body'.*'Data' has no column 'body'"):
        read_labelled(path, text_column="body")


def test_workbooks_that_are_none(tmp_path: Path):
    (tmp_path / "a.xlsx").write_text("text,label\n")
    (tmp_path / "a.xls").write_bytes(b"\xd0\xcf\x11\xe0")
    openpyxl.Workbook().save(tmp_path / "b.xlsx")
    for name, message in [
        ("a.xlsx", "no Excel"),
        ("a.xls", "save it as"),
        ("b.xlsx", "no rows"),
        ("c.xlsx", "no such"),
    ]:
        with pytest.raises(FileError, match=message):
            read_labelled(tmp_path / name)


def test_a_workbook_without_openpyxl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(MissingExtraError, match=r"stancelib\[excel\]"):
        read_labelled(write_nothing(tmp_path / "a.xlsx"))


def write_nothing(path: Path) -> Path:
    path.touch()
    return path


# Splits


def test_a_folder_of_splits(tmp_path: Path):
    for name in ("test.jsonl", "dev.csv", "train.xlsx"):
        write(tmp_path / name, ROWS)
    (tmp_path / "README.md").write_text("Notes.")
    splits = read_splits(tmp_path)
    assert list(splits) == ["train", "validation", "test"]
    assert all(data.labels == ["favor", "against", "none"] for data in splits.values())
    assert splits["validation"].places[0] == f"{tmp_path / 'dev.csv'}, line 2"
    write(tmp_path / "validation.tsv", ROWS)
    with pytest.raises(FileError, match=r"dev.csv and .*validation.tsv are both the validation split"):
        read_splits(tmp_path)


def test_a_folder_without_splits(tmp_path: Path):
    write(tmp_path / "coded.csv", ROWS)
    with pytest.raises(FileError, match=r"holds no splits; expected train.csv.*found coded.csv"):
        read_splits(tmp_path)
    with pytest.raises(FileError, match="read_splits"):
        read_labelled(tmp_path)


def test_mappings_of_splits(tmp_path: Path):
    whole = read_labelled(ROWS)
    given_ = {"extra": whole, "test": write(tmp_path / "x.csv", ROWS), "dev": ROWS, "train": pd.DataFrame(ROWS)}
    splits = read_splits(given_)
    assert list(splits) == ["train", "validation", "test", "extra"]
    assert splits["extra"] is whole
    assert [splits[name].places[0] for name in ("train", "validation")] == ["train.iloc[0]", "dev[0]"]
    dataset = datasets.Dataset.from_list(ROWS)
    assert list(read_splits(datasets.DatasetDict(test=dataset, train=dataset))) == ["train", "test"]
    assert list(read_splits(ROWS)) == ["train"]
    with pytest.raises(InputError, match="'dev' and 'valid' are both the validation split"):
        read_splits({"dev": ROWS, "valid": ROWS})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "holds no rows"),
        (["Send them."], r"rows\[0\] is a str"),
        ({"text": ["A."], "label": ["x"]}, "pandas.DataFrame"),
        (datasets.DatasetDict(), "read_splits"),
        (None, "got None"),
        (b"text,label", "got bytes"),
        ([{"text": "", "label": "x"}], r"none of its 1 rows can be used \(rows\[0\]: a blank text\)"),
        (pd.DataFrame([["A.", "x", "y"]], columns=["text", "label", "label"]), "more than one column 'label'"),
    ],
)
def test_what_is_no_labelled_data(data: object, message: str):
    with pytest.raises(InputError, match=message):
        read_labelled(data)


def test_files_that_are_not_there(tmp_path: Path):
    with pytest.raises(FileError, match="no such file"):
        read_splits(tmp_path / "missing.csv")
    (tmp_path / "a.txt").write_text("One.\nTwo.\n")
    with pytest.raises(FileError, match="which column holds the label"):
        read_labelled(tmp_path / "a.txt")


# What was left out


def test_left_out_is_written_with_its_cells(tmp_path: Path):
    data = read_labelled(ROWS)
    rows = [*data.left_out, LeftOut("elsewhere", "a reason, with a comma", {"text": "Ü", "place": "Norda"})]
    write_left_out(rows, path := tmp_path / "left_out.csv")
    with path.open(encoding="utf-8", newline="") as file:
        written = list(csv.DictReader(file))
    assert [row["left_out_place"] for row in written] == ["rows[2]", "rows[3]", "elsewhere"]
    assert written[0]["left_out_reason"] == "a blank text"
    assert written[1]["text"] == "Forty were sent."
    assert written[2] == {
        "left_out_place": "elsewhere",
        "left_out_reason": "a reason, with a comma",
        "id": "",
        "text": "Ü",
        "label": "",
        "speaker": "",
        "place": "Norda",
    }
    with pytest.raises(FileError, match="exists already"):
        write_left_out(rows, path)
    write_left_out([], path, overwrite=True)
    assert path.read_text() == "place,reason\n"


@given(st.lists(st.fixed_dictionaries({"text": st.text() | st.none(), "label": st.text() | st.none() | st.floats()})))
def test_every_row_is_used_or_left_out(rows: list[dict]):
    try:
        data = read_labelled(rows)
    except InputError:
        return
    assert len(data) + len(data.left_out) == len(rows)
    places = [*data.places, *(row.place for row in data.left_out)]
    assert sorted(places) == sorted(f"rows[{i}]" for i in range(len(rows)))
    assert all(label == label.strip() != "" for label in data.labels)


def test_importing_is_light():
    code = (
        "import sys, stancelib.data, stancelib.checks\n"
        "sys.exit(', '.join({'pandas', 'pyarrow', 'datasets', 'openpyxl', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == ""
