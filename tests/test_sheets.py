"""Tables that are written: no cell is a formula, and nothing is lost."""

import contextlib
import csv
import datetime
import io
import re
from decimal import Decimal
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stancelib import FileError
from stancelib.sheets import Sheet, guarded, unguarded

# As OWASP lists them, written out here anew.
FIRST = tuple("=+-@\t\r\n＝＋－＠")
NUMBERS = ["-5", "+1", "-1,234.56", "-0.5e-3", "+.5", "-7%", "-3,5"]
HARMFUL = ['=HYPERLINK("http://x","y")', "+1+1", "-2+3+cmd|' /C calc'!A0", "@SUM(1)", "\t=1", "\r=1", " =1", "\ufeff=1"]
# Texts that often begin like a formula.
TEXTS = st.builds(
    str.__add__,
    st.text("'=+-@\t\r\n ＝5.,e%", max_size=4),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8),
)


@given(TEXTS)
@example("'=1")
@example("''=1")
@example("-5\n")
def test_a_guarded_text_is_no_formula_and_comes_back(text: str):
    cell = guarded(text)
    assert unguarded(cell) == text
    assert not cell.lstrip("\ufeff ").startswith(FIRST) or re.fullmatch(r"[-+][0-9.,eE+-]+%?", cell)


@given(st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.decimals(allow_nan=False)))
def test_numbers_stay_numbers(number: float | Decimal):
    for written in (str(number), f"{number:+}"):
        if "Inf" not in written:
            assert guarded(written) == written


@pytest.mark.parametrize("text", NUMBERS)
def test_more_numbers(text: str):
    assert guarded(text) == text


@pytest.mark.parametrize("text", HARMFUL)
def test_formulas_are_guarded(text: str):
    assert guarded(text) == f"'{text}"


@pytest.mark.parametrize("kind", ["csv", "tsv"])
@given(rows=st.lists(st.tuples(TEXTS, TEXTS), max_size=5))
@example(rows=[("a\rb", "=1")])
def test_csv_gives_back_every_text(kind: Literal["csv", "tsv"], rows: list[tuple[str, str]]):
    def written(raw: bool) -> list[list[str]]:
        out = io.StringIO()
        with Sheet(out, kind, ["a", "-b"], {}, raw=raw) as sheet:
            for first, second in rows:
                sheet.write({"a": first, "-b": second})
        return list(csv.reader(io.StringIO(out.getvalue(), newline=""), delimiter="\t" if kind == "tsv" else ","))

    head, *read = written(raw=False)
    assert head == ["a", "'-b"]
    assert [tuple(map(unguarded, row)) for row in read] == rows
    assert written(raw=True) == [["a", "-b"], *map(list, rows)]


def test_values_that_are_no_text(tmp_path: Path):
    cells = {
        "float": -0.5,
        "int": -7,
        "decimal": Decimal("-1.10"),
        "bool": False,
        "none": None,
        "list": ["=1"],
        "delta": datetime.timedelta(-1),
        "nan": float("-inf"),
    }
    with Sheet(tmp_path / "out.csv", "csv", list(cells), {}) as sheet:
        sheet.write(cells)
    (row,) = csv.DictReader((tmp_path / "out.csv").open())
    assert list(row.values()) == ["-0.5", "-7", "-1.10", "false", "", '["=1"]', "'-1 day, 0:00:00", "-inf"]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_other_formats_are_untouched(tmp_path: Path, kind: str):
    target = tmp_path / f"out.{kind}"
    with Sheet(target, kind, ["text"], {}) as sheet:
        sheet.write({"text": "=1"})
    if kind == "jsonl":
        assert target.read_text() == '{"text": "=1"}\n'
    else:
        import pyarrow.parquet as pq

        assert pq.read_table(target).to_pylist() == [{"text": "=1"}]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_full_disk_is_said(kind: str):
    full = Path("/dev/full").open("w")  # noqa: SIM115 (closing it fails too)
    with pytest.raises(FileError, match="cannot be written: No space left"), Sheet(full, kind, ["text"], {}) as sheet:
        sheet.write({"text": "One."})
    with contextlib.suppress(OSError):
        full.close()
