"""Shards: whatever happens to a run, no row is lost, repeated, moved or changed."""

import csv
import itertools
import json
import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import REPOSITORY
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.memory import random_model
from stancelib import FileError, StanceClassifier
from stancelib.shards import MANIFEST, Progress, predict_file
from stancelib.tables import open_table

SUFFIXES = ("csv", "tsv", "jsonl", "parquet", "txt")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_model(tmp_path_factory.mktemp("random") / "model")


@pytest.fixture(scope="module")
def quick(model: Path) -> StanceClassifier:
    return StanceClassifier.from_pretrained(model)


def sentences(count: int) -> list[str | None]:
    """Some of them missing, some the same, one in seven like a formula."""
    words = ["Norda", "Sudria", "troops", "will", "never", "send", "them", "home"]
    numbers = random.Random(3)
    made: list[str | None] = []
    for number in range(count):
        text = " ".join(numbers.choices(words, k=numbers.randint(2, 9)))
        made.append(None if number % 11 == 10 else f"={text}" if number % 7 == 6 else text)
    return made


def write(path: Path, count: int) -> Path:
    texts = sentences(count)
    if path.suffix == ".parquet":
        table = pa.table({"n": pa.array(range(count), pa.int16()), "text": texts})
        pq.write_table(table, path, row_group_size=7)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps({"n": n, "text": text}) + "\n" for n, text in enumerate(texts)))
    elif path.suffix == ".txt":
        path.write_text("".join(f"{text}\n" for text in texts))
    else:
        with path.open("w", newline="") as file:
            writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writerows([("n", "text"), *enumerate(texts)])
    return path


def parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*"))


def contents(folder: Path) -> dict[str, bytes]:
    """All files that a reader of the folder sees, the manifest with them."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


def read(folder: Path) -> list[dict]:
    return [row.cells for part in parts(folder) for row in open_table(part, "text").rows]


class Broken(Exception):  # noqa: N818
    pass


def stop_after(calls: int):
    count = itertools.count(1)

    def progress(_: Progress) -> None:
        if next(count) == calls:
            raise Broken

    return progress


def test_rows_keep_order_columns_and_types(quick: StanceClassifier, tmp_path: Path):
    texts = sentences(100)
    source = pa.table(
        {
            "n": pa.array(range(100), pa.int16()),
            "day": pa.array([None, *range(99)], pa.date32()),
            "seen": pa.array(range(100), pa.timestamp("us", "Europe/Vilnius")),
            "tags": pa.array([["a", None]] * 100, pa.list_(pa.string())),
            "kind": pa.array(["news", "debate"] * 50).dictionary_encode(),
            "text": pa.array(texts, pa.large_string()),
            "price": pa.array([Decimal("1.10")] * 100, pa.decimal128(12, 2)),
        }
    )
    pq.write_table(source, tmp_path / "in.parquet", row_group_size=9)
    found = predict_file(quick, tmp_path / "in.parquet", tmp_path / "out", rows_in_shard=30)
    assert (found.rows, found.shards, found.unusable, found.rows_before) == (100, 4, 9, 0)
    assert found.problems[0] == "row 11: None (a missing text)"
    assert [pq.read_metadata(part).num_rows for part in parts(tmp_path / "out")] == [30, 30, 30, 10]
    table = pq.read_table(tmp_path / "out")  # as one table: the manifest is passed over
    assert table.select(source.column_names).cast(source.schema).equals(source)
    assert table.select(source.column_names).schema.equals(source.schema)
    predictions = quick.predict(texts, invalid="skip")
    assert table["stance"].to_pylist() == [p and p.label for p in predictions]
    assert table["p_oppose"].to_pylist() == [p and round(p.probabilities["oppose"], 4) for p in predictions]
    manifest = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert manifest["complete"]
    assert [(shard["first_row"], shard["last_row"]) for shard in manifest["shards"]] == [
        (1, 30),
        (31, 60),
        (61, 90),
        (91, 100),
    ]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_gives_its_own(quick: StanceClassifier, tmp_path: Path, suffix: str):
    found = predict_file(quick, write(tmp_path / f"in.{suffix}", 25), tmp_path / "out", rows_in_shard=10)
    ending = "jsonl" if suffix == "txt" else suffix
    assert [part.name for part in parts(found.folder)] == [f"part-0000{n}.{ending}" for n in range(3)]
    rows = read(found.folder)
    unguarded = sentences(25)
    if suffix == "csv":
        assert rows[6]["text"] == f"'{unguarded[6]}"
        rows[6]["text"] = unguarded[6]
    if suffix in ("jsonl", "parquet"):
        assert [row["text"] for row in rows] == unguarded
        assert [row["n"] for row in rows] == list(range(25))
    assert len(rows) == found.rows == 25
    assert {key for row in rows for key in row} >= {"stance", "confidence", "holders", "problem"}


@settings(max_examples=15)
@given(
    suffix=st.sampled_from(SUFFIXES),
    count=st.integers(1, 60),
    size=st.integers(5, 25),
    stops=st.lists(st.integers(1, 6), max_size=3),
)
def test_a_run_in_pieces_gives_the_same_bytes(
    quick: StanceClassifier,
    tmp_path_factory: pytest.TempPathFactory,
    suffix: str,
    count: int,
    size: int,
    stops: list[int],
):
    folder = tmp_path_factory.mktemp("pieces")
    source = write(folder / f"in.{suffix}", count)
    whole = predict_file(quick, source, folder / "whole", rows_in_shard=size)
    for calls in stops:
        try:
            predict_file(quick, source, folder / "pieces", rows_in_shard=size, progress=stop_after(calls))
        except Broken:
            assert not (folder / "pieces" / "_unfinished").exists()
    found = predict_file(quick, source, folder / "pieces", rows_in_shard=size)
    assert contents(folder / "pieces") == contents(folder / "whole")
    assert (found.rows, found.unusable, found.problems) == (whole.rows, whole.unusable, whole.problems)


KILLED = """
import os, signal, sys
from stancelib import StanceClassifier, shards, sheets
from stancelib.shards import predict_file

model, source, target, kill_at = *sys.argv[1:4], int(sys.argv[4])
classifier = StanceClassifier.from_pretrained(model)
lines = 0

def trace(frame, event, argument):
    global lines
    if frame.f_code.co_filename not in (shards.__file__, sheets.__file__):
        return None
    if event == "line":
        lines += 1
        if lines == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
    return trace

sys.settrace(trace)
predict_file(classifier, source, target, rows_in_shard=8)
sys.settrace(None)
print(lines)
"""


def test_killed_at_any_line(model: Path, tmp_path: Path):
    source = write(tmp_path / "in.parquet", 60)

    def run(target: str, kill_at: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", KILLED, model, source, tmp_path / target, str(kill_at)]
        return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, timeout=300)

    whole = run("whole", -1)
    assert whole.returncode == 0, whole.stderr
    lines, numbers, kills = int(whole.stdout), random.Random(), 0
    at = [numbers.randint(1, lines // 2) for _ in range(3)]
    for kill_at in at:
        ran = run("killed", kill_at)
        if ran.returncode == 0:
            break
        assert ran.returncode == -signal.SIGKILL, (at, ran.stderr)
        kills += 1
    ran = run("killed", -1)
    assert ran.returncode == 0, (at, ran.stderr)
    assert kills, at
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole"), at
    assert not (tmp_path / "killed" / ".running").exists()


class TestWhatMustBeTheSame:
    @pytest.fixture
    def source(self, quick: StanceClassifier, tmp_path: Path) -> Path:
        """A file of which the first shard is done, into ``out``."""
        source = write(tmp_path / "in.csv", 50)
        with pytest.raises(Broken):
            predict_file(quick, source, tmp_path / "out", rows_in_shard=20, progress=stop_after(2))
        assert len(parts(tmp_path / "out")) == 1
        return source

    def refused(self, classifier: StanceClassifier, source: Path, said: str, **options: object) -> None:
        folder = source.parent / "out"
        before = contents(folder)
        with pytest.raises(FileError, match=said):
            predict_file(classifier, source, folder, **({"rows_in_shard": 20} | options))
        assert contents(folder) == before
        found = predict_file(classifier, source, folder, **({"rows_in_shard": 20} | options), overwrite=True)
        assert found.rows_before == 0
        assert len(read(folder)) == found.rows

    def test_a_longer_input(self, quick: StanceClassifier, source: Path):
        with source.open("a") as file:
            file.write("50,One more.\n")
        self.refused(quick, source, r"in\.csv has changed \([0-9,]+ bytes, were")

    def test_other_content_of_the_same_length(self, quick: StanceClassifier, source: Path):
        times = source.stat()
        source.write_bytes(source.read_bytes().replace(b"Norda", b"Nordb"))
        os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns))
        self.refused(quick, source, "other content")

    def test_an_input_that_was_written_to(self, quick: StanceClassifier, source: Path):
        os.utime(source, (1, 1))
        self.refused(quick, source, "written to after 20")

    def test_another_model(self, source: Path, tmp_path: Path):
        other = StanceClassifier.from_pretrained(random_model(tmp_path / "other", seed=2))
        self.refused(other, source, r"by the model model, this is other \(other holders.safetensors, model.onnx")

    def test_other_settings(self, quick: StanceClassifier, source: Path):
        self.refused(quick, source, "abstain_below was 0.0, is 0.5", abstain_below=0.5)

    def test_smaller_shards_leave_none_of_the_old_ones(self, quick: StanceClassifier, source: Path):
        self.refused(quick, source, "rows_in_shard was 20, is 7", rows_in_shard=7)
        self.refused(quick, source, "rows_in_shard was 7, is 60", rows_in_shard=60)
        assert len(parts(source.parent / "out")) == 1

    def test_a_shard_that_was_touched(self, quick: StanceClassifier, source: Path):
        (first,) = parts(source.parent / "out")
        first.write_text("mine")
        self.refused(quick, source, "part-00000.csv is missing or was changed")

    def test_a_damaged_manifest(self, quick: StanceClassifier, source: Path):
        (source.parent / "out" / MANIFEST).write_text('{"shards": []}')
        self.refused(quick, source, "damaged")

    def test_the_same_file_at_another_place(self, quick: StanceClassifier, source: Path):
        moved = source.rename(source.with_name("moved.csv"))
        assert predict_file(quick, moved, source.parent / "out", rows_in_shard=20).rows_before == 20


def test_a_complete_folder_is_left_as_it_is(quick: StanceClassifier, tmp_path: Path):
    source = write(tmp_path / "in.jsonl", 20)
    first = predict_file(quick, source, tmp_path / "out")
    times = {part: part.stat().st_mtime_ns for part in parts(tmp_path / "out")}
    again = predict_file(quick, source, tmp_path / "out")
    assert (again.rows, again.rows_before, again.unusable) == (20, 20, first.unusable)
    assert {part: part.stat().st_mtime_ns for part in parts(tmp_path / "out")} == times


def test_files_of_others_are_never_touched(quick: StanceClassifier, tmp_path: Path):
    source = write(tmp_path / "in.csv", 20)
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "part-00000.csv").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(FileError, match=r"not of a run like this \(part-00000.csv\)"):
            predict_file(quick, source, folder, overwrite=overwrite)
    assert (folder / "part-00000.csv").read_text() == "mine"


def test_two_runs_into_one_folder(quick: StanceClassifier, tmp_path: Path):
    source = write(tmp_path / "in.csv", 30)
    refused = []

    def progress(_: Progress) -> None:
        with pytest.raises(FileError, match=rf"process {os.getpid()} on .* is writing to") as error:
            predict_file(quick, source, tmp_path / "out", rows_in_shard=10, overwrite=True)
        refused.append(error)

    assert predict_file(quick, source, tmp_path / "out", rows_in_shard=10, progress=progress).rows == 30
    assert refused
    assert predict_file(quick, source, tmp_path / "out", rows_in_shard=10).rows_before == 30


@pytest.mark.parametrize("at", [1, 2, 6], ids=["in a shard", "between shards", "after the last shard"])
def test_an_input_that_changes_while_it_is_read(quick: StanceClassifier, tmp_path: Path, at: int):
    source = write(tmp_path / "in.csv", 30)
    calls = itertools.count(1)

    def progress(_: Progress) -> None:
        if next(calls) == at:
            with source.open("a") as file:
                file.write("31,Late.\n")

    with pytest.raises(FileError, match=rf"changed while it was read.*The {at // 2 * 10} rows in"):
        predict_file(quick, source, tmp_path / "out", rows_in_shard=10, progress=progress)
    assert len(read(tmp_path / "out")) == at // 2 * 10
    assert not json.loads((tmp_path / "out" / MANIFEST).read_text())["complete"]


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The nearest to a full disk that needs no disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_a_disk_that_is_full_keeps_the_finished_shards(quick: StanceClassifier, tmp_path: Path, suffix: str):
    # The third shard has the long rows.
    texts = ["They must leave."] * 40 + [os.urandom(3000).hex() for _ in range(20)] + ["They must leave."] * 20
    source = tmp_path / f"in.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.table({"text": texts}), source)
    else:
        lines = texts if suffix == "csv" else [json.dumps({"text": text}) for text in texts]
        source.write_text("\n".join(["text"][: suffix == "csv"] + lines) + "\n")
    with files_of_at_most(60_000), pytest.raises(FileError) as error:
        predict_file(quick, source, tmp_path / "out", rows_in_shard=20)
    assert "part-00002" in str(error.value)
    assert "cannot be written: File too large. 40 rows are finished" in str(error.value)
    assert len(read(tmp_path / "out")) == 40
    assert predict_file(quick, source, tmp_path / "out", rows_in_shard=20).rows_before == 40
    assert [row["text"] for row in read(tmp_path / "out")] == texts


def test_a_place_that_cannot_be_written(quick: StanceClassifier, tmp_path: Path):
    source = write(tmp_path / "in.csv", 10)
    with pytest.raises(FileError, match=r"in\.csv/out cannot be written: Not a directory"):
        predict_file(quick, source, source / "out")
    with pytest.raises(FileError, match="no such file"):
        predict_file(quick, tmp_path / "none.csv", tmp_path / "out")
    with pytest.raises(FileError, match="no column 'body'"):
        predict_file(quick, source, tmp_path / "out", text_column="body")
    assert not (tmp_path / "out").exists()


def test_a_damaged_parquet_file_keeps_what_came_before(quick: StanceClassifier, tmp_path: Path):
    source = tmp_path / "in.parquet"
    texts = [os.urandom(10).hex() for _ in range(2048)]
    pq.write_table(pa.table({"text": texts}), source, row_group_size=1024, use_dictionary=False)
    content = bytearray(source.read_bytes())
    middle = pq.read_metadata(source).row_group(1).column(0).data_page_offset + 5
    content[middle : middle + 400] = b"\xff" * 400
    source.write_bytes(content)
    with pytest.raises(FileError, match=r"cannot be read after row 1,024: .*\. 1,000 rows are finished"):
        predict_file(quick, source, tmp_path / "out", rows_in_shard=500)
    assert [row["text"] for row in read(tmp_path / "out")] == texts[:1000]


def test_parquet_shards_of_other_input_have_one_schema(quick: StanceClassifier, tmp_path: Path):
    source = tmp_path / "in.jsonl"
    rows = [{"text": "One.", "n": 1, "x": None}] * 5 + [{"text": "Two.", "n": None, "x": None}] * 5
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(Broken):
        predict_file(quick, source, tmp_path / "out", rows_in_shard=5, output_format="parquet", progress=stop_after(2))
    predict_file(quick, source, tmp_path / "out", rows_in_shard=5, output_format="parquet")
    assert len({str(pq.read_schema(part)) for part in parts(tmp_path / "out")}) == 1
    assert pq.read_table(tmp_path / "out")["n"].to_pylist() == [1] * 5 + [None] * 5


def test_a_text_is_computed_once_in_a_shard(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    classifier = StanceClassifier.from_pretrained(model)
    asked: list[str] = []
    predict = classifier.predict
    monkeypatch.setattr(classifier, "predict", lambda texts, **more: asked.extend(texts) or predict(texts, **more))
    (tmp_path / "in.txt").write_text("They must leave.\nSend them.\n" * 2000)
    found = predict_file(classifier, tmp_path / "in.txt", tmp_path / "out", rows_in_shard=2000)
    assert found.rows == 4000
    assert asked == ["They must leave.", "Send them."] * 2


def test_progress_goes_forward(quick: StanceClassifier, tmp_path: Path):
    seen: list[Progress] = []
    source = write(tmp_path / "in.parquet", 50)
    with pytest.raises(Broken):
        predict_file(quick, source, tmp_path / "out", rows_in_shard=20, progress=stop_after(2))
    predict_file(quick, source, tmp_path / "out", rows_in_shard=20, progress=seen.append)
    assert [now.rows for now in seen] == [40, 40, 50, 50]
    assert [now.safe_rows for now in seen] == [20, 40, 40, 50]
    assert [now.finished and now.finished.name for now in seen] == [
        None,
        "part-00001.parquet",
        None,
        "part-00002.parquet",
    ]
    assert all(now.rows_per_second > 0 for now in seen)
    assert seen[-1].share == 1
    assert seen[-1].seconds_left == 0


class TestCommandLine:
    def test_a_folder_gets_shards(self, stance, model: Path, tmp_path: Path):
        source, target = write(tmp_path / "in.csv", 30), tmp_path / "new" / "out"
        command = ["predict", source, "-m", model, "-o", f"{target}/", "--rows-in-shard", 20]
        ran = stance(*command)
        assert ran.code == 0, ran.err
        assert "part-00000.csv: 20 rows (" in ran.err
        assert "2 of 30 rows could not be used: line 12: " in ran.err
        assert f"28 predictions in {target}, 2 shards" in ran.err
        assert [row["n"] for row in read(target)] == [str(n) for n in range(30)]
        again = stance(*command)
        assert again.code == 0
        assert "was complete already" in again.err
        assert stance(*command, "--overwrite", "--abstain-below", "1").code == 0
        assert {row["stance"] for row in read(target)} == {"unsure", ""}

    def test_it_goes_on(self, stance, quick: StanceClassifier, model: Path, tmp_path: Path):
        source = write(tmp_path / "in.parquet", 30)
        with pytest.raises(Broken):
            predict_file(quick, source, tmp_path / "out", rows_in_shard=20, progress=stop_after(2))
        ran = stance("predict", source, "-m", model, "-o", tmp_path / "out", "--rows-in-shard", 20)
        assert ran.code == 0, ran.err
        assert "went on after row 20" in ran.err

    def test_nothing_usable(self, stance, model: Path, tmp_path: Path):
        (tmp_path / "blank.csv").write_text("text\n" + '" "\n' * 3)
        ran = stance("predict", tmp_path / "blank.csv", "-m", model, "-o", tmp_path / "out", "--shards")
        assert ran.code == 1
        assert "3 of 3 rows could not be used" in ran.err

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["-", "-o", "{folder}"], "one file"),
            (["They must leave.", "-o", "{folder}"], "one file"),
            (["{source}", "--shards"], "needs a folder"),
            (["{source}", "-o", "{folder}", "-f", "table"], "printed, not written"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else None,
    )
    def test_wrong_usage(self, stance, tmp_path: Path, arguments: list[str], said: str):
        source = write(tmp_path / "in.csv", 3)
        ran = stance("predict", *(argument.format(source=source, folder=f"{tmp_path}/out/") for argument in arguments))
        assert ran.code == 2
        assert said in " ".join(ran.err.split())
