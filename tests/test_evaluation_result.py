"""`stancelib.evaluation.evaluate` and the forms that its result goes out in."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from conftest import python
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from typer.testing import CliRunner

from stancelib import FileError, InputError, StanceClassifier
from stancelib.commands.evaluate import evaluate as command
from stancelib.data import read_labelled
from stancelib.evaluation import Evaluation, evaluate, slices
from stancelib.evaluation.report import FILES
from stancelib.labels import LABELS

NASTY = "<script>alert(1)</script> & $x_1$ \\input{/etc/passwd} \x00\x1b[31m\ud800 “quoted”?"


def coded(n: int = 240, labels: tuple[str, ...] = LABELS, probabilities: bool = True) -> list[dict[str, Any]]:
    """Rows with texts, true labels, predictions that are mostly right, and columns to slice by."""
    rng = np.random.default_rng(1)
    rows = []
    for number in range(n):
        true = int(rng.integers(len(labels)))
        p = rng.dirichlet(0.6 + 3 * (np.arange(len(labels)) == true))
        row = {
            "text": f"Norda will {'not ' * (number % 3 == 0)}send {number} troops{'?' * (number % 4 == 0)}",
            "label": labels[true],
            "stance": labels[int(p.argmax())],
            "speech": f"speech {number // 6}",
            "year": 1990 + number % 36,
            "source": "rare" if number < 5 else f"paper {number % 2}",
            "tags": ["a", "b"] if number % 2 else [],
        }
        if probabilities:
            row |= {f"p_{label}": round(float(value), 4) for label, value in zip(labels, p, strict=True)}
        rows.append(row)
    return rows


@pytest.fixture(scope="module")
def measured() -> Evaluation:
    rows = coded()
    rows[0] = {**rows[0], "text": NASTY, "label": "support", "stance": "oppose", "source": "=1+1 <b>"}
    rows[0] |= {"p_support": 0.01, "p_oppose": 0.98, "p_neutral": 0.01}
    rows[1] = {**rows[1], "label": None}
    return evaluate(
        None,
        rows,
        prediction_column="stance",
        group_column="speech",
        slice_by=["source", "year", "tags"],
        resamples=300,
    )


def test_column_of_predictions(measured: Evaluation) -> None:
    assert measured.n == 239
    assert measured.n_groups == 40
    assert measured.left_out == (("rows[1]", "no label"),)
    assert measured.confusion.sum() == 239
    assert measured.figures["accuracy"].value == pytest.approx(measured.confusion.trace() / 239)
    both = [measured.per_class[label]["f1"].value for label in ("support", "oppose")]
    assert measured.figures["semeval_f1"].value == pytest.approx(np.mean(both))
    for name, figure in measured.figures.items():
        assert figure.low is not None, name
        assert figure.low <= figure.value <= figure.high, name
    assert measured.confident_errors[0].place == "rows[0]"
    assert measured.confident_errors[0].confidence == pytest.approx(0.98)
    assert measured.label_errors
    assert sum(part.accuracy.n for part in measured.reliability) == 239
    assert measured.risk_coverage[-1].coverage == 1
    assert measured.risk_coverage[-1].risk.value == pytest.approx(1 - measured.figures["accuracy"].value)


def test_model_and_its_own_predictions_agree(clf: StanceClassifier, tmp_path: Path) -> None:
    rows = [{"text": row["text"], "label": row["label"]} for row in coded(24)]
    done: list[int] = []
    by_model = evaluate(clf, rows, resamples=100, progress=done.append)
    answers = clf.predict([row["text"] for row in rows])
    by_predictions = evaluate(answers, rows, resamples=100)
    by_array = evaluate(clf.predict_proba([row["text"] for row in rows]), rows, resamples=100)
    assert done == [24]
    assert by_model.model == clf.checkpoint.name
    for other in (by_predictions, by_array):
        assert {k: f.value for k, f in other.figures.items()} == pytest.approx(
            {k: f.value for k, f in by_model.figures.items()}, abs=1e-6
        )


def test_any_estimator_and_any_labels() -> None:
    labels = ("1", "2", "3", "4", "5")
    rows = coded(100, labels)
    texts, gold = [row["text"] for row in rows], [row["label"] for row in rows]
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, gold)
    found = evaluate(model, rows, resamples=100)
    assert found.labels == labels
    assert "semeval_f1" not in found.figures
    assert found.figures["macro_f1"].value == pytest.approx(f1_score(gold, model.predict(texts), average="macro"))


def test_labels_alone_give_no_figures_of_probabilities(tmp_path: Path) -> None:
    rows = coded(probabilities=False)
    found = evaluate([row["stance"] for row in rows], rows, resamples=100)
    assert "log_loss" not in found.figures
    assert found.reliability == ()
    assert any("No probabilities" in note for note in found.notes)
    found.save_report(tmp_path / "report")
    assert not (tmp_path / "report" / "reliability.pdf").exists()


def test_probabilities_of_labels_mapped_to_one_are_added() -> None:
    rows = [
        {"text": f"text {i}", "label": ["pro", "very pro", "con"][i % 3], "predicted_stance": "very pro"}
        | {"predicted_p_pro": 0.4, "predicted_p_very pro": 0.5, "predicted_p_con": 0.1}
        for i in range(30)
    ]
    found = evaluate(
        None,
        rows,
        prediction_column="predicted_stance",
        label_map="pro=support,very pro=support,con=oppose",
        resamples=100,
    )
    assert found.labels == LABELS
    assert found.figures["log_loss"].value == pytest.approx(-(2 * np.log(0.9) + np.log(0.1)) / 3)


def test_abstentions_count_with_their_most_probable_label() -> None:
    rows = coded(60)
    whole = evaluate(None, rows, prediction_column="stance", resamples=100)
    unsure = evaluate(None, [{**row, "stance": "unsure"} for row in rows], prediction_column="stance", resamples=100)
    assert unsure.figures == whole.figures
    assert "60 rows are unsure" in unsure.notes[0]


def test_rows_without_a_prediction_are_left_out_and_said() -> None:
    rows = coded(60)
    for row in rows[10:13]:
        row |= {"stance": "", "p_support": "", "p_oppose": "", "p_neutral": ""}
    found = evaluate(None, rows, prediction_column="stance", slice_by=["source"], resamples=100)
    assert found.n == 57
    assert [place for place, _ in found.left_out] == ["rows[10]", "rows[11]", "rows[12]"]
    assert "3 of 60 rows have no prediction" in " ".join(found.notes)
    assert sum(part.n for part in found.slices["source"]) == 57


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"prediction_column": "label"}, "can't be both"),
        ({}, {"prediction_column": "nothing"}, "no column 'nothing'; it has 'text'"),
        ({}, {"prediction_column": "stance", "slice_by": ["nothing"]}, "no column 'nothing' to slice by"),
        ({"p_support": 1.7}, {"prediction_column": "stance"}, r"rows\[0\]: 1.7, .* are no probabilities"),
        ({"p_support": None}, {"prediction_column": "stance"}, r"rows\[0\]: nan"),
        ({"stance": "Support?"}, {"prediction_column": "stance"}, "no probabilities"),
        ({"label": "mixed"}, {"prediction_column": "stance"}, r"'mixed' \(1\), first in rows\[0\]"),
        ({}, {"model": ["support"]}, "1 predictions for 30 rows"),
        ({}, {"model": np.ones((30, 2)) / 2}, "an array of 2 columns"),
        ({}, {"prediction_column": "stance", "resamples": 5}, "at least 100"),
    ],
)
def test_what_does_not_fit_is_told(change: dict[str, Any], options: dict[str, Any], message: str) -> None:
    rows = coded(30)
    rows[0] |= change
    with pytest.raises(InputError, match=message):
        evaluate(options.pop("model", None), rows, **options)


def test_a_column_of_texts_is_no_column_of_labels() -> None:
    with pytest.raises(InputError, match="more than 100 can't be measured: is a column of labels one of texts"):
        evaluate(None, coded(probabilities=False), prediction_column="text", resamples=100)


def test_labels_of_one_side_are_told() -> None:
    rows = coded(60, probabilities=False)
    rows[0]["label"], rows[1]["stance"] = "unknown", "Pro"
    (note,) = (n for n in evaluate(None, rows, prediction_column="stance", resamples=100).notes if "Macro" in n)
    assert "in the data, never found: 'unknown' (1); found, never in the data: 'Pro' (1)" in note


@pytest.mark.parametrize("n", [1, 2])
def test_a_row_or_two_give_figures_and_a_report_without_intervals(n: int, tmp_path: Path) -> None:
    rows = [{**row, "label": row["stance"]} for row in coded(n)]
    found = evaluate(None, rows, prediction_column="stance", group_column="speech", slice_by=["year"], resamples=100)
    assert (found.n, found.figures["accuracy"].value, found.figures["accuracy"].low) == (n, 1, None)
    assert f"{n} row{'s' * (n > 1)} in 1 group\n" in str(found)
    found.save_report(tmp_path / "report")


def test_labels_that_the_model_can_not_give_are_told_before_it_runs(clf: StanceClassifier) -> None:
    rows = [{"text": "No troops.", "label": "against"}, {"text": "Troops now.", "label": "favor"}]
    with pytest.raises(InputError, match=r"'against' \(1\), 'favor' \(1\).*label map"):
        evaluate(clf, rows)


def test_same_seed_same_result_and_python_s_hashes_do_not_matter() -> None:
    rows = coded(120)
    one, other = (
        evaluate(None, rows, prediction_column="stance", group_column="speech", resamples=200) for _ in range(2)
    )
    assert one.to_json() == other.to_json()
    assert (
        one.figures["accuracy"]
        != evaluate(None, rows, prediction_column="stance", group_column="speech", resamples=200, seed=2).figures[
            "accuracy"
        ]
    )


def test_built_in_slices() -> None:
    texts = [
        "We will not send them.",
        "They can’t leave.",
        "A notable knot.",
        'He said "never mind" to us?',
        "‘Enough,’ she said. " + "word " * 30,
        "the soldiers' and officers' families",
    ]
    found = slices.built_in(texts)
    assert found["negation"]["a negation"] == [0, 1, 3]
    assert found["quotation"]["a quotation"] == [3, 4]
    assert found["question"]["a question mark"] == [3]
    assert found["length"] == {"up to 10 words": [0, 1, 2, 3, 5], "21 to 40 words": [4]}


def test_slices_by_column() -> None:
    data = read_labelled(
        [
            {"text": "a text", "label": "x", "many": f"v{min(i, 40)}", "number": i, "list": ["a", "b"][: i % 3]}
            for i in range(100)
        ]
        + [{"text": "a text", "label": "x"}]
    )
    many = slices.by_column(data, "many")
    assert next(iter(many)) == "v40"
    assert len(many["v40"]) == 60
    assert list(many)[-1] == "(13 other values)"
    assert sorted(row for rows in many.values() for row in rows) == list(range(101))
    quarters = slices.by_column(data, "number")
    assert [len(rows) for rows in quarters.values()] == [25, 25, 25, 25, 1]
    assert next(iter(quarters)) == "0 to 24"
    assert len(slices.by_column(data, "list")["a"]) == 66


def test_small_slices_are_marked(measured: Evaluation) -> None:
    rare = next(part for part in measured.slices["source"] if part.name == "rare")
    assert rare.small
    assert "source: rare" in str(measured)
    line = next(line for line in str(measured).splitlines() if line.startswith("source: rare"))
    assert f"{rare.n}*" in line
    assert "fewer than 20 rows" in str(measured)
    assert "$^*$" in measured.to_latex()


def test_terminal_table_can_not_steer_the_terminal(measured: Evaluation) -> None:
    assert all(character.isprintable() or character == "\n" for character in str(measured))


def test_json_and_csv_say_the_same(measured: Evaluation) -> None:
    told = json.loads(measured.to_json())
    rows = list(csv.DictReader(io.StringIO(measured.to_csv())))
    assert len(rows) == len(measured.figures) + 9 + 2 * sum(map(len, measured.slices.values()))
    for row in rows:
        assert int(row["n"]) >= 0
        if row["part"] == "all":
            assert float(row["value"]) == told["figures"][row["figure"]]["value"]
    assert told["confusion"] == measured.confusion.tolist()
    assert told["left_out"] == [{"place": "rows[1]", "reason": "no label"}]


def test_latex_is_booktabs_and_holds_no_command_of_the_data() -> None:
    labels = ("[x] 50 % & more_less", r"*\input{evil} $y^2$ #1")
    rows = coded(60, labels, probabilities=False)
    latex = evaluate(None, rows, prediction_column="stance", resamples=100).to_latex()
    assert latex.count(r"\begin{table}") == latex.count(r"\end{table}") == 3
    assert latex.count(r"\toprule") == latex.count(r"\midrule") == latex.count(r"\bottomrule") == 3
    assert r"\input" not in latex
    assert r"{[}x] 50 \% \& more\_less" in latex
    for table in re.findall(r"\\begin\{tabular\}\{(\w+)\}\n(.*?)\\end\{tabular\}", latex, re.DOTALL):
        spec, body = table
        for line in body.splitlines():
            if line.endswith(r"\\"):
                wide = line.count(r"\multicolumn{2}")
                assert len(re.findall(r"(?<!\\)&", line)) + 1 + wide == len(spec), line


class _Page(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value or "" for name, value in attrs if name == "id"]


def test_page_is_self_contained_and_escapes(measured: Evaluation) -> None:
    html = measured.to_html()
    page = _Page(html)
    assert page.tags.count("script") == 1  # that of the pages, allowed by its hash
    assert "alert(1)</script>" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert not [pair for pair in page.attributes if pair[0] == "style" or pair[0].startswith("on")]  # the policy
    links = [value for name, value in page.attributes if name in ("href", "src", "xlink:href")]
    assert all(value is not None and value.startswith("#") for value in links)
    assert {value[1:] for value in links} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert page.tags.count("svg") >= 3
    assert "var(--ink)" in html
    assert "#1c1b19" not in html.split("</style>")[1].lower()
    html.encode("utf-8")


def test_report_is_written_whole_and_never_over_another(measured: Evaluation, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "report"
    measured.save_report(folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "my notes.txt").write_text("mine")
    with pytest.raises(FileError, match="holds a report already"):
        measured.save_report(folder)
    measured.save_report(folder, overwrite=True)
    assert (folder / "my notes.txt").read_text() == "mine"
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert "'=1+1" in before["figures.csv"].decode() or "source: =1+1" in before["figures.csv"].decode()
    assert not re.search(rb'(^|,)"?[=+@]', before["errors.csv"] + before["figures.csv"], re.MULTILINE)


def test_report_where_none_can_be_written(measured: Evaluation, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="is a file"):
        measured.save_report(tmp_path / "file")
    (tmp_path / "report" / "evaluation.json").mkdir(parents=True)
    with pytest.raises(FileError, match="cannot be written"):
        measured.save_report(tmp_path / "report", overwrite=True)
    assert not list((tmp_path / "report").glob("*.part"))


def run(*arguments: object) -> Any:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def write(rows: list[dict[str, Any]], path: Path) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_command(tmp_path: Path) -> None:
    data = write(coded(90), tmp_path / "coded.csv")
    report = tmp_path / "report"
    options = ("--prediction-column", "stance", "--group-column", "speech", "--slice-by", "source", "-s", "year")
    done = run(data, *options, "--report", report)
    assert done.exit_code == 0, done.output
    assert "90 rows in 15 groups" in done.stdout
    assert "source: paper 1" in done.stdout
    assert f"stancelib: {report / 'evaluation.html'} written" in done.stderr
    again = run(data, *options, "--report", report)
    assert isinstance(again.exception, FileError)
    assert again.stdout == ""  # said before anything is measured
    assert json.loads(run(data, *options, "--json").stdout)["n"] == 90
    assert run(data, *options, "--csv").stdout.startswith("part,name,figure,value,low,high,n,small\n")
    assert r"\toprule" in run(data, *options, "--latex").stdout
    assert run(data, "--json", "--csv").exit_code == 2
    assert run(data, "--model", "base", "-p", "stance").exit_code == 2


def test_import_is_light() -> None:
    heavy = "torch", "sklearn", "scipy", "pandas", "matplotlib", "cleanlab"
    code = f"import sys, stancelib.evaluation; print([name for name in {heavy} if name in sys.modules])"
    assert python("-c", code).stdout.strip() == "[]"
