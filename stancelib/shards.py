"""Predictions for a file of any size: a folder of shards, in bounded memory, which a killed run goes on to fill.

A shard has a fixed range of rows and is computed by itself, so its bytes are the same in however many runs the folder
was filled. It is written to ``_unfinished/``, put on the disk, and then renamed; only then does the manifest name it.
`predict_file` is the way in. ``pandas.read_parquet("out/")`` and pyarrow read such a folder as one table, for they pass
over names that begin with ``_`` or a dot.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

import stancelib
from stancelib.checkpoint import Checkpoint
from stancelib.classifier import WINDOW, StanceClassifier
from stancelib.errors import FileError, ModelError
from stancelib.prediction import Prediction
from stancelib.results import Writer
from stancelib.sheets import sync
from stancelib.tables import Format, Row, Table, format_of, open_table, pyarrow_parquet

ROWS_IN_SHARD = 50_000
MANIFEST = "_manifest.json"
SHOWN_PROBLEMS = 5  # a shard

_UNFINISHED = "_unfinished"
_LOCK, _RUNNING = ".lock", ".running"
_PART = re.compile(r"part-\d{5,}\.(csv|tsv|jsonl|parquet)")
# Texts of a shard whose answers are kept, for posts and headlines repeat; long texts hardly ever do.
_KNOWN_TEXTS, _KNOWN_CHARACTERS = 16_384, 500


@dataclass(frozen=True)
class Progress:
    """How far `predict_file` has come.

    Attributes:
        rows: rows done, those of earlier runs included.
        safe_rows: rows in finished shards, which a kill can't take away.
        rows_per_second: of this run.
        share: how much of the input is read, 0 to 1.
        seconds_left: at the pace so far; None before there is one.
        finished: the shard that was just finished, if one was.
    """

    rows: int
    safe_rows: int
    rows_per_second: float
    share: float
    seconds_left: float | None
    finished: Path | None = None


@dataclass(frozen=True)
class Summary:
    """What lies in a folder that `predict_file` has filled.

    Attributes:
        folder: the folder.
        rows: rows of the input, each of which has one in the shards.
        unusable: how many of them have no prediction, and say why in the column ``problem``.
        truncated: how many texts were longer than the model reads.
        problems: the first few of the unusable rows: where they stand, and why.
        shards: how many files.
        rows_before: how many rows earlier runs had finished.
        left_out: fields of single rows for which CSV, TSV or Parquet has no column.
    """

    folder: Path
    rows: int
    unusable: int
    truncated: int
    problems: tuple[str, ...]
    shards: int
    rows_before: int
    left_out: tuple[str, ...]


def predict_file(
    classifier: StanceClassifier,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    text_column: str | None = None,
    input_format: Format | None = None,
    output_format: Format | None = None,
    rows_in_shard: int = ROWS_IN_SHARD,
    abstain_below: float = 0.0,
    overwrite: bool = False,
    raw: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Summary:
    """Classify every row of a file and write the rows, with their predictions, as shards into a folder.

    The rows keep their order and their own columns with their types; see `stancelib.results` for the columns that are
    added. A folder that holds an unfinished run of the same input, model and settings is filled from where it stopped;
    one that is complete is left as it is.

    Args:
        classifier: the model.
        source: a file of text lines, CSV, TSV, JSON Lines or Parquet.
        target: the folder, made if need be: ``part-00000.parquet`` and so on, and ``_manifest.json``, which tells what
            they were made of.
        text_column: the column that holds the text; by default ``text``, ``sentence`` or the only one.
        input_format: by default what the name of ``source`` ends in, else text lines.
        output_format: by default that of the input, or JSON Lines for text lines.
        rows_in_shard: rows in every shard but the last; what is lost by a kill is at most one shard.
        abstain_below: predictions less confident than this are written as ``unsure``.
        overwrite: replace a folder that an earlier run made.
        raw: write CSV and TSV cells that begin like a formula as they are; see `stancelib.sheets.guarded`.
        progress: called after every thousand rows or so.

    Raises:
        FileError: the input can't be read, or changed while it was read; the folder can't be written, is in use by
            another run, holds other files, or holds a run of another input, model or settings. Finished shards are
            kept.
        MissingExtraError: Parquet without pyarrow.
        ModelError: the model fails on a text.
    """
    source, folder = Path(source), Path(target)
    if rows_in_shard < 1:
        raise ValueError(f"rows_in_shard={rows_in_shard} must be 1 or more")
    before = _fingerprint(source)
    table = open_table(source, text_column, input_format, watch=False)
    read_as = input_format or format_of(source) or "lines"
    kind = output_format or ("jsonl" if read_as == "lines" else read_as)
    asked = {
        "stancelib": stancelib.__version__,
        "input": before,
        "model": {"name": classifier.checkpoint.name, "sha256": _model_digests(classifier.checkpoint)},
        "settings": {
            "input_format": read_as,
            "text_column": table.text_column,
            "columns": table.columns,
            "output_format": kind,
            "rows_in_shard": rows_in_shard,
            "abstain_below": abstain_below,
            "raw": raw,
        },
    }
    with _locked(folder):
        manifest = _begin(folder, asked, overwrite)
        run = _Run(classifier, table, folder, manifest, progress)
        if not manifest.complete:
            if manifest.rows:
                run.table = open_table(source, text_column, input_format, skip=manifest.rows, watch=False)
            try:
                run.fill(lambda: _check_unchanged(source, before, folder, manifest.rows))
            finally:
                shutil.rmtree(folder / _UNFINISHED, ignore_errors=True)
            _check_unchanged(source, before, folder, manifest.rows, thoroughly=True)
            manifest.complete = True
            with _writing(folder):
                _save(manifest, folder)
        return _summary(folder, manifest, run.rows_before)


@dataclass(frozen=True)
class _Shard:
    """A finished shard, as the manifest names it; rows are counted from 1."""

    file: str
    first_row: int
    last_row: int
    bytes: int
    unusable: int
    truncated: int
    problems: list[str]
    left_out: list[str]


@dataclass
class _Manifest:
    """What a folder is made of, and how far it is. ``made_of`` is what must be the same for a run to go on."""

    made_of: dict[str, Any]
    shards: list[_Shard] = field(default_factory=list)
    complete: bool = False

    @property
    def rows(self) -> int:
        return self.shards[-1].last_row if self.shards else 0

    @property
    def settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = self.made_of["settings"]
        return settings


class _Run:
    """One call of `predict_file`, after all is known to be in order."""

    def __init__(
        self,
        classifier: StanceClassifier,
        table: Table,
        folder: Path,
        manifest: _Manifest,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self.classifier, self.table, self.folder, self.manifest = classifier, table, folder, manifest
        self.progress = progress or (lambda _: None)
        self.rows = self.rows_before = manifest.rows
        self.started = self.share_before = 0.0

    def fill(self, check: Callable[[], None]) -> None:
        """Write the shards that lack; ``check``, which raises if the input changed, comes before each is finished."""
        try:
            first = next(self.table.rows, None)
            self.started, self.share_before = time.monotonic(), self._share()
            while first is not None:
                rows = itertools.chain([first], self.table.rows)
                name = f"part-{len(self.manifest.shards):05}.{self.manifest.settings['output_format']}"
                shard = self._write(name, itertools.islice(rows, self.manifest.settings["rows_in_shard"]))
                check()
                with _writing(self.folder):
                    (self.folder / _UNFINISHED / name).replace(self.folder / name)
                    _sync_folder(self.folder)
                    self.manifest.shards.append(shard)
                    _save(self.manifest, self.folder)
                self._report(self.folder / name)
                first = next(self.table.rows, None)
        except _ChangedError:
            raise
        except (FileError, ModelError) as error:
            check()  # a change of the input is the cause of whatever came of it
            raise type(error)(
                f"{error}. {self.manifest.rows:,} rows are finished in {self.folder}; when the cause is mended, the "
                "same command goes on from there"
            ) from None

    def _write(self, name: str, rows: Iterator[Row]) -> _Shard:
        settings = self.manifest.settings
        checkpoint = self.classifier.checkpoint
        with _writing(self.folder):
            (self.folder / _UNFINISHED).mkdir(exist_ok=True)
        path = self.folder / _UNFINISHED / name
        first_row, unusable, truncated = self.rows + 1, 0, 0
        problems: list[str] = []
        writer = Writer(
            path,
            settings["output_format"],
            self.table.columns,
            overwrite=True,
            schema=self._schema(),
            labels=self.classifier.labels,
            holders=checkpoint.has_holders,
            raw=settings["raw"],
        )
        known: dict[str, Prediction] = {}  # of this shard alone, so that its bytes do not depend on the others
        with writer:
            while window := list(itertools.islice(rows, WINDOW)):
                for row, prediction in zip(window, self._answers(window, known), strict=True):
                    writer.write(row, prediction)
                    if prediction is None:
                        unusable += 1
                        if len(problems) < SHOWN_PROBLEMS:
                            problems.append(f"{self.table.unit} {row.number}: {str(row.problem)[:200]}")
                    else:
                        truncated += prediction.truncated
                self.rows += len(window)
                self._report()
        size = path.stat().st_size
        return _Shard(name, first_row, self.rows, size, unusable, truncated, problems, sorted(writer.left_out))

    def _schema(self) -> Any:
        """The Arrow schema that Parquet shards share: the input's, or what the first shard found."""
        if self.manifest.settings["output_format"] == "parquet" and self.table.schema is None and self.manifest.shards:
            first = self.folder / self.manifest.shards[0].file
            return pyarrow_parquet(first).read_schema(first)
        return self.table.schema

    def _answers(self, rows: list[Row], known: dict[str, Prediction]) -> list[Prediction | None]:
        """The predictions of ``rows``, each text computed once; ``known`` are those of texts before, and grows."""
        texts = [row.text if row.problem is None else None for row in rows]
        new = list(dict.fromkeys(text for text in texts if text is not None and text not in known))
        predictions = self.classifier.predict(new, abstain_below=self.manifest.settings["abstain_below"])
        answers = known | dict(zip(new, predictions, strict=True))
        if len(answers) > _KNOWN_TEXTS:
            known.clear()
        known.update((text, answers[text]) for text in new if len(text) <= _KNOWN_CHARACTERS)
        return [None if text is None else answers[text] for text in texts]

    def _share(self) -> float:
        return self.table.done() / self.table.total if self.table.total else 1.0

    def _report(self, finished: Path | None = None) -> None:
        seconds = time.monotonic() - self.started
        share = self._share()
        read = share - self.share_before
        self.progress(
            Progress(
                rows=self.rows,
                safe_rows=self.manifest.rows,
                rows_per_second=(self.rows - self.rows_before) / seconds if seconds else 0.0,
                share=share,
                seconds_left=seconds * (1 - share) / read if read > 0 else None,
                finished=finished,
            )
        )


def _summary(folder: Path, manifest: _Manifest, rows_before: int) -> Summary:
    shards = manifest.shards
    return Summary(
        folder,
        manifest.rows,
        sum(shard.unusable for shard in shards),
        sum(shard.truncated for shard in shards),
        tuple(problem for shard in shards for problem in shard.problems)[:SHOWN_PROBLEMS],
        len(shards),
        rows_before,
        tuple(sorted({name for shard in shards for name in shard.left_out})),
    )


def _begin(folder: Path, asked: dict[str, Any], overwrite: bool) -> _Manifest:
    """The manifest to go on with: the folder's own, if it was made of the same, or a new one."""
    path = folder / MANIFEST
    if not path.exists():
        others = [
            item.name for item in folder.iterdir() if not item.name.startswith(".") and item.name != f"{MANIFEST}.part"
        ]
        if others:
            raise FileError(
                f"{folder} has files that are not of a run like this ({min(others)}); name a new or an empty folder"
            )
    manifest = _Manifest(asked)
    if path.exists() and not overwrite:
        manifest = _load(path)
        differences = list(_differences(manifest.made_of, asked))
        if differences:
            raise FileError(
                f"{folder} was made otherwise: {'; '.join(differences)}. Put that back to go on with it, name another "
                "folder, or start anew with --overwrite"
            )
        for shard in manifest.shards:
            file = folder / shard.file
            if not file.is_file() or file.stat().st_size != shard.bytes:
                raise FileError(
                    f"{file} is missing or was changed since it was finished; put it back, or start anew with "
                    "--overwrite"
                )
    with _writing(folder):
        _save(manifest, folder)
        # What was renamed just before a kill, or belongs to a run that is overwritten.
        finished = {shard.file for shard in manifest.shards}
        for item in folder.iterdir():
            if _PART.fullmatch(item.name) and item.name not in finished:
                item.unlink()
        shutil.rmtree(folder / _UNFINISHED, ignore_errors=True)
    return manifest


def _differences(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    """What differs between two runs, in words."""
    if old["stancelib"] != new["stancelib"]:
        yield f"by stancelib {old['stancelib']}, this is {new['stancelib']}"
    changed = _input_changes(old["input"], new["input"])
    if changed:
        yield f"the input {new['input']['path']} has changed ({changed})"
    files = sorted(
        name
        for name in {*old["model"]["sha256"], *new["model"]["sha256"]}
        if old["model"]["sha256"].get(name) != new["model"]["sha256"].get(name)
    )
    if files:
        yield f"by the model {old['model']['name']}, this is {new['model']['name']} (other {', '.join(files)})"
    for name, value in new["settings"].items():
        if old["settings"].get(name) != value:
            yield f"{name} was {old['settings'].get(name)!r}, is {value!r}"


def _input_changes(old: dict[str, Any], new: dict[str, Any]) -> str:
    if old["bytes"] != new["bytes"]:
        return f"{new['bytes']:,} bytes, were {old['bytes']:,}"
    if old.get("sha256_ends") != new.get("sha256_ends"):
        return "other content"
    if old["modified_ns"] != new["modified_ns"]:
        was = datetime.fromtimestamp(old["modified_ns"] / 1e9).isoformat(" ", "seconds")
        return f"written to after {was}"
    return ""


class _ChangedError(FileError):
    pass


def _check_unchanged(source: Path, before: dict[str, Any], folder: Path, rows: int, thoroughly: bool = False) -> None:
    """Raise if ``source`` is not the file that it was; its content is looked at only ``thoroughly``."""
    try:
        after = _fingerprint(source) if thoroughly else before | _size_and_time(source)
    except FileError:
        changed = "it is gone"
    else:
        changed = _input_changes(before, after)
    if changed:
        raise _ChangedError(
            f"{source} changed while it was read: {changed}. The {rows:,} rows in {folder} are of the file as it was. "
            "Start anew with --overwrite when nothing writes to it, or on a copy"
        )


def _fingerprint(path: Path) -> dict[str, Any]:
    """What tells one state of a file from another: size, time of change, and a digest of the first and last MB."""
    digest = hashlib.sha256()
    state = _size_and_time(path)
    try:
        with path.open("rb") as file:
            digest.update(file.read(1 << 20))
            file.seek(max(0, state["bytes"] - (1 << 20)))
            digest.update(file.read(1 << 20))
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from None
    return {"path": str(path.absolute()), **state, "sha256_ends": digest.hexdigest()}


def _size_and_time(path: Path) -> dict[str, int]:
    try:
        state = path.stat()
    except FileNotFoundError:
        raise FileError(f"{path}: no such file") from None
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from None
    return {"bytes": state.st_size, "modified_ns": state.st_mtime_ns}


def _model_digests(checkpoint: Checkpoint) -> dict[str, str]:
    """sha256 of the files that the answers depend on."""
    digests = {}
    for path in sorted(checkpoint.folder.iterdir()):
        if path.name in ("config.json", "tokenizer.json", "model.onnx") or path.suffix == ".safetensors":
            with path.open("rb") as file:
                digests[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def _load(path: Path) -> _Manifest:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        shards = [_Shard(**shard) for shard in stored.pop("shards")]
        complete = stored.pop("complete")
        for part in ("stancelib", "input", "model", "settings"):
            stored[part]
        return _Manifest(stored, shards, complete)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        raise FileError(f"{path} is damaged, or not of stancelib; start anew with --overwrite") from None


def _save(manifest: _Manifest, folder: Path) -> None:
    part = folder / f"{MANIFEST}.part"
    stored = manifest.made_of | {"complete": manifest.complete, "shards": [asdict(shard) for shard in manifest.shards]}
    part.write_text(json.dumps(stored, indent=1, ensure_ascii=False, default=str) + "\n", encoding="utf-8")
    sync(part)
    part.replace(folder / MANIFEST)
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    """Have the names in ``folder`` on the disk; Windows can't, and does not need to."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except FileError:
        raise
    except OSError as error:
        place = error.filename or folder
        raise FileError(f"{place} cannot be written: {error.strerror or error}") from None


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Have ``folder`` to ourselves. The operating system drops the lock of a process that dies, however it dies."""
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / _LOCK, timeout=0)
        running = folder / _RUNNING
        try:
            lock.acquire()
        except Timeout:
            try:
                who = running.read_text(encoding="utf-8").strip()
            except OSError:
                who = "another process"
            raise FileError(f"{who} is writing to {folder}; wait for it to end, or name another folder") from None
    try:
        with _writing(folder):
            running.write_text(f"process {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")
        yield
    finally:
        running.unlink(missing_ok=True)
        lock.release()
