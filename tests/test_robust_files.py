"""Files that are written are whole or not there, whatever happens; files that are read may be of any kind.

(Shards have tests of their own, in test_shards.py.)
"""

import contextlib
import csv
import io
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import openpyxl
import pyarrow.parquet as pq
import pytest
from conftest import python
from small_model import small_model

from stancelib import FileError, data
from stancelib.data import read_labelled
from stancelib.sheets import Sheet, write_whole
from stancelib.tables import open_table

KINDS = ("csv", "jsonl", "parquet")
# The cases of spreadsheets and browsers that run what they are given.
ATTACKS = (
    '=HYPERLINK("http://x","y")',
    "\t=1+1",
    " @SUM(1)",
    "＝1",
    "\r\n+1+cmd|' /C calc'!A0",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
)


@contextlib.contextmanager
def disk_of(size: int) -> Iterator[None]:
    """No file may grow beyond ``size`` bytes, as on a disk that is full then."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    path = tmp_path / "in.txt"
    path.write_text("".join(f"Norda wants {number} soldiers home, and says so.\n" for number in range(600)))
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_ends_predict_and_the_old_file_stays(stance, lines: Path, tmp_path: Path, kind: str):
    target = tmp_path / f"out.{kind}"
    target.write_text("what was there")
    with disk_of(20_000 if kind != "parquet" else 2_000):
        ran = stance("predict", lines, "-m", small_model(), "-o", target, "--overwrite")
    assert ran.code == 1
    assert f"{target} cannot be written: " in ran.err
    assert "Traceback" not in ran.err
    assert target.read_text() == "what was there"
    if kind == "jsonl":  # what was done is kept
        whole = target.with_name("out.jsonl.part").read_text().splitlines()[:-1]
        assert len(whole) > 20
        assert [json.loads(line)["text"] for line in whole] == lines.read_text().splitlines()[: len(whole)]
    ran = stance("predict", lines, "-m", small_model(), "-o", target, "--overwrite")
    assert ran.code == 0, ran.err
    assert len(list(open_table(target).rows)) == 600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.txt", target.name]


def test_a_full_disk_ends_analyze_and_the_old_page_stays(stance, lines: Path, tmp_path: Path):
    page, tables = tmp_path / "page.html", tmp_path / "tables"
    page.write_text("what was there")
    lines.write_text("\n".join(lines.read_text().splitlines()[:60]))
    with disk_of(2_000):
        ran = stance("analyze", lines, "-m", small_model(), "--html", page, "--overwrite")
        assert (ran.code, f"{page} cannot be written: " in ran.err) == (1, True), ran.err
        ran = stance("analyze", lines, "-m", small_model(), "-o", tables)
        assert (ran.code, ".csv cannot be written: " in ran.err) == (1, True), ran.err
    assert page.read_text() == "what was there"
    assert not page.with_name("page.html.part").exists()
    assert not (tables / "sentences.csv").exists()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A real disk of 64 kB, where the tests may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("may not mount a disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_that_is_really_full(tiny_disk: Path, kind: str):
    target = tiny_disk / f"out.{kind}"
    with pytest.raises(FileError, match="cannot be written: No space left"), Sheet(target, kind, ["t"], {}) as sheet:
        for number in range(20_000):
            sheet.write({"t": f"{number} {random.Random(number).random()}"})
    assert not target.exists()


def test_a_disk_that_may_only_be_read(stance, tiny_disk: Path, lines: Path):
    subprocess.run(["mount", "-o", "remount,ro", tiny_disk], check=True)
    for arguments in (
        ["predict", lines, "-o", tiny_disk / "out.csv"],
        ["analyze", lines, "--html", tiny_disk / "p.html"],
    ):
        started = time.monotonic()
        ran = stance(*arguments, "-m", small_model())
        assert ran.code == 1
        assert "cannot be written" in ran.err
        assert time.monotonic() - started < 30, "it is said before the work"
    ran = stance("analyze", lines, "-o", tiny_disk / "tables", "-m", small_model())
    assert (ran.code, "cannot be made: Read-only" in ran.err) == (1, True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_only_be_read(tmp_path: Path):
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(FileError, match="cannot be written"):
            Sheet(tmp_path / "out.csv", "csv", ["t"], {})
    finally:
        tmp_path.chmod(0o755)


def test_a_folder_that_is_not_there(stance, lines: Path, tmp_path: Path):
    ran = stance("analyze", lines, "--html", tmp_path / "no" / "page.html", "-m", small_model())
    assert (ran.code, "is no folder; make it first" in ran.err) == (1, True)


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
from stancelib.sheets import Sheet, write_whole
folder, kind = Path(sys.argv[1]), sys.argv[2]
target, page = folder / f"out.{kind}", folder / "page.html"
random_ = random.Random(1)

def write(age):
    write_whole(page, age * 200_000)
    with Sheet(target, kind, ["t"], {"t": str}, overwrite=True) as sheet:
        for number in range(3000):
            sheet.write({"t": f"{age} {number}"})

started = time.monotonic()
write("a")
took = time.monotonic() - started
for number in range(12):
    child = os.fork()
    if child == 0:
        write("b")
        os._exit(0)
    time.sleep(random_.random() * took * 1.2)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print(kind, flush=True)
    if kind == "parquet":
        import pyarrow.parquet as pq
        rows = pq.read_table(target)["t"].to_pylist()
    else:
        from stancelib.tables import open_table
        rows = [row.text for row in open_table(target, "t").rows]
    age = rows[0][0]
    assert rows == [f"{age} {n}" for n in range(3000)], (len(rows), rows[-1])
    text = page.read_text()
    assert text in ("a" * 200_000, "b" * 200_000), len(text)
write("c")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_any_moment_the_old_file_or_the_new_one_is_there(tmp_path: Path, kind: str):
    ran = python("-c", KILLED, str(tmp_path), kind)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count(kind) == 12
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"out.{kind}", "page.html"]


HOLDING = """
import sys
from pathlib import Path
from stancelib.sheets import Sheet
with Sheet(Path(sys.argv[1]), "jsonl", ["t"], {}, overwrite=True) as sheet:
    sheet.write({"t": "the first run"})
    print("writing", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("overwrite", [True, False])
def test_two_runs_that_write_one_file(tmp_path: Path, overwrite: bool):
    target = tmp_path / "out.jsonl"
    first = subprocess.Popen([sys.executable, "-c", HOLDING, target], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert first.stdout is not None
    assert first.stdout.readline() == b"writing\n"
    with pytest.raises(FileError, match="another run is writing" if overwrite else "exists already"):
        Sheet(target, "jsonl", ["t"], {}, overwrite=overwrite)
    first.communicate(b"\n", timeout=60)
    assert first.returncode == 0
    assert target.read_text() == '{"t": "the first run"}\n'


def test_a_run_that_died_blocks_no_other(tmp_path: Path):
    target = tmp_path / "out.jsonl"
    first = subprocess.Popen([sys.executable, "-c", HOLDING, target], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert first.stdout is not None
    first.stdout.readline()
    first.kill()
    first.communicate(timeout=60)
    with pytest.raises(FileError, match="exists already"):  # what it had done is not thrown away unasked
        Sheet(target, "jsonl", ["t"], {})
    with Sheet(target, "jsonl", ["t"], {}, overwrite=True) as sheet:
        sheet.write({"t": "the second run"})
    assert target.read_text() == '{"t": "the second run"}\n'


def test_a_sheet_that_cannot_begin_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ImportError):
        Sheet(tmp_path / "out.parquet", "parquet", ["t"], {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", ["longer", "shorter", "replaced", "gone", "rewritten"])
@pytest.mark.parametrize("suffix", [".txt", ".csv", ".parquet"])
def test_a_file_that_changes_while_it_is_read(tmp_path: Path, suffix: str, how: str):
    path = tmp_path / f"in{suffix}"
    with Sheet(path, {".txt": "csv"}.get(suffix, suffix[1:]), ["text"], {"text": str}) as sheet:
        for number in range(20_000):
            sheet.write({"text": f"Sentence {number}."})
    os.utime(path, (1, 1))
    content = path.read_bytes()
    rows = open_table(path).rows
    for _ in range(10):
        next(rows)
    if how == "gone":
        path.unlink()
    elif how == "replaced":
        other = tmp_path / "other"
        other.write_bytes(content)
        other.replace(path)
    else:
        with path.open("r+b") as file:
            if how == "shorter":
                file.truncate(len(content) // 2)
            elif how == "longer":
                file.seek(0, os.SEEK_END)
                file.write(content[-100:])
            else:
                file.write(content)
    with pytest.raises(FileError, match=r"changed while it was read|cannot be read after row"):
        list(rows)


@pytest.mark.parametrize("suffix", [".txt", ".csv"])
def test_a_pipe_is_read_to_its_end(tmp_path: Path, suffix: str):
    """As of ``stancelib predict <(zcat posts.gz)``."""
    path = tmp_path / f"pipe{suffix}"
    os.mkfifo(path)
    header = "echo text; " if suffix == ".csv" else ""
    ran = subprocess.Popen(["sh", "-c", f"({header}echo One.; sleep 0.1; echo Two.) > {path}"])
    try:
        assert [row.text for row in open_table(path).rows] == ["One.", "Two."]
    finally:
        ran.kill()
        ran.wait()


# Injection.


@pytest.mark.parametrize("kind", ["csv", "tsv"])
def test_no_cell_of_a_result_is_a_formula(stance, tmp_path: Path, kind: str):
    source, target = tmp_path / "in.jsonl", tmp_path / f"out.{kind}"
    source.write_text("".join(json.dumps({"text": text + " soldiers", "=id": text}) + "\n" for text in ATTACKS))
    assert stance("predict", source, "-m", small_model(), "-o", target).code == 0
    cells = [
        cell
        for row in csv.reader(io.StringIO(target.read_text()), delimiter="\t" if kind == "tsv" else ",")
        for cell in row
    ]
    assert len(cells) > 50
    assert not [cell for cell in cells if cell.strip("\ufeff \t\r\n").startswith(tuple("=+-@＝"))]


def test_no_cell_of_a_report_is_a_formula():
    from stancelib.evaluation.sheet import csv_text

    cells = [row["text"] for row in csv.DictReader(io.StringIO(csv_text({"text": text} for text in ATTACKS)))]
    assert not [cell for cell in cells if cell.strip().startswith(tuple("=+-@＝"))]


def test_no_markup_of_a_text_reaches_a_page(stance, tmp_path: Path):
    source, page = tmp_path / "<img src=x>.txt", tmp_path / "page.html"
    source.write_text(" ".join(f"{attack} says that Norda must send troops." for attack in ATTACKS))
    assert stance("analyze", source, "-m", small_model(), "--html", page).code == 0
    html = page.read_text()
    assert "&lt;script&gt;alert(1)" in html
    assert "<script>alert" not in html
    assert "<img" not in html


# Archives.


def zipped(path: Path, name: str, content: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return path


@pytest.mark.parametrize("name", ["texts.txt", "../../escaped.txt", "/escaped.txt"])
def test_an_archive_is_not_unpacked(stance, tmp_path: Path, name: str):
    archive = zipped(tmp_path / "texts.csv", name, b"text\nNo troops.\n")
    ran = stance("predict", archive, "-m", small_model())
    assert (ran.code, "zip archive" in ran.err) == (1, True), ran.err
    ran = stance("predict", "No troops.", "-m", archive)
    assert (ran.code, "is a file; give the folder" in ran.err) == (1, True), ran.err
    assert [path.name for path in tmp_path.iterdir()] == ["texts.csv"]


def test_a_workbook_that_unpacks_to_more_than_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "bomb.xlsx"
    book = openpyxl.Workbook()
    book.active.append(["text", "label"])
    book.active.append(["x" * 30_000, "support"])
    book.save(path)
    assert len(read_labelled(path)) == 1
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/more.xml", bytes(2_000_000))
    assert path.stat().st_size < 20_000
    monkeypatch.setattr(data, "_MOST_UNPACKED", 1_000_000)
    with pytest.raises(FileError, match="unpacks to"):
        read_labelled(path)


def test_entities_of_a_workbook_do_not_swell(tmp_path: Path):
    """The billion laughs: ten entities, each ten times the one before."""
    path = tmp_path / "laughs.xlsx"
    book = openpyxl.Workbook()
    book.active.append(["text", "label"])
    book.active.append(["One.", "support"])
    book.save(path)
    entities = '<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    (name,) = (name for name, content in contents.items() if b"One." in content)
    changed = contents[name].decode().replace("One.", "&a9;")
    root = changed.index(f"<{'sst' if 'sst' in changed else 'worksheet'}")
    contents[name] = f"<!DOCTYPE x [{entities}]>{changed[root:]}".encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    with pytest.raises(FileError, match="workbook"):
        read_labelled(path)


def test_write_whole_says_where_it_failed(tmp_path: Path):
    with pytest.raises(FileError, match="No such file"):
        write_whole(tmp_path / "no" / "page.html", "text")
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileError, match="folder"):
        write_whole(tmp_path / "folder", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_parquet_is_whole_when_its_target_appears(tmp_path: Path):
    with Sheet(tmp_path / "out.parquet", "parquet", ["t"], {"t": str}) as sheet:
        sheet.write({"t": "One."})
        assert not (tmp_path / "out.parquet").exists()
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 1
