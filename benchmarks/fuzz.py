"""Coverage-guided fuzzing: bytes in, and nothing but a clear error may come out.

    python -m benchmarks.fuzz predict --seconds 600     # or analyze, tables, labelled, checkpoint
    python -m benchmarks.fuzz all --seconds 600         # each of them for so long
    python -m benchmarks.fuzz predict --keep            # take what reached new code into fuzz_corpus/

Needs atheris (libFuzzer for Python; ``pip install atheris``). An input that does anything but end well or raise a
`StancelibError` (that takes longer than a minute, or brings the process over 3 GB) stops the run and is left in
``runs/fuzz/TARGET/``. ``tests/test_robust_fuzz.py`` replays the kept corpus without atheris.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import functools
import io
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

CORPUS = Path(__file__).resolve().parent / "fuzz_corpus"
RUNS = Path(__file__).resolve().parent.parent / "runs" / "fuzz"
# Texts of an input are parted by it, so that the corpus can be read.
PART = "\x1e"
# Elements of a list that are no texts.
ODD: dict[str, Any] = {"None": None, "nan": math.nan, "3": 3, "bytes": b"bytes", "list": ["nested"]}
# A model that takes longer than this to fuzz with tells no more than a shorter one does.
MOST_BYTES = {"predict": 3_000, "analyze": 4_000, "tables": 4_000, "labelled": 12_000, "checkpoint": 40_000}

Target = Callable[[bytes], None]


@functools.cache
def _scratch() -> Path:
    return Path(tempfile.mkdtemp(prefix="stancelib-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))


def _small_model() -> Path:
    from tests.small_model import small_model

    return small_model()


@functools.cache
def _classifier() -> Any:
    from stancelib import StanceClassifier

    return StanceClassifier.from_pretrained(_small_model())


def _decoded(data: bytes) -> tuple[int, list[str]]:
    """The first byte, for choices, and the texts after it; bytes that are no UTF-8 are lone surrogates."""
    return (data[0] if data else 0), data[1:].decode("utf-8", "surrogateescape").split(PART)


def predict(data: bytes) -> None:
    """One text, a list or a stream, perhaps with elements that are no texts, a holder or a threshold."""
    choice, parts = _decoded(data)
    clf = _classifier()
    below = 0.5 if choice & 8 else 0.0
    if choice & 3 == 0:
        holder = parts[1] if len(parts) > 1 else None
        _check_prediction(clf.predict(parts[0], holder=holder, abstain_below=below), parts[0])
        return
    elements = [ODD.get(part, part) for part in parts]
    invalid: Any = "skip" if choice & 4 else "raise"
    if choice & 3 == 1:
        found = clf.predict(elements, invalid=invalid, abstain_below=below)
    elif choice & 3 == 2:
        found = list(clf.stream(iter(elements), invalid=invalid, abstain_below=below))
    else:
        rows = clf.predict_proba(elements, invalid=invalid)
        assert rows.shape == (len(elements), 3)
        assert all(np.isnan(row).all() or abs(row.sum() - 1) < 1e-3 for row in rows)
        return
    assert len(found) == len(elements)
    for prediction, element in zip(found, elements, strict=True):
        if prediction is not None:
            _check_prediction(prediction, element)


def _check_prediction(prediction: Any, text: str) -> None:
    assert prediction.text == text
    scores = prediction.probabilities
    assert all(0 <= p <= 1 for p in scores.values())
    assert abs(sum(scores.values()) - 1) < 1e-3
    assert prediction.label is None or scores[prediction.label] == max(scores.values())
    for holder in prediction.holders:
        assert text[holder.start : holder.end] == holder.text
    str(prediction)
    json.loads(prediction.to_json())


def analyze(data: bytes) -> None:
    """A text, perhaps with a title and a date, as document, page and rows."""
    from stancelib.corpus import Timeline, document_rows, sentence_rows

    choice, parts = _decoded(data)
    text, title, date = [*parts, "", ""][:3]
    source = {"text": text, "title": title or None, "date": date or None}
    for document in _classifier().analyze_many([source], invalid="skip" if choice & 1 else "raise"):
        assert document.text == text
        end = 0
        for sentence in document.sentences:
            assert end <= sentence.start < sentence.end <= len(text)
            assert text[sentence.start : sentence.end] == sentence.text
            end = sentence.end
        json.dumps(document.to_dict())
        document.to_html()
        timeline = Timeline("week" if choice & 2 else "month")
        timeline.add(document)
        document_rows(document, 1), sentence_rows(document, 1), timeline.rows()


def tables(data: bytes) -> None:
    """Bytes as text lines, CSV, TSV or JSON Lines, read and written again as each of these."""
    from stancelib.results import Writer
    from stancelib.tables import read_table

    choice, content = (data[0] if data else 0), data[1:]
    kind: Any = ("lines", "csv", "tsv", "jsonl")[choice & 3]
    column = "text" if choice & 4 else None
    table = read_table(io.BufferedReader(io.BytesIO(content)), "input", kind, column, len(content))  # type: ignore[arg-type]
    rows = [row for row in table.rows if table.done() <= len(content)]
    numbers = [row.number for row in rows]
    assert numbers == sorted(set(numbers)), "rows are numbered in order"
    target: Any = ("csv", "tsv", "jsonl")[(choice >> 3) % 3]
    sink = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="surrogateescape", newline="")  # as the CLI's stdout
    with Writer(sink, target, table.columns) as writer:
        for row in rows:
            if row.problem is None:
                row.text.encode("utf-16", "surrogatepass")
            writer.write(row, None)
    sink.seek(0)
    lines = sink.read()
    if target != "jsonl":
        read = list(csv.reader(io.StringIO(lines, newline=""), delimiter="\t" if target == "tsv" else ","))
        assert len(read) == len(rows) + 1
        assert {len(cells) for cells in read} == {len(read[0])}
    else:
        assert len([json.loads(line) for line in lines.split("\n") if line]) == len(rows)


LABELLED = (".csv", ".tsv", ".jsonl", ".parquet", ".xlsx", ".txt")


def labelled(data: bytes) -> None:
    """Bytes as a file of labelled texts, of every kind that is read."""
    from stancelib.data import label_order, read_labelled
    from stancelib.tables import open_table

    choice, content = (data[0] if data else 0), data[1:]
    suffix = LABELLED[choice % len(LABELLED)]
    path = _scratch() / f"labelled-{os.getpid()}{suffix}"
    path.write_bytes(content)
    label_map = "favor=support,against=oppose,none=neutral" if choice & 64 else None
    if choice & 128 and suffix != ".xlsx":
        for row in open_table(path, skip=2).rows:
            assert row.problem is not None or isinstance(row.text, str)
        return
    found = read_labelled(path, label_map=label_map)
    assert len(found) == len(found.texts) == len(found.labels) == len(found.places) == len(found.cells) > 0
    assert all(isinstance(text, str) and text.strip() for text in found.texts)
    assert set(found.labels) <= set(label_order(found.labels))


CHECKPOINT = ("config.json", "tokenizer.json", "model.onnx", "model.safetensors", "holders.safetensors", "metrics.json")


def checkpoint(data: bytes) -> None:
    """A model folder in which one file is not what it was; of safetensors only the header."""
    from stancelib import StanceClassifier

    file, content = CHECKPOINT[(data[0] if data else 0) % len(CHECKPOINT)], data[1:]
    folder, tensors = _brittle_model()
    path = folder / file
    whole = path.read_bytes() if path.exists() else None
    path.unlink(missing_ok=True)  # the pristine files are linked, never written over
    path.write_bytes(content + tensors.get(file, b""))
    try:
        clf = StanceClassifier.from_pretrained(folder)
        assert repr(clf)
        texts = ["Norda rules out soldiers on the ground.", "", "🪖 \ud800 x" * 30]
        for prediction in clf.predict(texts, invalid="skip"):
            assert prediction is None or prediction.label in clf.labels
        clf.predict(texts[0], abstain_below=0.9)
        assert isinstance(clf.abstention, list)
        clf.checkpoint.size(), clf.checkpoint.sha256()
    finally:
        path.unlink()
        if whole is not None:
            path.write_bytes(whole)


@functools.cache
def _brittle_model() -> tuple[Path, dict[str, bytes]]:
    """A copy of the small model with a short tokenizer, and what follows the headers of its weights."""
    folder = _scratch() / f"brittle-{os.getpid()}"
    folder.mkdir()
    for source in _small_model().iterdir():
        shutil.copy(source, folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    needed = {token["content"] for token in tokenizer["added_tokens"]}
    tokenizer["model"]["vocab"] = {
        w: i for w, i in vocabulary.items() if w in needed or (len(w.removeprefix("##")) == 1 and w.isascii())
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    tensors = {}
    for name in ("model.safetensors", "holders.safetensors"):
        whole = (folder / name).read_bytes()
        tensors[name] = whole[8 + int.from_bytes(whole[:8], "little") :]
    return folder, tensors


TARGETS: dict[str, Target] = {
    "predict": predict,
    "analyze": analyze,
    "tables": tables,
    "labelled": labelled,
    "checkpoint": checkpoint,
}


def run_one(target: str, data: bytes) -> None:
    """Give ``data`` to a target.

    Raises:
        Exception: whatever is no `StancelibError`.
    """
    from stancelib import StancelibError

    with contextlib.suppress(StancelibError):
        TARGETS[target](data)


def seeds(target: str) -> Iterator[bytes]:
    """Inputs to begin with."""
    texts = [
        json.loads(line)["text"] for line in Path("seeds/test.jsonl").read_text(encoding="utf-8").splitlines()[:40]
    ]
    if target == "predict":
        for choice in range(16):
            yield (
                bytes([choice])
                + PART.join([texts[choice], *texts[choice + 1 : choice + 3], *list(ODD)[: choice % 4]]).encode()
            )
            yield bytes([choice]) + "🪖\ud800 x\u202e \u2028لا نريد\x00ﬁ İ ß ŉ".encode("utf-8", "surrogatepass")
        yield b"\x00Norda rules out soldiers; Sudria does not." + PART.encode() + b"Norda"
    elif target == "analyze":
        for file in sorted(Path("seeds/texts").glob("*.txt")):
            yield b"\x01" + file.read_bytes()[:3_000] + f"{PART}A title{PART}2024-05-17".encode()
        yield from (b"\x02" + " ".join(texts[i : i + 5]).encode() for i in range(0, 40, 5))
    elif target == "tables":
        rows = [{"text": text, "id": number, "when": None} for number, text in enumerate(texts[:4])]
        for column in (0, 4):
            for delimiter, kind in ((",", 1), (";", 1), ("\t", 2)):
                sink = io.StringIO()
                writer = csv.DictWriter(sink, list(rows[0]), delimiter=delimiter)
                writer.writeheader()
                writer.writerows(rows)
                yield bytes([kind | column]) + sink.getvalue().encode()
            yield bytes([3 | column]) + "\n".join(map(json.dumps, rows)).encode()
            yield bytes([column]) + "\n".join(texts[:4]).encode()
        yield b'\x01text\n"=1+1","open\n\xff\xfe'
    elif target == "labelled":
        yield from _labelled_seeds(texts)
    else:
        folder, tensors = _brittle_model()
        for number, file in enumerate(CHECKPOINT):
            if (folder / file).exists():
                yield bytes([number]) + (folder / file).read_bytes().removesuffix(tensors.get(file, b""))
        yield b'\x05{"abstention": [{"threshold": 0.5, "coverage": 1.0, "risk": 0.1}]}'


def _labelled_seeds(texts: list[str]) -> Iterator[bytes]:
    import openpyxl
    import pyarrow
    from pyarrow import parquet

    rows = [
        {"text": text, "label": ("favor", "AGAINST", 1)[n % 3], "speaker": n // 2} for n, text in enumerate(texts[:6])
    ]
    for number, suffix in enumerate(LABELLED):
        path = _scratch() / f"seed{suffix}"
        if suffix in (".csv", ".tsv"):
            with path.open("w", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if suffix == ".tsv" else ",")
                writer.writeheader()
                writer.writerows(rows)
        elif suffix == ".xlsx":
            book = openpyxl.Workbook()
            for cells in [list(rows[0]), *(list(row.values()) for row in rows)]:
                book.active.append(cells)
            book.save(path)
        elif suffix == ".parquet":
            parquet.write_table(pyarrow.Table.from_pylist([row | {"label": str(row["label"])} for row in rows]), path)
        else:
            path.write_text("\n".join(json.dumps(row) if suffix == ".jsonl" else row["text"] for row in rows))
        for choice in (number, number + 60, number + 126):  # multiples of six keep the suffix
            yield bytes([choice]) + path.read_bytes()


def _fuzz(target: str, arguments: list[str]) -> None:
    """Run libFuzzer in this process; it ends the process."""
    import atheris

    # ONNX Runtime starts a thread for each core; for a model this small they would only wait for each other.
    os.sched_setaffinity(0, {os.getpid() % len(os.sched_getaffinity(0))})
    with atheris.instrument_imports(include=["stancelib"]):
        import stancelib
        import stancelib.corpus
        import stancelib.data
        import stancelib.results  # noqa: F401
    if target in ("predict", "analyze"):
        _classifier()
    # The first is what libFuzzer has the shell run for a merge.
    itself = f"{sys.executable} -m benchmarks.fuzz {target} --libfuzzer"
    atheris.Setup([itself, *arguments], functools.partial(run_one, target))
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("target", choices=[*TARGETS, "all"])
    parser.add_argument("--seconds", type=int, default=600, help="how long, each")
    parser.add_argument("--keep", action="store_true", help="take what reached new code into the kept corpus")
    parser.add_argument("--one", type=Path, help="give this file to the target, without atheris")
    parser.add_argument("--libfuzzer", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        run_one(options.target, options.one.read_bytes())
        return
    if options.libfuzzer is not None:
        _fuzz(options.target, options.libfuzzer)
    os.environ["STANCELIB_SMALL_MODEL"] = str(_small_model())  # made once, for all the processes to come
    for target in TARGETS if options.target == "all" else [options.target]:
        found, kept = RUNS / target / "corpus", CORPUS / target
        for folder in (found, kept):
            folder.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(seeds(target)):
            (found / f"seed-{number:02}").write_bytes(data[: MOST_BYTES[target]])
        limits = [
            "-rss_limit_mb=3000",
            "-timeout=60",
            f"-max_len={MOST_BYTES[target]}",
            f"-artifact_prefix={RUNS / target}/",
        ]
        # Seeds are kept although they reach the same lines: what lies below the lines, in native code, is not seen.
        fuzz = [f"-max_total_time={options.seconds}", "-keep_seed=1", "-len_control=0", found, kept]
        work = ["-merge=1", kept, found] if options.keep else fuzz
        command = [
            sys.executable,
            "-m",
            "benchmarks.fuzz",
            target,
            "--libfuzzer",
            "-print_final_stats=1",
            *limits,
            *work,
        ]
        log = RUNS / target / "log.txt"
        with log.open("w") as out:
            ended = subprocess.run(list(map(str, command)), check=False, stdout=out, stderr=out).returncode
        said = log.read_text(errors="replace")
        tried = re.findall(r"stat::number_of_executed_units:\s+(\d+)", said)
        print(f"{target}: {int(tried[-1]) if tried else 0:,} inputs, {len(list(kept.iterdir()))} kept", flush=True)
        if ended:
            raise SystemExit(f"{target} stopped: see {log}, and what stopped it beside that")


if __name__ == "__main__":
    try:
        main()
    finally:
        if _scratch.cache_info().currsize:
            shutil.rmtree(_scratch(), ignore_errors=True)
