"""Comparing two sets of predictions: known values, symmetry, honest intervals."""

import json
import sys
from math import comb
from pathlib import Path

import numpy as np
import openpyxl
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score
from typer.testing import CliRunner

from stancelib import FileError, InputError, MissingExtraError, ModelError
from stancelib.checkpoint import shipped
from stancelib.commands.compare import compare as command
from stancelib.comparison import compare

LABEL = st.sampled_from(["support", "oppose", "neutral", "ünsure"])
ROWS = st.lists(st.tuples(LABEL, LABEL, LABEL), min_size=1, max_size=40)

app = typer.Typer()
app.command()(command)


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def noisy(rng: np.random.Generator, gold: list[str], right: float) -> list[str]:
    return [label if rng.random() < right else "xyz"[("xyz".index(label) + 1) % 3] for label in gold]


@given(ROWS)
@settings(deadline=None)
def test_agrees_with_sklearn(rows):
    gold, a, b = map(list, zip(*rows, strict=True))
    result = compare(gold, a, b, resamples=20)
    for found, accuracy, f1 in zip((a, b), result.accuracy, result.macro_f1, strict=True):
        assert accuracy.value == pytest.approx(accuracy_score(gold, found))
        assert f1.value == pytest.approx(f1_score(gold, found, average="macro", zero_division=0))
    assert result.disagreements == tuple(i for i in range(len(gold)) if a[i] != b[i])


@given(ROWS, st.booleans())
@settings(deadline=None)
def test_swapping_flips_the_signs(rows, grouped):
    gold, a, b = map(list, zip(*rows, strict=True))
    groups = [i // 2 for i in range(len(gold))] if grouped and len(gold) > 2 else None
    one, other = (compare(gold, *pair, resamples=50, groups=groups) for pair in ((a, b), (b, a)))
    for x, y in (
        (one.accuracy_difference, other.accuracy_difference),
        (one.macro_f1_difference, other.macro_f1_difference),
    ):
        assert (x.value, x.low, x.high) == pytest.approx((-y.value, -y.high, -y.low))
    assert one.mcnemar.p_value == pytest.approx(other.mcnemar.p_value)
    assert (one.mcnemar.only_a_right, one.mcnemar.only_b_right) == (
        other.mcnemar.only_b_right,
        other.mcnemar.only_a_right,
    )


@given(ROWS)
@settings(deadline=None)
def test_with_itself_nothing_differs(rows):
    gold, a, _ = map(list, zip(*rows, strict=True))
    result = compare(gold, a, a, resamples=20)
    for each in (result.accuracy_difference, result.macro_f1_difference):
        assert (each.value, each.low, each.high) == (0, 0, 0)
    assert result.mcnemar.p_value == 1
    assert "say the same" in result.conclusion


def test_mcnemar_by_hand():
    # 1 row only A right, 7 only B: p = 2 * (C(8,0) + C(8,1)) / 2**8 = 18 / 256
    gold = ["x"] * 12
    a = ["x"] * 2 + ["y"] * 2 + ["x"] + ["y"] * 7
    b = ["x"] * 2 + ["y"] * 2 + ["y"] + ["x"] * 7
    m = compare(gold, a, b).mcnemar
    assert (m.both_right, m.only_a_right, m.only_b_right, m.both_wrong) == (2, 1, 7, 2)
    assert m.p_value == pytest.approx(18 / 256)


@given(ROWS)
@settings(deadline=None)
def test_mcnemar_is_twice_the_binomial_tail(rows):
    m = compare(*map(list, zip(*rows, strict=True)), resamples=1).mcnemar
    n = m.only_a_right + m.only_b_right
    tail = sum(comb(n, k) for k in range(min(m.only_a_right, m.only_b_right) + 1)) / 2**n
    assert m.p_value == pytest.approx(min(1, 2 * tail))


def test_a_difference_that_all_rows_show_is_judged_by_how_many_they_are():
    for n, told in ((1, "This one row does not tell"), (5, "do not tell"), (6, "B is right more often")):
        for groups in (None, list(range(n)))[: min(n, 2)]:
            assert told in compare(["x"] * n, ["y"] * n, ["x"] * n, groups=groups).conclusion, (n, groups)


def test_conclusions():
    gold = ["x", "y"] * 200
    wrong = {"x": "y", "y": "x"}
    good = [wrong[g] if i < 20 else g for i, g in enumerate(gold)]
    bad = [wrong[g] if i < 100 else g for i, g in enumerate(gold)]
    assert compare(gold, bad, good, names=("old", "new")).conclusion.startswith("new is right more often than old: ")
    assert compare(gold, good, bad, names=("new", "old")).conclusion.startswith("new is right more often than old: ")
    assert compare(gold[:4], bad[98:102], good[98:102]).conclusion.startswith("These 4 rows do not tell")
    # A rare class that only B finds: macro-F1 gains much, accuracy hardly.
    rare = ["x"] * 300 + ["z"] * 5
    result = compare(rare, ["x"] * 305, rare)
    assert result.mcnemar.p_value > 0.05
    assert result.macro_f1_difference.low > 0
    assert result.conclusion.startswith("The measures disagree")


def test_groups_widen_the_interval():
    rng = np.random.default_rng(0)
    gold = [str(x) for x in rng.choice(list("xyz"), 60)]
    a, b = noisy(rng, gold, 0.6), noisy(rng, gold, 0.7)
    groups = [i for i in range(60) for _ in range(5)]
    repeated = [[x for x in labels for _ in range(5)] for labels in (gold, a, b)]
    plain, clustered = compare(*repeated), compare(*repeated, groups=groups)
    for x, y in (
        (plain.macro_f1_difference, clustered.macro_f1_difference),
        (plain.accuracy[0], clustered.accuracy[0]),
    ):
        assert x.value == y.value
        assert y.high - y.low > 1.8 * (x.high - x.low)  # sqrt(5) = 2.2
    assert clustered.groups == 60
    assert "in 60 groups" in clustered.conclusion


def test_intervals_cover_the_true_difference():
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(200):
        gold = [str(x) for x in rng.choice(list("xyz"), 200)]
        difference = compare(gold, noisy(rng, gold, 0.6), noisy(rng, gold, 0.7), resamples=400).accuracy_difference
        covered += difference.low <= 0.1 <= difference.high
    assert 0.89 <= covered / 200 <= 0.99


def test_the_same_seed_gives_the_same_and_all_is_plain():
    result = compare(["x", "y", "z"], ["x", "y", "y"], ["x", "z", "z"])
    assert result == compare(["x", "y", "z"], ["x", "y", "y"], ["x", "z", "z"])
    assert json.loads(json.dumps(result.to_dict())) == result.to_dict()
    assert "2 disagreements, at 1, 2" in str(result)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((["x"], ["x", "y"], ["x"]), {}, "gold has 1, a has 2, b has 1"),
        (([], [], []), {}, "no rows"),
        ((["x", "y"], ["x", None], ["x", "y"]), {}, r"a\[1\] is None"),
        ((["x", " "], ["x", "y"], ["x", "y"]), {}, r"gold\[1\] is ' '"),
        ((["x", "y"], ["x", "y"], ["x", float("nan")]), {}, r"b\[1\] is nan"),
        ((["x", "y"], ["x", "y"], ["x", "y"]), {"groups": [1]}, "groups has 1"),
        ((["x", "y"], ["x", "y"], ["x", "y"]), {"groups": [1, None]}, r"groups\[1\] is None"),
        ((["x", "y"], ["x", "y"], ["x", "y"]), {"groups": [1, 1]}, "one group"),
        ((["x"], ["x"], ["x"]), {"resamples": 0}, "at least 1"),
    ],
)
def test_errors(arguments, options, message):
    with pytest.raises(InputError, match=message):
        compare(*arguments, **options)


def test_without_scipy(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    with pytest.raises(MissingExtraError, match=r"stancelib\[eval\]"):
        compare(["x"], ["x"], ["x"])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.csv"
    path.write_text(
        "text,label,theirs,ours,speech\n"
        "Send troops now.,support,support,support,1\n"
        "Bring them home.,oppose,neutral,oppose,1\n"
        ",oppose,oppose,oppose,2\n"
        "The council meets today.,,neutral,neutral,2\n"
        "The vote is on Monday.,neutral,neutral,neutral,2\n"
    )
    return path


def test_command_with_columns(data):
    result = run("theirs", "ours", data)
    assert result.exit_code == 0, result.output
    assert "macro-F1" in result.stdout
    assert "line 3: oppose; theirs neutral, ours oppose: Bring them home." in result.stdout
    assert "2 rows left out (line 4: " in result.stderr
    assert "line 5: no 'label'" in result.stderr


def test_command_json_and_groups(data):
    content = json.loads(run("theirs", "ours", data, "--json", "--group-column", "speech").stdout)
    assert (content["n"], content["groups"]) == (3, 2)
    assert content["disagreements"] == [
        {"line": 3, "text": "Bring them home.", "gold": "oppose", "a": "neutral", "b": "oppose"}
    ]
    assert [each["line"] for each in content["left_out"]] == [4, 5]


@pytest.mark.skipif(not shipped(), reason="no shipped model")
def test_command_with_a_model(data):
    result = run(next(iter(shipped())), "theirs", data, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["n"] == 3


def test_command_with_a_workbook(data, tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["notes"])
    sheet = book.create_sheet("coded")
    for line in data.read_text().splitlines():
        sheet.append([cell or None for cell in line.split(",")])
    book.save(tmp_path / "data.xlsx")
    result = run("theirs", "ours", tmp_path / "data.xlsx", "--json")
    assert result.exit_code == 0, result.output
    found, expected = (json.loads(out) for out in (result.stdout, run("theirs", "ours", data, "--json").stdout))
    assert found["accuracy"] == expected["accuracy"]
    assert [each["row"] for each in found["left_out"]] == [4, 5]
    assert "sheet 'coded'" in result.stderr


def test_command_tells_of_labels_that_no_row_has(data):
    text = data.read_text().replace("support,support,support", "support,pro,support")
    data.write_text(text)
    assert "theirs has labels that no row has: 'pro' (1)" in run("theirs", "ours", data).stderr


def test_command_names_the_file_of_what_can_not_be_compared(data):
    data.write_text("text,label,p,q,g\nA text.,x,x,y,1\n")
    assert str(run("p", "q", data, "--group-column", "g").exception).startswith(f"{data}: all rows are of one group")


def test_command_errors(data, tmp_path):
    assert isinstance(run("theirs", "ours", data, "--label-column", "no").exception, FileError)
    assert isinstance(run("theirs", "ours", data, "--group-column", "no").exception, FileError)
    error = run("theirs", tmp_path / "nothing", data).exception
    assert isinstance(error, ModelError)
    assert "is no column" in str(error)
    (tmp_path / "b.csv").write_text("text,p,q\nSend them.,x,y\n")
    assert "--label-column" in str(run("p", "q", tmp_path / "b.csv").exception)
