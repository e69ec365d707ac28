"""The command line: ``stancelib predict``, ``stancelib analyze`` and ``stancelib info``."""

from __future__ import annotations

import io
import itertools
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table as RichTable
from rich.text import Text

import stancelib
from stancelib.checkpoint import Checkpoint, shipped
from stancelib.classifier import WINDOW, StanceClassifier
from stancelib.commands.agreement import agreement
from stancelib.commands.compare import compare
from stancelib.commands.evaluate import evaluate
from stancelib.commands.prevalence import PeriodName, prevalence
from stancelib.commands.suggest import suggest
from stancelib.commands.train import train
from stancelib.corpus import PERIODS, Source, read_sources, write_tables
from stancelib.document import Document
from stancelib.errors import FileError, StancelibError
from stancelib.prediction import ABSTAINED, Prediction
from stancelib.results import Writer
from stancelib.shards import ROWS_IN_SHARD, Summary, predict_file
from stancelib.shards import Progress as ShardProgress
from stancelib.sheets import check_target, write_whole
from stancelib.tables import FORMATS, Format, Row, Table, format_of, open_table, read_table
from stancelib.texts import problem

COLOURS = {"support": "green", "oppose": "red", "neutral": "yellow"}

app = typer.Typer(
    help="Who supports, who opposes and who stays neutral on sending troops, sentence by sentence.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class OutputFormat(StrEnum):
    """How results are written."""

    table = "table"
    csv = "csv"
    tsv = "tsv"
    jsonl = "jsonl"
    parquet = "parquet"


class InputFormat(StrEnum):
    """How sentences are read."""

    lines = "lines"
    csv = "csv"
    tsv = "tsv"
    jsonl = "jsonl"
    parquet = "parquet"


class TableFormat(StrEnum):
    """How tables are written."""

    csv = "csv"
    tsv = "tsv"
    jsonl = "jsonl"
    parquet = "parquet"


class BackendName(StrEnum):
    """What runs the model."""

    onnx = "onnx"
    torch = "torch"


def _version(asked: bool) -> None:
    if asked:
        print(f"stancelib {stancelib.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def predict(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT… | FILE | -",
            help="Sentences, each in quotes; or one file (.txt with a sentence a line, .csv, .tsv, .jsonl, .parquet); "
            "or - for lines from a pipe.",
            show_default=False,
        ),
    ] = None,
    text_column: Annotated[
        str | None,
        typer.Option("--text-column", "-c", help="The column that holds the text. [default: text, or the only one]"),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|FOLDER/",
            help="Write to this file, whose ending tells the format; or shards to this folder.",
        ),
    ] = None,
    format_: Annotated[
        OutputFormat | None,
        typer.Option(
            "--format",
            "-f",
            help="Format of the output. [default: by --output's ending; in a folder, that of the input; else table]",
        ),
    ] = None,
    input_format: Annotated[
        InputFormat | None,
        typer.Option(help="Format of the input. [default: by the file's ending, else lines]"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")] = False,
    shards: Annotated[
        bool,
        typer.Option("--shards", help="--output is a folder for shards (so is one that is there, or ends in /)."),
    ] = False,
    rows_in_shard: Annotated[
        int, typer.Option(min=1, help="Rows in a shard; what a kill costs is at most one shard.")
    ] = ROWS_IN_SHARD,
    raw: Annotated[
        bool,
        typer.Option(
            "--raw",
            help="In CSV and TSV, write texts that begin like a formula (= + - @) as they are, without the ' before "
            "them that keeps spreadsheets from running them.",
        ),
    ] = False,
    abstain_below: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Write 'unsure' for the stance of sentences that the model is less confident of."
        ),
    ] = 0.0,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="A shipped model's name, a checkpoint folder, or a hub id.")
    ] = None,
    backend: Annotated[BackendName, typer.Option(help="What runs the model.")] = BackendName.onnx,
    device: Annotated[str | None, typer.Option(help="For --backend torch: cpu, cuda:0, mps …")] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="How many threads compute a batch. [default: one a core]")
    ] = None,
) -> None:
    """Classify sentences.

    **Examples**

    stancelib predict "Norda rules out soldiers on the ground."

    stancelib predict sentences.csv --text-column body --output stances.csv

    grep -i troops speech.txt | stancelib predict - --format jsonl

    zcat posts.jsonl.gz | stancelib predict - --input-format jsonl --format csv > stances.csv

    stancelib predict big.parquet --output stances/

    The result has each input row's own columns, then stance, confidence, p_support, p_oppose, p_neutral, holders (who
    takes which stance in the sentence), truncated (the text was longer than the model reads) and problem (why a row
    could not be classified; it keeps its place).

    Into a folder go shards (part-00000.parquet, …), for input of any size. The same command goes on with a run that was
    broken off, and neither loses nor repeats a row.

    Exit codes: 0 done, 1 an error or no usable row, 2 wrong usage, 130 interrupted (what was done stays in
    OUTPUT.part).
    """
    if output is not None and (shards or output.endswith(("/", os.sep)) or Path(output).is_dir()):
        source = _one_file(inputs or [])
        _predict_shards(
            partial(
                predict_file,
                source=source,
                target=output,
                text_column=text_column,
                input_format=input_format.value if input_format else None,
                output_format=_shard_format(format_),
                rows_in_shard=rows_in_shard,
                abstain_below=abstain_below,
                overwrite=overwrite,
                raw=raw,
            ),
            source,
            _load(model, backend, device, threads),
        )
        return
    if shards:
        raise typer.BadParameter("--shards needs a folder: --output FOLDER/")
    path = None if output is None else Path(output)
    kind = _output_format(path, format_)
    table = _open_input(inputs or [], text_column, input_format.value if input_format else None)
    classifier = _load(model, backend, device, threads)
    tally = _Tally(table)
    results = tally.count(_classify(table.rows, classifier, abstain_below))
    try:
        if kind is None:
            _print_lines(results, table)
        else:
            with Writer(
                path or sys.stdout,
                kind,
                table.columns,
                overwrite,
                table.schema,
                labels=classifier.labels,
                holders=classifier.checkpoint.has_holders,
                raw=raw,
            ) as writer:
                _write(results, table, writer)
    except KeyboardInterrupt:
        kept = f"; {tally.rows:,} rows are in {output}.part" if output is not None else ""
        _say(f"interrupted{kept}")
        raise typer.Exit(130) from None
    except BrokenPipeError:
        # The reader (head, say) has enough. Python would complain at exit, when it flushes the closed pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    _report(tally, table.name)
    if output is not None:
        _say(f"{tally.rows - tally.unusable:,} predictions in {output}")
    if tally.rows == tally.unusable:
        raise typer.Exit(1)


def _load(model: str | None, backend: BackendName, device: str | None, threads: int | None) -> StanceClassifier:
    try:
        return StanceClassifier.from_pretrained(model, backend=backend.value, device=device, threads=threads)
    except ValueError as error:  # a device that is not there, or not for this backend
        raise typer.BadParameter(str(error)) from None


def _write(results: Iterator[tuple[Row, Prediction | None]], table: Table, writer: Writer) -> None:
    with _progress(table) as advance:
        for row, prediction in results:
            writer.write(row, prediction)
            advance()
    _say_left_out(table.name, sorted(writer.left_out))


def _say_left_out(name: str, fields: Sequence[str]) -> None:
    if fields:
        _say(
            f"{name}: some rows have fields that the first has not ({', '.join(fields[:5])}); write .jsonl to keep them"
        )


def _predict_shards(run: Callable[..., Summary], source: Path, classifier: StanceClassifier) -> None:
    """``run`` is `predict_file`, all but the classifier and the progress given."""
    try:
        with _ShardBar() as bar:
            found = run(classifier, progress=bar)
    except KeyboardInterrupt:
        _say("interrupted; the shards that are finished are kept, and the same command goes on from there")
        raise typer.Exit(130) from None
    _report(found, str(source))
    _say_left_out(str(source), found.left_out)
    if found.rows and found.rows == found.rows_before:
        _say(f"{found.folder} was complete already")
    elif found.rows_before:
        _say(f"went on after row {found.rows_before:,}")
    pace = f", {bar.last.rows_per_second:,.0f} rows/s" if bar.last else ""
    _say(f"{found.rows - found.unusable:,} predictions in {found.folder}, {found.shards:,} shards{pace}")
    if found.rows == found.unusable:
        raise typer.Exit(1)


def _one_file(inputs: list[str]) -> Path:
    if len(inputs) != 1 or inputs == ["-"] or not _is_path(inputs[0]):
        raise typer.BadParameter("shards are made of one file, which can be read again after a kill; name it")
    return Path(inputs[0])


class _ShardBar(AbstractContextManager["_ShardBar"]):
    """Tells how far the shards are: on a terminal a bar, else a line for each that is finished."""

    def __init__(self) -> None:
        self.last: ShardProgress | None = None
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("{task.fields[told]}"), BarColumn(), console=Console(stderr=True), transient=True
            )
            self._task = self._bar.add_task("", total=1.0, told="")

    def __enter__(self) -> _ShardBar:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, now: ShardProgress) -> None:
        self.last = now
        left = "" if now.seconds_left is None else f", {timedelta(seconds=round(now.seconds_left))} left"
        told = f"{now.rows:,} rows ({now.share:.0%}), {now.rows_per_second:,.0f} rows/s{left}"
        if self._bar:
            self._bar.update(self._task, completed=now.share, told=told)
        elif now.finished:
            _say(f"{now.finished.name}: {told}")


def _shard_format(asked: OutputFormat | None) -> Format | None:
    if asked is OutputFormat.table:
        raise typer.BadParameter("a table is printed, not written; use csv, tsv, jsonl or parquet with --output")
    return FORMATS[f".{asked.value}"] if asked else None


def _output_format(output: Path | None, asked: OutputFormat | None) -> Format | None:
    """None for the printed table."""
    if asked is not None:
        if asked is OutputFormat.table:
            if output is not None:
                raise typer.BadParameter(
                    "a table is printed, not written; use csv, tsv, jsonl or parquet with --output"
                )
            return None
        return FORMATS[f".{asked.value}"]
    if output is None:
        return None
    kind = format_of(output)
    if kind is None or kind == "lines":
        raise typer.BadParameter(f"{output}: end the name in .csv, .tsv, .jsonl or .parquet, or pass --format")
    return kind


def _open_input(inputs: list[str], text_column: str | None, kind: Format | None) -> Table:
    if not inputs and sys.stdin.isatty():
        raise typer.BadParameter("give sentences in quotes, a file, or - to read lines from a pipe")
    if not inputs or inputs == ["-"]:
        if kind == "parquet":
            raise typer.BadParameter("Parquet can't be read from a pipe; name the file")
        return read_table(sys.stdin.buffer, "standard input", kind or "lines", text_column)
    paths = [argument for argument in inputs if _is_path(argument)]
    if paths and len(inputs) > 1:
        raise typer.BadParameter(f"{paths[0]} is a file; give one file at a time, or sentences")
    if paths:
        return open_table(inputs[0], text_column, kind)
    rows = (Row(number, {"text": text}, text, problem(text)) for number, text in enumerate(inputs, 1))
    return Table("the command line", ["text"], "text", rows, unit="text")


def _is_path(argument: str) -> bool:
    """A file that exists, or what looks so much like the name of one that it is better to say that it doesn't."""
    try:
        if argument and Path(argument).exists():
            return True
    except (OSError, ValueError):  # a text that is too long for a name
        return False
    return format_of(argument) is not None or (" " not in argument and argument.startswith(("/", "./", "../", "~/")))


def _classify(
    rows: Iterator[Row], classifier: StanceClassifier, abstain_below: float
) -> Iterator[tuple[Row, Prediction | None]]:
    while window := list(itertools.islice(rows, WINDOW)):
        texts = [row.text if row.problem is None else None for row in window]
        yield from zip(window, classifier.predict(texts, invalid="skip", abstain_below=abstain_below), strict=True)


class _Tally:
    """Counts what goes by, for what a reader must know of it at the end."""

    shown = 5

    def __init__(self, table: Table) -> None:
        self.unit = table.unit
        self.rows = self.unusable = self.truncated = 0
        self.problems: list[str] = []

    def count(self, results: Iterator[tuple[Row, Prediction | None]]) -> Iterator[tuple[Row, Prediction | None]]:
        for row, prediction in results:
            self.rows += 1
            self.truncated += prediction is not None and prediction.truncated
            if prediction is None:
                self.unusable += 1
                if len(self.problems) < self.shown:
                    self.problems.append(f"{self.unit} {row.number}: {row.problem}")
            yield row, prediction


def _report(found: _Tally | Summary, name: str) -> None:
    if found.rows == 0:
        _say(f"error: {name} holds no text")
    if found.unusable:
        more = f"; {found.unusable - len(found.problems):,} more" if found.unusable > len(found.problems) else ""
        named = "; ".join(found.problems) + more
        _say(f"{name}: {found.unusable:,} of {found.rows:,} rows could not be used: {named}")
    if found.truncated:
        cut = f"{found.truncated:,} of the texts had more than the model reads"
        _say(f"{name}: {cut}; only their beginning counted")


def _print_lines(results: Iterator[tuple[Row, Prediction | None]], table: Table) -> None:
    """A line a sentence: label, confidence, text. On a terminal in colour, with the text wrapped in its own column."""
    if not sys.stdout.isatty():
        with _progress(table) as advance:
            print("label    conf  sentence")
            for row, prediction in results:
                print(*_cells(row, prediction), sep="  ")
                advance()
        sys.stdout.flush()
        return
    console = Console(highlight=False)
    console.print(Text("label    conf  sentence", style="bold"))
    for row, prediction in results:
        label, confidence, text = _cells(row, prediction)
        style = COLOURS.get(prediction.label, "cyan") if prediction and prediction.label else "dim"
        lines = Text(text).wrap(console, max(20, console.width - 15))
        for number, line in enumerate(lines):
            head = f"{label}  {confidence}  " if number == 0 else " " * 15
            console.print(Text(head, style=style) + line, soft_wrap=True)


def _cells(row: Row, prediction: Prediction | None) -> tuple[str, str, str]:
    """Label, confidence and text, of fixed width but for the last, without what could steer a terminal."""
    if prediction is None:
        return "-      ", "   -", f"({row.problem})"
    text = _printable(prediction.text)
    note = " (longer than the model reads: only the beginning counted)" if prediction.truncated else ""
    return f"{prediction.label or ABSTAINED:<7}", f"{prediction.confidence:.2f}", text + note


def _progress(table: Table) -> AbstractContextManager[Callable[[], None]]:
    """A progress bar on standard error, where that is a terminal; gives what to call after each row."""
    return _Bar(table) if sys.stderr.isatty() else nullcontext(lambda: None)


@contextmanager
def _count_bar(unit: str) -> Iterator[Callable[[], None]]:
    """A running count on standard error, where that is a terminal and standard output is not; gives what to call."""
    if not sys.stderr.isatty() or sys.stdout.isatty():
        yield lambda: None
        return
    with Progress(
        TextColumn(f"{{task.completed:,}} {unit}"), TimeElapsedColumn(), console=Console(stderr=True), transient=True
    ) as progress:
        task = progress.add_task("", total=None)
        yield lambda: progress.advance(task)


class _Bar(AbstractContextManager[Callable[[], None]]):
    def __init__(self, table: Table) -> None:
        self._table, self._rows = table, 0
        self._progress = Progress(
            TextColumn("{task.fields[rows]:,} rows"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,  # standard output may be a file
            redirect_stderr=False,
        )
        self._task = self._progress.add_task("", total=table.total, rows=0)

    def __enter__(self) -> Callable[[], None]:
        self._progress.start()
        return self.advance

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self) -> None:
        self._rows += 1
        if self._rows % 16 == 0:
            self._progress.update(self._task, completed=self._table.done(), rows=self._rows)


@app.command()
def analyze(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE… | FOLDER… | -",
            help="Text files (.txt, .md: a document each), tables (.csv, .tsv, .jsonl, .parquet: a document a row), "
            "folders of them, or - for one text from a pipe.",
            show_default=False,
        ),
    ],
    text_column: Annotated[
        str | None, typer.Option("--text-column", "-c", help="Of tables: the column that holds the text.")
    ] = None,
    title_column: Annotated[str | None, typer.Option(help="Of tables: the column that names the document.")] = None,
    date_column: Annotated[
        str | None, typer.Option(help="Of tables: the column with its date (2024-05-17), for the table by period.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the tables holders, sentences, periods to this folder.")
    ] = None,
    format_: Annotated[TableFormat, typer.Option("--format", "-f", help="Format of the tables.")] = TableFormat.csv,
    period: Annotated[PeriodName, typer.Option(help="What the table by period counts by.")] = PeriodName.month,
    html: Annotated[
        Path | None,
        typer.Option(help="Write a page to read: the text with its stances, or the overview of several documents."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")] = False,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact",
            help="Have the model read every sentence. Of several texts it does not read those that a cheap first stage "
            "tells to take no position; of a single text it always reads all.",
        ),
    ] = False,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="A shipped model's name, a checkpoint folder, or a hub id.")
    ] = None,
) -> None:
    """Read whole texts: who supports, who opposes, and the sentences that say so.

    **Examples**

    stancelib analyze article.txt --html article.html

    stancelib analyze news/ --output tables --format parquet

    stancelib analyze news.csv -c body --date-column published --title-column headline -o tables --html news.html

    Texts that can't be used are left out and named at the end. Exit codes are those of `stancelib predict`.
    """
    if html is not None:
        check_target(html, overwrite)
    classifier = StanceClassifier.from_pretrained(model)
    unusable: list[str] = []
    documents = classifier.analyze_many(
        _usable(_sources(inputs, text_column, title_column, date_column), unusable),
        exact=exact or _is_one_text(inputs),
    )
    if output is not None:
        counted_by = PERIODS[PERIODS.index(period.value)]
        documents = write_tables(documents, output, FORMATS[f".{format_.value}"], counted_by, overwrite)
    kept: list[Document] = []
    count = sentences = gated = 0
    try:
        with _count_bar("documents") as advance:
            for document in documents:
                sentences += len(document)
                gated += sum(sentence.prediction.gated for sentence in document)
                if output is None and (html is None or count == 0):
                    _print_map(document, first=count == 0)
                if html is not None:
                    kept.append(document)
                count += 1
                advance()
    except KeyboardInterrupt:
        _say("interrupted" + (f"; {count:,} documents are in {output}/*.part" if output is not None else ""))
        raise typer.Exit(130) from None
    if html is not None and kept:
        _write_page(html, kept)
    for line in unusable[: _Tally.shown]:
        _say(f"left out: {line}")
    if len(unusable) > _Tally.shown:
        _say(f"left out: {len(unusable) - _Tally.shown:,} more")
    if gated:
        _say(
            f"{gated:,} of {sentences:,} sentences were told to take no position by the first stage, and not read by "
            "the model; --exact has it read all"
        )
    if output is not None:
        _say(f"{count:,} documents in {output}")
    if count == 0:
        _say("error: no text to read")
        raise typer.Exit(1)


def _is_one_text(inputs: list[str]) -> bool:
    if len(inputs) != 1:
        return False
    return inputs == ["-"] or (Path(inputs[0]).is_file() and format_of(inputs[0]) in (None, "lines"))


def _sources(
    inputs: list[str], text_column: str | None, title_column: str | None, date_column: str | None
) -> Iterator[Source]:
    if inputs == ["-"]:
        text = sys.stdin.buffer.read().decode("utf-8-sig", "replace")
        return iter([Source(text, "standard input")])
    return read_sources(map(Path, inputs), text_column, title_column, date_column)


def _usable(sources: Iterator[Source], unusable: list[str]) -> Iterator[Source]:
    """The sources that can be read; ``unusable`` gets a line for each of the others."""
    for source in sources:
        wrong = source.problem or problem(source.text)
        if wrong is None:
            yield source
        else:
            unusable.append(f"{source.title}: {wrong}")


def _write_page(path: Path, documents: list[Document]) -> None:
    from stancelib.html import corpus_page

    page = documents[0].to_html() if len(documents) == 1 else corpus_page(documents)
    write_whole(path, page)
    _say(f"{path} written")


def _print_map(document: Document, first: bool) -> None:
    """The stance map: a row a holder, with the sentence that says it most plainly."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    grid = RichTable(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for name in ("holder", "stance", "conf", "sentences"):
        grid.add_column(name, no_wrap=True, justify="right" if name == "sentences" else "left")
    grid.add_column("evidence", overflow="ellipsis", no_wrap=True)
    for holder in (*document.holders, *([document.author] if document.author else [])):
        shown = max(holder.evidence, key=lambda evidence: evidence.confidence)
        grid.add_row(
            Text(_printable(holder.name or "(the author)")),
            Text(holder.stance, style=COLOURS.get(holder.stance, "magenta")),
            f"{holder.confidence:.2f}",
            str(holder.sentence_count),
            # Cut here, for a long cell would make the columns before it narrow.
            Text(f"“{_short(_printable(shown.text), max(20, console.width - 75))}”"),
        )
    if not first:
        console.print()
    if document.title:
        console.print(Text(_printable(document.title), style="bold"))
    console.print(Text(str(document.balance)))
    if grid.row_count:
        console.print(grid)


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _printable(text: str) -> str:
    """On one line, without what could steer a terminal."""
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))


@app.command()
def info(
    model: Annotated[
        str | None, typer.Argument(help="A shipped model's name, a checkpoint folder, or a hub id.", show_default=False)
    ] = None,
) -> None:
    """Tell versions, the model, its labels, where it lies, whether its weights are intact, and how good it is."""
    import numpy
    import onnxruntime
    import tokenizers

    checkpoint = Checkpoint.open(model)
    metrics = checkpoint.metrics
    recorded = metrics["model"].get("sha256") if isinstance(metrics.get("model"), dict) else None
    intact = "not recorded" if recorded is None else "as measured" if recorded == checkpoint.sha256() else "CHANGED"
    rows = {
        "stancelib": stancelib.__version__,
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "runs on": f"onnxruntime {onnxruntime.__version__}, tokenizers {tokenizers.__version__}, "
        f"numpy {numpy.__version__}",
        "shipped models": ", ".join(shipped()) or "none",
        "model": checkpoint.name,
        "folder": f"{checkpoint.folder} ({checkpoint.size() / 1e6:.1f} MB)",
        "weights": intact,
        "labels": ", ".join(checkpoint.labels),
        "reads": f"up to {checkpoint.max_tokens} tokens a text",
    }
    rows |= _figures(metrics)
    grid = RichTable.grid(padding=(0, 2))
    for name, value in rows.items():
        grid.add_row(Text(name, style="bold"), Text(value, overflow="fold"))
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(grid)
    if intact == "CHANGED":
        raise StancelibError(f"{checkpoint.folder}/model.safetensors is not the file that was measured; fetch it again")


def _figures(metrics: dict[str, Any]) -> dict[str, str]:
    """The measured figures, a line each; none if ``metrics.json`` is somebody else's."""
    try:
        return {
            f"on {name}": f"macro-F1 {measured['macro_f1']:.3f} ({measured['macro_f1_interval'][0]:.3f}-"
            f"{measured['macro_f1_interval'][1]:.3f}), n = {measured['n']:,}"
            for name, measured in metrics["data"].items()
        }
    except (KeyError, TypeError, AttributeError, IndexError, ValueError):
        return {}


for _command in (train, suggest, evaluate, compare, agreement, prevalence):
    app.command()(_command)


def _say(message: str) -> None:
    sys.stdout.flush()
    print(f"stancelib: {message}", file=sys.stderr)


def main() -> None:
    """The entry point: errors become one line on standard error and an exit code."""
    if not sys.stdout.isatty() and isinstance(sys.stdout, io.TextIOWrapper):
        # Whatever the locale; bytes of the input that are no UTF-8 go out as they came in.
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
    try:
        app(prog_name="stancelib", standalone_mode=True)
    except StancelibError as error:
        _say(f"error: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        _say(f"error: {FileError(error.strerror or str(error))}" + (f": {error.filename}" if error.filename else ""))
        sys.exit(1)


if __name__ == "__main__":
    main()
