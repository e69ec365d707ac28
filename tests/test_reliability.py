"""Agreement of coders: published examples, other packages' figures, and what must not change it."""

import csv
import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import krippendorff
import numpy as np
import openpyxl
import pytest
import typer
from click.testing import Result
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from typer.testing import CliRunner

from stancelib import FileError, InputError, StanceClassifier
from stancelib.commands.agreement import agreement as command
from stancelib.reliability import Agreement, Coefficient, agreement

Codings = dict[str, list[str | None]]

# Krippendorff (2011), Computing Krippendorff's alpha-reliability: 4 coders, 12 units.
KRIPPENDORFF = {
    "A": "1 2 3 3 2 1 4 1 2 . . .",
    "B": "1 2 3 3 2 2 4 1 2 5 . 3",
    "C": ". 3 3 3 2 3 4 2 2 5 1 .",
    "D": "1 2 3 3 2 4 4 1 2 5 1 .",
}
# How many of 14 raters put each of 10 subjects in each of 5 categories.
FLEISS = (
    (0, 0, 0, 0, 14),
    (0, 2, 6, 4, 2),
    (0, 0, 3, 5, 6),
    (0, 3, 9, 2, 0),
    (2, 2, 8, 1, 1),
    (7, 7, 0, 0, 0),
    (3, 2, 6, 3, 0),
    (2, 5, 3, 2, 2),
    (6, 5, 2, 1, 0),
    (0, 2, 2, 3, 7),
)


def coded(text: str) -> list[str | None]:
    return [None if code == "." else code for code in text.split()]


def simulated(n: int = 300, coders: int = 3, seed: int = 1, missing: float = 0.1) -> Codings:
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, n, p=(0.2, 0.3, 0.5))
    columns = [np.where(rng.random(n) < 0.7, truth, rng.choice(3, n)) for _ in range(coders)]
    return {
        f"c{at}": [None if rng.random() < missing else "abc"[code] for code in column]
        for at, column in enumerate(columns)
    }


def every(result: Agreement) -> list[Coefficient]:
    pairs = [each for pair in result.pairs for each in (pair.kappa, pair.percent_agreement)]
    return [
        result.alpha,
        result.fleiss_kappa,
        result.percent_agreement,
        *pairs,
        *(each.agreement for each in result.categories),
    ]


def values(result: Agreement) -> list[float]:
    """All figures and ends of intervals, nan where undefined."""
    numbers = [number for each in every(result) for number in (each.value, each.low, each.high)]
    return [np.nan if number is None else number for number in numbers]


codings_ = st.integers(2, 4).flatmap(
    lambda coders: st.lists(
        st.tuples(*[st.sampled_from(["a", "b", "c", None])] * coders), min_size=2, max_size=20
    ).filter(lambda units: sum(len(unit) - unit.count(None) >= 2 for unit in units) >= 2)
)


def by_coder(units: Sequence[Sequence[str | None]], names: str = "wxyz") -> Codings:
    return {name: list(column) for name, column in zip(names, zip(*units, strict=True), strict=False)}


def test_krippendorffs_example():
    result = agreement({coder: coded(text) for coder, text in KRIPPENDORFF.items()})
    assert result.alpha.value == pytest.approx(0.743, abs=0.0005)
    assert (result.n, result.left_out, result.fleiss_kappa.n) == (11, 1, 8)
    assert sum(each.agreement.n for each in result.categories) == 40  # pairable values


def test_fleiss_example():
    units = [[str(at) for at, times in enumerate(row) for _ in range(times)] for row in FLEISS]
    result = agreement({str(rater): list(column) for rater, column in enumerate(zip(*units, strict=True))})
    assert result.fleiss_kappa.value == pytest.approx(0.210, abs=0.0005)
    assert len(result.pairs) == 91


def test_cohens_kappa_and_specific_agreement_by_hand():
    # 20 both yes, 5 only A yes, 10 only B yes, 15 both no: po = 0.7, pe = 0.5.
    result = agreement({"A": coded("y " * 25 + "n " * 25), "B": coded("y " * 20 + "n " * 5 + "y " * 10 + "n " * 15)})
    (pair,) = result.pairs
    assert pair.kappa.value == pytest.approx(0.4)
    assert pair.percent_agreement.value == result.percent_agreement.value == pytest.approx(0.7)
    no, yes = result.categories
    assert (yes.category, yes.agreement.n, no.agreement.n) == ("y", 55, 45)
    assert yes.agreement.value == pytest.approx(2 * 20 / (2 * 20 + 15))
    assert no.agreement.value == pytest.approx(2 * 15 / (2 * 15 + 15))


@given(codings_)
@settings(max_examples=30)
def test_estimates_are_those_of_the_packages(units: list[tuple[str | None, ...]]):
    codings = by_coder(units)
    result = agreement(codings, resamples=1)
    matrix = [["nan" if code is None else code for code in column] for column in codings.values()]
    pairable = {code for unit in units if len(unit) - unit.count(None) >= 2 for code in unit} - {None}
    if len(pairable) > 1:
        expected = krippendorff.alpha(matrix, level_of_measurement="nominal")
        assert result.alpha.value == pytest.approx(expected)
    else:
        assert result.alpha.value is None
    for pair in result.pairs:
        a, b = (codings[coder] for coder in pair.coders)
        both = [(x, y) for x, y in zip(a, b, strict=True) if x and y]
        assert pair.kappa.n == len(both)
        if len({code for codes in both for code in codes}) > 1:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected = cohen_kappa_score(*zip(*both, strict=True))
            assert pair.kappa.value == pytest.approx(expected, abs=1e-12)
        else:
            assert pair.kappa.value is None


@given(codings_, st.randoms(use_true_random=False))
@settings(max_examples=20)
def test_neither_order_nor_names_matter(units: list[tuple[str | None, ...]], random: Any):
    result = agreement(by_coder(units), resamples=50)
    # Other names for the categories, in the same order and then in another: intervals are the same too.
    for renaming in ({"a": "b", "b": "c", "c": "d"}, {"a": "support", "b": "oppose", "c": "neutral"}):
        renamed = agreement(
            by_coder([tuple(renaming.get(code or "") for code in unit) for unit in units]), resamples=50
        )
        assert values(renamed) == pytest.approx(values(result), nan_ok=True)
    turned = agreement(by_coder([unit[::-1] for unit in units], "wxyz"[: len(units[0])][::-1]), resamples=50)
    assert turned.coders == result.coders[::-1]
    assert (
        every(turned)[:3]
        == [
            Coefficient(*(pytest.approx(x) for x in (each.value, each.low, each.high, each.n, each.undefined)))  # type: ignore[arg-type]
            for each in every(result)[:3]
        ]
    )
    assert {frozenset(pair.coders): pair.kappa.value for pair in turned.pairs} == pytest.approx(
        {frozenset(pair.coders): pair.kappa.value for pair in result.pairs}
    )
    # Another order of units draws other resamples, so only the estimates are the same.
    shuffled = random.sample(units, len(units))
    assert values(agreement(by_coder(shuffled), resamples=1))[::3] == pytest.approx(values(result)[::3], nan_ok=True)


@given(st.lists(st.sampled_from("abc"), min_size=2, max_size=30), st.integers(2, 5))
@settings(max_examples=30)
def test_perfect_agreement_is_1(codes: list[str], coders: int):
    assume(len(set(codes)) > 1)
    result = agreement({str(at): list(codes) for at in range(coders)}, resamples=20)
    assert all(each.value == 1 for each in every(result))
    assert all(each.low in (1, None) and each.high in (1, None) for each in every(result))


def test_intervals_hold_what_they_promise():
    # Two coders, right in 85 of 100 units each, two categories of equal size: po = 0.745, alpha = 2 po - 1.
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(150):
        truth = rng.random(150) < 0.5
        columns = [np.where(truth ^ (rng.random(150) < 0.15), "y", "n").tolist() for _ in range(2)]
        alpha = agreement(dict(zip("AB", columns, strict=True)), resamples=300).alpha
        assert alpha.low is not None
        assert alpha.high is not None
        held += alpha.low <= 0.49 <= alpha.high
    assert 0.9 <= held / 150 <= 0.99


def test_intervals_hold_the_estimate_and_narrow_with_more_units():
    small, large = agreement(simulated(100)), agreement(simulated(1600))
    for few, many in zip(every(small), every(large), strict=True):
        for each in (few, many):
            assert each.low is not None
            assert each.low < (each.value or 0) < (each.high or 0)
        assert (many.high or 0) - (many.low or 0) < 0.5 * ((few.high or 0) - (few.low or 0))


def test_seed_and_blocks_of_resamples(monkeypatch: pytest.MonkeyPatch):
    result = agreement(simulated())
    assert agreement(simulated(), seed=2).alpha.low != result.alpha.low
    monkeypatch.setattr("stancelib.reliability._CELLS", 5000)
    assert values(agreement(simulated())) == pytest.approx(values(result))


def test_undefined_is_none_and_counted():
    one = agreement({"A": ["x", "x", "x"], "B": ["x", "x", "x"]}, resamples=100)
    assert one.alpha == Coefficient(None, None, None, 3, 100)
    assert one.percent_agreement.value == 1
    assert "undefined" in one.conclusion
    # "y" is in 1 of 10 units: a resample misses it with probability 0.9 ** 10 = 0.35.
    rare = agreement({"A": ["x"] * 9 + ["y"], "B": ["x"] * 9 + ["y"]}, resamples=2000)
    assert (rare.alpha.value, rare.alpha.low) == (1, 1)
    assert 0.3 < rare.alpha.undefined / 2000 < 0.4
    assert "undefined" in str(rare)
    # No unit is coded by all three, and none by A and C.
    apart = agreement({"A": ["x", "y", None], "B": ["x", "y", "x"], "C": [None, None, "y"]}, resamples=100)
    assert (apart.fleiss_kappa.value, apart.fleiss_kappa.n) == (None, 0)
    assert [pair.kappa.n for pair in apart.pairs] == [2, 0, 1]
    json.dumps(apart.to_dict(), allow_nan=False)


def test_not_coded():
    blank = agreement({"A": ["x", "y ", "", "x"], "B": ["x", " y", "x", float("nan")]})  # type: ignore[list-item]
    none = agreement({"A": ["x", "y", None, None], "B": ["x", "y", None, None]})
    assert (blank.n, blank.left_out) == (2, 2)
    assert values(blank) == values(none)


@pytest.mark.parametrize(
    ("codings", "message"),
    [
        ({"A": ["x", "y"]}, "two coders or more; given: A"),
        ({"A": ["x", "y"], "B": ["x"]}, "unequal lengths: A has 2, B has 1"),
        ({"A": ["x", "y"], "B": ["x", None]}, "1 of 2 units coded by two"),
        ({"A": [], "B": []}, "0 of 0 units"),
        ({"A": ["x", 3], "B": ["x", "x"]}, "A, unit 1: 3 is no category"),
        ({"A": [f"text {at}" for at in range(600)], "B": ["x"] * 600}, "601 categories.*A, B a column of texts"),
    ],
)
def test_errors(codings: Any, message: str):
    with pytest.raises(InputError, match=message):
        agreement(codings)


def test_no_resamples():
    with pytest.raises(InputError, match="at least 1"):
        agreement(simulated(), resamples=0)


@pytest.mark.parametrize(
    ("right", "n", "said"),
    [
        (1.0, 200, "0.8 or more: reliable enough to draw conclusions from (Krippendorff 2004)."),
        (0.9, 60, "but its interval reaches below 0.667"),
        (0.92, 400, "but its interval reaches below 0.8"),
        (0.88, 4000, "between 0.667 and 0.8: fit for tentative conclusions only (Krippendorff 2004)."),
        (0.6, 200, "below 0.667: too unreliable to draw conclusions from (Krippendorff 2004)."),
    ],
)
def test_conclusion(right: float, n: int, said: str):
    truth = ["a", "b"] * (n // 2)
    wrong = round(n * (1 - right))
    other = [{"a": "b", "b": "a"}[code] if at < wrong else code for at, code in enumerate(truth)]
    result = agreement({"A": truth, "B": other})
    assert said in result.conclusion
    assert str(result).endswith(result.conclusion)


def test_table_is_aligned():
    lines = str(agreement(simulated() | {"a long name of a coder": simulated(seed=2)["c0"]})).splitlines()
    table = lines[2 : lines.index("", 2)]
    at = table[0].index("value") + len("value")
    figures = [line for line in table[1:] if line[:at].strip() and len(line) >= at]
    assert len(figures) == 3 + 6 + 6 + 3
    assert all(line[at - 4] == "." and line[at : at + 2] == "  " for line in figures)


app = typer.Typer()
app.command()(command)
TEXTS = (
    "We must send troops now.",
    "Send the soldiers; the allies need them.",
    "No soldier should ever be sent there.",
    "Sending troops would be a grave mistake.",
    "Parliament debates the deployment on Tuesday.",
    "The committee met on Monday.",
)
STANCES = ("support", "support", "oppose", "oppose", "neutral", "neutral")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


def write(path: Path, rows: Sequence[Sequence[object]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def sheet(folder: Path, *more: Sequence[object]) -> Path:
    rows = [[text, stance, stance.title() + " "] for text, stance in zip(TEXTS, STANCES, strict=True)]
    return write(folder / "coded.csv", [["text", "anna", "ben"], *rows, *more])


def test_command_with_columns(tmp_path: Path):
    result = run(
        sheet(tmp_path, ["T", "support", ""], ["", "", "oppose"], ["U", "support", "oppose"]), "--coders", "anna, ben"
    )
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert result.stdout.startswith("7 units, 2 coders: anna, ben")
    assert "count nowhere: 2." in result.stdout


def test_command_as_json(tmp_path: Path):
    path = sheet(tmp_path)
    found = json.loads(run(path, "--coders", "anna,ben", "--json").stdout)
    assert (found["n"], found["alpha"]["value"], found["pairs"][0]["coders"]) == (6, 1, ["anna", "ben"])
    assert [each["category"] for each in found["categories"]] == ["support", "oppose", "neutral"]


def test_command_names_broken_rows(tmp_path: Path):
    path = sheet(tmp_path, ["too", "few"], *[["a", "support", "support", "many"]] * 6)
    with path.open("ab") as file:
        file.write("Text,support,unterst\u00fctzt\n".encode("latin-1"))
    result = run(path, "--coders", "anna,ben", "--json")
    assert json.loads(result.stdout)["n"] == 6
    assert "coded.csv, line 8: left out: 2 cells, the header has 3" in result.stderr
    assert "8 rows left out in all, the first 5 are named" in result.stderr
    path.write_bytes(b"anna,ben\nx,x\ny,y\nx,\xfc\n")
    assert "line 4: left out: ben is not UTF-8" in run(path, "--coders", "anna,ben").stderr


def test_command_with_json_lines(tmp_path: Path):
    rows: list[dict[str, object]] = [{"a": 1, "b": "1"}, {"a": 2, "b": 2.0}, {"a": None, "b": 3}, {"b": 3}]
    path = tmp_path / "coded.jsonl"
    path.write_text("\n".join([*map(json.dumps, rows), "{broken"]))
    result = run(path, "--coders", "a,b", "--json")
    found = json.loads(result.stdout)
    assert (found["n"], found["left_out"], found["alpha"]["value"]) == (2, 2, 1)
    assert "line 5: left out: not JSON" in result.stderr


def test_command_with_a_workbook(tmp_path: Path):
    book = openpyxl.Workbook()
    for row in (["a", "b"], [1, "1"], [2, 2.0], [None, 3], [4, 5]):
        book.active.append(row)
    book.save(tmp_path / "coded.xlsx")
    found = json.loads(run(tmp_path / "coded.xlsx", "--coders", "a,b", "--json").stdout)
    assert (found["n"], found["left_out"], found["percent_agreement"]["value"]) == (3, 1, pytest.approx(2 / 3))


def test_command_names_the_file_of_too_few_units(tmp_path: Path):
    path = write(tmp_path / "coded.csv", [["anna", "ben"], ["x", "x"]])
    assert f"{path}: 1 of 1 units" in str(run(path, "--coders", "anna,ben").exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--coders", "anna,carla,dan"], "no column 'carla', 'dan'; it has 'text', 'anna', 'ben'"),
        (["--coders", "carla,anna"], "no column 'carla'; it has 'text', 'anna', 'ben'"),
        (["--coders", "anna,model", "--text-column", "body"], "no column 'body'; it has"),
    ],
)
def test_command_without_the_columns(tmp_path: Path, arguments: list[str], message: str):
    result = run(sheet(tmp_path), *arguments)
    assert isinstance(result.exception, FileError)
    assert message in str(result.exception)


@pytest.mark.parametrize(
    "arguments",
    [["--coders", "anna"], ["--coders", "anna,anna"], [], ["--coders", "anna,ben", "--text-column", "text"]],
)
def test_command_wrongly_used(tmp_path: Path, arguments: list[str]):
    assert run(sheet(tmp_path), *arguments).exit_code == 2


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch, clf: StanceClassifier) -> Callable[[], list[Any]]:
    """The shipped classifier, loaded once; gives the names that were asked for."""
    asked: list[Any] = []
    monkeypatch.setattr(StanceClassifier, "from_pretrained", lambda name: asked.append(name) or clf)
    return lambda: asked


def test_command_with_the_model_as_coder(tmp_path: Path, loaded: Callable[[], list[Any]], clf: StanceClassifier):
    result = run(sheet(tmp_path, ["", "support", "support"]), "--coders", "anna,ben,model", "--model", "m", "--json")
    found = json.loads(result.stdout)
    labels = [prediction.label for prediction in clf.predict(TEXTS)]
    expected = agreement({"anna": list(STANCES), "model": labels})
    assert loaded() == ["m"]
    assert (found["coders"], found["n"], found["fleiss_kappa"]["n"]) == (["anna", "ben", "model"], 7, 6)
    assert found["pairs"][1]["coders"] == ["anna", "model"]
    assert found["pairs"][1]["kappa"]["value"] == pytest.approx(expected.pairs[0].kappa.value)
    assert "1 rows without a text" in result.stderr


def test_command_says_that_the_model_has_other_categories(tmp_path: Path, loaded: Callable[[], list[Any]]):
    path = write(tmp_path / "coded.csv", [["text", "anna"], *([text, "pro"] for text in TEXTS)])
    assert "no category in common" in run(path, "--coders", "anna,model").stderr


def test_command_with_a_column_called_model(tmp_path: Path, loaded: Callable[[], list[Any]]):
    path = write(tmp_path / "coded.csv", [["anna", "model"], ["x", "x"], ["y", "y"]])
    assert run(path, "--coders", "model,anna").exit_code == 0
    assert run(path, "--coders", "model,anna", "--model", "m").exit_code == 2
    assert loaded() == []
