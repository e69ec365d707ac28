"""Shares corrected with a gold sample: the intervals hold what they promise, and files are joined with care."""

import csv
import json
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from stancelib import LABELS, FileError, InputError, MissingExtraError
from stancelib.commands.prevalence import prevalence as command
from stancelib.shares import prevalence

SHARES = (0.2, 0.3, 0.5)
BIASED = np.array([[0.7, 0.05, 0.25], [0.05, 0.6, 0.35], [0.02, 0.03, 0.95]])
GOOD = np.array([[0.95, 0.02, 0.03], [0.03, 0.94, 0.03], [0.02, 0.02, 0.96]])


def draw(rng: np.random.Generator, confusion: np.ndarray, n: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    truth = rng.choice(3, n, p=SHARES)
    return truth, (rng.random((n, 1)) > confusion.cumsum(axis=1)[truth]).sum(axis=1).clip(max=2)


def named(values: np.ndarray, coded: int | None = None) -> list[str | None]:
    return [LABELS[v] if coded is None or at < coded else None for at, v in enumerate(values)]


def test_intervals_hold_what_they_promise():
    rng = np.random.default_rng(5)
    corrected, naive = np.zeros(3), np.zeros(3)
    for _ in range(400):
        truth, predicted = draw(rng, BIASED)
        for at, share in enumerate(prevalence(named(predicted), named(truth, 200)).overall.shares):
            assert share.corrected_interval
            corrected[at] += share.corrected_interval[0] <= SHARES[at] <= share.corrected_interval[1]
            naive[at] += share.naive_interval[0] <= SHARES[at] <= share.naive_interval[1]
    assert ((corrected / 400 >= 0.92) & (corrected / 400 <= 0.98)).all(), corrected / 400
    assert (naive / 400 < 0.2).all(), naive / 400


def test_narrower_than_gold_only_for_a_good_classifier():
    rng = np.random.default_rng(1)
    widths = []
    for _ in range(20):
        truth, predicted = draw(rng, GOOD)
        for row in prevalence(named(predicted), named(truth, 200)).rows():
            widths.append((row["corrected_high"] - row["corrected_low"], row["gold_high"] - row["gold_low"]))
    corrected, gold = np.mean(widths, axis=0)
    assert corrected < 0.7 * gold


@pytest.mark.parametrize("soft", [False, True])
def test_shares_add_up_to_1(soft: bool):
    rng = np.random.default_rng(2)
    truth, predicted = draw(rng, BIASED)
    given: Any = rng.dirichlet((1, 1, 1), 2000) + np.eye(3)[predicted] if soft else named(predicted)
    result = prevalence(given / 2 if soft else given, named(truth, 100)).overall
    assert sum(share.corrected or 0 for share in result.shares) == pytest.approx(1)
    assert result.weight is not None
    assert 0 < result.weight < 1


def test_against_the_formula_by_hand():
    # Two labels: 10 coded rows, 5 of them "a", one predicted wrongly; 30 others, 20 predicted "a".
    predicted = list("aaaabbbbbb") + ["a"] * 20 + ["b"] * 10
    result = prevalence(predicted, [*"aaaaabbbbb", *[None] * 30], labels="ab")
    weight = (0.2 / 0.9 * 10 / 10) / ((1 + 10 / 30) * (0.24 / 0.9))  # cov(Y, f) = 0.4 - 0.5 * 0.4
    assert result.overall.weight == pytest.approx(weight)
    share = result.overall.shares[0]
    assert share.corrected == pytest.approx(weight * 2 / 3 + 0.5 - weight * 0.4)
    residual = np.array([1 - weight] * 4 + [1] + [0] * 5)
    error = 1.959964 * np.sqrt(weight**2 * np.var([1] * 20 + [0] * 10, ddof=1) / 30 + residual.var(ddof=1) / 10)
    assert share.corrected_interval == pytest.approx((share.corrected - error, min(1, share.corrected + error)))


def test_no_errors_no_correction():
    truth, _ = draw(np.random.default_rng(3), GOOD)
    for share in prevalence(named(truth), named(truth, 50)).overall.shares:
        assert share.corrected == pytest.approx(share.naive)


def test_all_rows_coded_or_one_prediction_only():
    truth, predicted = draw(np.random.default_rng(4), GOOD, 100)
    for given, coded in ((named(predicted), 100), (["neutral"] * 100, 30)):
        result = prevalence(given, named(truth, coded)).overall
        assert result.weight == 0
        assert [share.corrected for share in result.shares] == pytest.approx([share.gold for share in result.shares])


def test_groups():
    truth, predicted = draw(np.random.default_rng(6), GOOD, 100)
    groups = ["b"] * 50 + ["a"] * 48 + [None, None]
    result = prevalence([*named(predicted)[:99], None], named(truth, 55), groups=groups)
    small, large = result.groups
    assert (small.group, small.n, small.n_gold, large.group, large.n, large.n_gold) == ("a", 48, 5, "b", 50, 50)
    assert (result.overall.n, result.left_out) == (99, 1)
    assert small.shares[0].corrected is None
    assert "5 gold rows" in (small.note or "")
    assert "a: 5 gold rows" in str(result)
    assert len(result.rows()) == 9
    assert json.loads(json.dumps(result.to_dict()))["groups"][1]["n"] == 50


@pytest.mark.parametrize(
    ("predicted", "gold", "message"),
    [
        (["support"] * 20, ["support"] * 19, "20 predictions, but 19 gold"),
        (["support"] * 20, [*["support"] * 19, "pro"], "gold, row 19: 'pro'"),
        ([*["support"] * 19, "unsure"], ["support"] * 20, "predicted, row 19: 'unsure'"),
        (["support"] * 20, [*["support"] * 9, *[None] * 11], "9 gold rows"),
        (np.ones((20, 3)), ["support"] * 20, "row 0"),
        (np.ones((20, 2)), ["support"] * 20, "shape"),
    ],
)
def test_errors(predicted: Any, gold: Sequence[str | None], message: str):
    with pytest.raises(InputError, match=message):
        prevalence(predicted, gold)


def test_without_scipy(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(MissingExtraError, match=r"stancelib\[eval\]"):
        prevalence(["support"] * 20, ["support"] * 20)


app = typer.Typer()
app.command()(command)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


def write(path: Path, rows: Sequence[Sequence[object]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def files(folder: Path, more: Sequence[Sequence[object]] = (), gold: Sequence[Sequence[object]] = ()) -> list[object]:
    rows = [[f"r{at}", f"Text {at}.", LABELS[at % 3], f"2024-0{1 + at % 2}-03"] for at in range(60)]
    corpus = write(folder / "p.csv", [["id", "text", "stance", "date"], *rows, *more])
    sample = write(folder / "g.csv", [["id", "label"], *[[row[0], row[2]] for row in rows[:24]], *gold])
    return [corpus, "--gold", sample]


def test_command(tmp_path: Path):
    result = run(*files(tmp_path))
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert "all    support  60  24      0.333" in result.stdout


def test_command_with_other_labels(tmp_path: Path):
    rows = [[at, "1.0" if at % 4 else "2"] for at in range(60)]
    corpus = write(tmp_path / "p.csv", [["id", "stance"], *rows])
    sample = write(tmp_path / "g.csv", [["id", "code"], *rows[:20]])
    result = run(corpus, "--gold", sample, "--gold-column", "code", "--labels", "2, 1", "--json")
    assert result.exit_code == 0, result.output
    shares = json.loads(result.stdout)["overall"]["shares"]
    assert [(share["label"], share["naive"], share["gold"]) for share in shares] == [
        ("2", 0.25, 0.25),
        ("1", 0.75, 0.75),
    ]
    assert run(corpus, "--gold", sample, "--labels", "1").exit_code == 2
    assert "no prediction of support, oppose, neutral; name" in str(
        run(corpus, "--gold", sample, "--gold-column", "code").exception
    )


def test_command_with_workbooks(tmp_path: Path):
    corpus, option, sample = files(tmp_path)
    for path in (corpus, sample):
        book = openpyxl.Workbook()
        for row in csv.reader(Path(str(path)).read_text().splitlines()):
            book.active.append([date.fromisoformat(cell) if cell.startswith("2024") else cell for cell in row])
        book.save(Path(str(path)).with_suffix(".xlsx"))
    result = run(tmp_path / "p.xlsx", option, tmp_path / "g.xlsx", "--period", "month", "--json")
    assert json.loads(result.stdout) == json.loads(run(corpus, option, sample, "--period", "month", "--json").stdout)


def test_command_by_period(tmp_path: Path):
    result = run(*files(tmp_path, more=[["r99", "T", "support", "soon"]]), "--period", "month", "--json")
    assert [group["group"] for group in json.loads(result.stdout)["groups"]] == ["2024-01", "2024-02"]
    assert "p.csv, line 62: date is 'soon'" in result.stderr


def test_command_names_rows_that_it_cannot_use(tmp_path: Path):
    more = [["r0", "Text 0.", "support", "2024-01-03"], ["r98", "T", "", ""]]
    gold = [["r0", "support"], ["r77", "support"], ["r30", "pro"]]
    result = run(*files(tmp_path, more, gold))
    assert result.exit_code == 0, result.output
    for said in ("p.csv, line 62: as line 2", "p.csv, line 63: no stance", "g.csv, line 26: as line 2"):
        assert said in result.stderr
    assert "g.csv, line 27: 'r77' is not among" in result.stderr
    assert "g.csv, line 28: label is 'pro'" in result.stderr


@pytest.mark.parametrize(
    ("more", "gold", "message"),
    [
        ([["r0", "Text 0.", "oppose", "2024-01-03"]], [], "line 62: 'r0' is also in line 2"),
        ([], [["r0", "oppose"]], "line 26: 'r0' is coded oppose, but support in line 2"),
        ([["r98", "T", "unsure", ""]], [], "line 62.*without --abstain-below"),
    ],
)
def test_command_stops(tmp_path: Path, more: Any, gold: Any, message: str):
    result = run(*files(tmp_path, more, gold))
    assert isinstance(result.exception, FileError)
    with pytest.raises(FileError, match=message):
        raise result.exception


def test_command_joins_by_text_and_prefers_probabilities(tmp_path: Path):
    rows = [[f"Text {at}.", "unsure", 0.5, 0.3, 0.2] for at in range(40)]
    corpus = write(tmp_path / "p.csv", [["text", "stance", *[f"p_{label}" for label in LABELS]], *rows])
    sample = write(tmp_path / "g.csv", [["sentence", "gold"], *[[row[0], "support"] for row in rows[:12]]])
    result = run(corpus, "--gold", sample, "--json")
    assert json.loads(result.stdout)["overall"]["shares"][0]["naive"] == pytest.approx(0.5)


def test_command_with_numbers_for_keys(tmp_path: Path):
    rows = [{"id": at, "stance": LABELS[at % 3], "gold": LABELS[at % 3]} for at in range(40)]
    for name, some in (("p.jsonl", rows), ("g.jsonl", rows[:12])):
        (tmp_path / name).write_text("\n".join(map(json.dumps, some)))
    result = run(tmp_path / "p.jsonl", "--gold", tmp_path / "g.jsonl", "--json")
    assert json.loads(result.stdout)["overall"]["n_gold"] == 12
