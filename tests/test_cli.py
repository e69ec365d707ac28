"""The command line as people use it."""

import csv
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import REPOSITORY, python

import stancelib

SENTENCES = ["Norda rules out soldiers on the ground.", "We must send peacekeepers now.", "The vote is on Tuesday."]
COMMAND = [sys.executable, "-m", "stancelib.cli"]


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    path = tmp_path / "speech.txt"
    path.write_text("\n".join(SENTENCES) + "\n")
    return path


def test_sentences_give_a_table(stance):
    ran = stance("predict", *SENTENCES)
    assert ran.code == 0
    assert ran.err == ""
    head, *rows = ran.out.splitlines()
    assert head.split() == ["label", "conf", "sentence"]
    for row, text, expected in zip(rows, SENTENCES, stancelib.predict(SENTENCES), strict=True):
        assert row == f"{expected.label:<7}  {expected.confidence:.2f}  {text}"


def test_a_pipe_gets_long_lines_whole_and_no_colour(stance):
    long = "Send them " + "and send them again " * 20
    ran = stance("predict", long)
    assert "\x1b" not in ran.out
    assert long.strip() in ran.out


def test_a_terminal_gets_colour_and_wrapping():
    leader, follower = pty.openpty()
    environment = {**os.environ, "COLUMNS": "60", "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    text = "Norda rules out soldiers on the ground, \x1b[31mwhatever its neighbours and its allies may say about it."
    ran = subprocess.Popen([*COMMAND, "predict", text], stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    out = b""
    while True:
        try:
            chunk = os.read(leader, 4096)
        except OSError:  # how a pseudo-terminal says that the other end is closed
            break
        if not chunk:
            break
        out += chunk
    assert ran.wait(60) == 0
    shown = out.decode()
    assert "\x1b[3" in shown
    assert "\x1b[31mwhatever" not in shown  # escape codes of a text never reach the terminal
    assert all(len(line) < 60 + 20 for line in shown.splitlines())


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_a_file_is_written_in_the_format_of_its_ending(stance, lines: Path, tmp_path: Path, kind: str):
    target = tmp_path / f"out.{kind}"
    ran = stance("predict", lines, "--output", target)
    assert ran.code == 0, ran.err
    assert f"3 predictions in {target}" in ran.err
    if kind == "parquet":
        rows = pq.read_table(target).to_pylist()
    elif kind == "jsonl":
        rows = [json.loads(line) for line in target.read_text().splitlines()]
    else:
        rows = list(csv.DictReader(target.open(), delimiter="\t" if kind == "tsv" else ","))
    assert [row["text"] for row in rows] == SENTENCES
    for row, expected in zip(rows, stancelib.predict(SENTENCES), strict=True):
        assert row["stance"] == expected.label
        assert float(row["p_oppose"]) == pytest.approx(expected.probabilities["oppose"], abs=1e-3)


def test_columns_are_kept_and_bad_rows_reported(stance, tmp_path: Path):
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text(f"id,body,label\n1,{SENTENCES[0]},gold\n2,,gold\n3,{SENTENCES[1]},gold\n")
    ran = stance("predict", source, "-c", "body", "-o", target)
    assert ran.code == 0
    assert "1 of 3 rows could not be used: line 3: a blank text" in ran.err
    rows = list(csv.DictReader(target.open()))
    assert [row["id"] for row in rows] == ["1", "2", "3"]
    assert [row["label"] for row in rows] == ["gold"] * 3
    assert rows[1]["stance"] == ""
    assert rows[1]["problem"] == "a blank text"


def test_format_without_output_goes_to_the_pipe(stance):
    ran = stance("predict", SENTENCES[0], "-f", "jsonl")
    assert json.loads(ran.out)["stance"] == stancelib.predict(SENTENCES[0]).label


def test_standard_input(lines: Path):
    ran = subprocess.run([*COMMAND, "predict", "-"], input=lines.read_text(), capture_output=True, text=True)
    assert ran.returncode == 0
    assert len(ran.stdout.splitlines()) == 4
    ran = subprocess.run([*COMMAND, "predict"], input="", capture_output=True, text=True)
    assert ran.returncode == 1
    assert "holds no text" in ran.stderr


def test_standard_input_in_another_format(stance):
    data = '{"body": "They must leave."}\n{"body": "\udce9t\udce9"}\n'.encode(errors="surrogateescape")
    command = [*COMMAND, "predict", "-", "--input-format", "jsonl", "-f", "jsonl"]
    ran = subprocess.run(command, input=data, capture_output=True)
    assert ran.returncode == 0, ran.stderr
    first, second = ran.stdout.splitlines()
    assert json.loads(first)["stance"] in stancelib.LABELS
    assert b'"body": "\xe9t\xe9"' in second  # as it came in
    assert b"not UTF-8" in second


def test_a_redirected_table_is_in_the_file_though_errors_go_to_a_terminal(lines: Path, tmp_path: Path):
    leader, follower = pty.openpty()
    target = tmp_path / "out.txt"
    with target.open("w") as out:
        ran = subprocess.run([*COMMAND, "predict", lines], stdout=out, stderr=follower, timeout=60)
    os.close(follower)
    os.close(leader)
    assert ran.returncode == 0
    assert [line.split("  ")[-1].strip() for line in target.read_text().splitlines()[1:]] == SENTENCES


def test_truncation_is_said(stance):
    ran = stance("predict", "No soldiers should go there. " * 60)
    assert ran.code == 0
    assert "only the beginning counted" in ran.out
    assert "1 of the texts had more than the model reads" in ran.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["predict", "no-such-file.csv"], 1, "no such file"),
        (["predict", "no such file.csv"], 1, "no such file"),
        (["predict", "{lines}", "{lines}"], 2, "one file at a time"),
        (["predict", "./folder/no-such-file"], 1, "no such file"),
        (["predict", "{lines}", "-o", "out.xyz"], 2, "end the name in"),
        (["predict", "{lines}", "-o", "out.csv", "-f", "table"], 2, "printed, not written"),
        (["predict", "{lines}", "-o", "{lines}", "-f", "csv"], 1, "exists already"),
        (["predict", "{lines}", "-o", "/no/such/folder/out.csv"], 1, "cannot be written"),
        (["predict", "{lines}", "-c", "body"], 1, "no column 'body'"),
        (["predict", "{lines}", "-f", "parquet"], 1, "pipe"),
        (["predict", "{lines}", "-m", "no-such-model"], 1, "models that ship"),
        (["predict", "{lines}", "-f", "pdf"], 2, "Invalid value"),
        (["predict", ""], 1, "blank"),
        (["predict", "{lines}", "--backend", "onnx", "--device", "cuda"], 2, "onnx backend runs on the CPU"),
        (["forecast"], 2, "No such command"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_errors_are_one_clear_line(stance, lines: Path, arguments: list[str], code: int, said: str):
    ran = stance(*(argument.format(lines=lines) for argument in arguments))
    assert ran.code == code
    assert said in " ".join(ran.err.split())
    assert "Traceback" not in ran.err + ran.out


ARTICLE = "Norda rules out soldiers on the ground.\n\nSudria wants to send two brigades, its prime minister said.\n"


@pytest.fixture
def article(tmp_path: Path) -> Path:
    path = tmp_path / "article.txt"
    path.write_text(ARTICLE)
    return path


def test_an_article_gives_its_stance_map(stance, article: Path):
    ran = stance("analyze", article)
    assert ran.code == 0, ran.err
    title, balance, head, *rows = ran.out.splitlines()
    assert title == "article"
    assert "balance" in balance
    assert head.split() == ["holder", "stance", "conf", "sentences", "evidence"]
    found = {row.split()[0]: row.split()[1] for row in rows}
    assert found["Norda"] == "oppose"
    assert found["Sudria"] == "support"


def test_an_article_becomes_a_page(stance, article: Path, tmp_path: Path):
    page = tmp_path / "out.html"
    assert stance("analyze", article, "--html", page).code == 0
    assert "Norda" in page.read_text()
    again = stance("analyze", article, "--html", page)
    assert again.code == 1
    assert "exists already" in again.err
    assert stance("analyze", article, "--html", page, "--overwrite").code == 0


def test_many_documents_become_tables(stance, article: Path, tmp_path: Path):
    rows = [("a", "2024-05-17", ARTICLE.replace("\n", " ")), ("b", "2024-06-02", ""), ("c", "2024-06-03", SENTENCES[0])]
    source = tmp_path / "news.csv"
    with source.open("w", newline="") as file:
        csv.writer(file).writerows([("headline", "published", "body"), *rows])
    columns = ["-c", "body", "--date-column", "published", "--title-column", "headline"]
    ran = stance("analyze", source, *columns, "-o", tmp_path / "tables", "--html", tmp_path / "out.html")
    assert ran.code == 0, ran.err
    assert "2 documents in" in ran.err
    assert "left out: b: a blank text" in ran.err
    holders = list(csv.DictReader((tmp_path / "tables" / "holders.csv").open()))
    assert {(row["document"], row["holder"], row["stance"]) for row in holders} >= {
        ("a", "Norda", "oppose"),
        ("a", "Sudria", "support"),
        ("c", "Norda", "oppose"),
    }
    periods = list(csv.DictReader((tmp_path / "tables" / "periods.csv").open()))
    assert {(row["period"], row["holder"], row["oppose"]) for row in periods} >= {
        ("2024-05", "Norda", "1"),
        ("2024-06", "Norda", "1"),
    }
    sentences = list(csv.DictReader((tmp_path / "tables" / "sentences.csv").open()))
    assert [row["text"] for row in sentences if row["document"] == "c"] == [SENTENCES[0]]
    assert "<script" in (tmp_path / "out.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["no-such-file.txt"], 1, "no such file"),
        (["{empty}"], 1, "no text files"),
        (["{article}", "--date-column", "day", "{table}"], 1, "no column 'day'"),
        (["{table}", "-c", "body"], 1, "no column 'body'"),
        (["{blank}"], 1, "no text to read"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_errors_of_analyze_are_clear(stance, article: Path, tmp_path: Path, arguments: list[str], code: int, said: str):
    paths = {"article": article, "empty": tmp_path / "empty", "table": tmp_path / "t.csv", "blank": tmp_path / "b.txt"}
    paths["empty"].mkdir()
    paths["table"].write_text("text\nThey must leave.\n")
    paths["blank"].write_text(" \n")
    ran = stance("analyze", *(argument.format(**paths) for argument in arguments))
    assert ran.code == code
    assert said in " ".join(ran.err.split())
    assert "Traceback" not in ran.err + ran.out


def test_a_doubtful_stance_can_be_left_open(stance):
    ran = stance("predict", SENTENCES[0], "-f", "jsonl", "--abstain-below", "1")
    assert json.loads(ran.out)["stance"] == "unsure"


def test_help_teaches(stance):
    ran = stance("predict", "--help")
    assert ran.code == 0
    for word in ("Examples", "--text-column", "Exit codes", "OUTPUT.part"):
        assert word in ran.out


def test_info_tells_what_there_is(stance):
    ran = stance("info")
    assert ran.code == 0
    for word in (stancelib.__version__, "onnxruntime", "support, oppose, neutral", "as measured", "macro-F1", "base"):
        assert word in ran.out
    assert stance("--version").out.strip() == f"stancelib {stancelib.__version__}"


def test_head_ends_it_quietly(tmp_path: Path):
    path = tmp_path / "long.txt"
    path.write_text("They must leave now.\n" * 20_000)
    script = f"{' '.join(COMMAND)} predict {path} | head -n 2"
    ran = subprocess.run(["bash", "-c", f"set -o pipefail; {script}"], capture_output=True, text=True, timeout=120)
    assert len(ran.stdout.splitlines()) == 2
    assert ran.stderr == ""
    assert ran.returncode == 0


def test_ctrl_c_keeps_what_was_done(tmp_path: Path):
    source, target = tmp_path / "long.txt", tmp_path / "out.jsonl"
    source.write_text("".join(f"Leave {n}.\n" for n in range(200_000)))
    part = target.with_name("out.jsonl.part")
    ran = subprocess.Popen(
        [*COMMAND, "predict", source, "-o", target],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which shells ignore in the background
    )
    for _ in range(600):
        if part.exists() and part.stat().st_size > 0:
            break
        time.sleep(0.1)
    ran.send_signal(signal.SIGINT)
    try:
        _, err = ran.communicate(timeout=60)
    finally:
        ran.kill()
    assert ran.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in err
    assert not target.exists()
    rows = [json.loads(line) for line in part.read_text().splitlines()]
    assert [row["text"] for row in rows] == [f"Leave {n}." for n in range(len(rows))]
    assert rows


def test_the_sample_articles_are_read_line_by_line():
    for path in sorted((REPOSITORY / "seeds" / "texts").glob("*.txt")):
        sentences = [line for line in path.read_text().splitlines() if line.strip()]
        assert 12 <= len(sentences) <= 20, path
        ran = python("-m", "stancelib.cli", "predict", str(path))
        assert ran.returncode == 0
        assert len(ran.stdout.splitlines()) == len(sentences) + 1
