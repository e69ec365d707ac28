"""How fast stancelib is beside plain transformers on the same checkpoint: one command, one table.

    python benchmarks/speed.py                          # about an hour on two cores
    python benchmarks/speed.py --texts sentences.jsonl.gz --sentences 600   # your own text, a sentence a row
    python benchmarks/speed.py --sentences 40 --rounds 1 --no-write

Each figure and its rival are measured in the same run, in turns; figures are medians over the rounds, with the lowest
and the highest. Run it on an idle machine. Writes ``benchmarks/speed.json``, ``benchmarks/speed.md`` and the table of
costs in ``docs/scale.md``. Needs the extra ``train``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from stancelib import StanceClassifier
from stancelib.batching import batches, pad
from stancelib.runtime import open_runtime
from stancelib.sentences import split
from stancelib.tokens import Encoder
from training import corpus, real
from training.card import rewrite_section

HERE = Path(__file__).resolve().parent
BATCH_SIZES = (8, 16, 32, 64)
TRIED = 256  # sentences on which the best batch size is looked for
LATENCIES = 200
# One article in four is on the topic, in four sentences in a row: 4 of 80 sentences are, 1 in 20.
ARTICLE, ON_TOPIC_EVERY, ON_TOPIC = 20, 4, 4
# What the rest of the news is not about; many sentences of the files that we measure on are, neutral or not.
WAR = re.compile(
    r"troop|soldier|milit|army|armies|marine|\bwar|force|guard|weapon|attack|bomb|strike|terror|deploy|mission|invad|invasion"
    r"|withdr|nato|iraq|iran|afghan|syria|isis|ukrain|russia|vietnam|korea|bosnia|kosovo|defen[cs]e|peace|fight|kill",
    re.IGNORECASE,
)
FLOOR_BATCH = 32
FIRST = "Norda rules out soldiers on the ground."
START_OURS = "import sys, stancelib; stancelib.StanceClassifier.from_pretrained(sys.argv[1]).predict(sys.argv[2])"
START_PIPELINE = (
    "import sys; from transformers import pipeline; "
    "pipeline('text-classification', model=sys.argv[1], device='cpu')(sys.argv[2])"
)
# In bytes. Linux hands the resource usage of whoever starts a process down to it, so that is no measure there.
PEAK = """
import resource
try:
    print(next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
except OSError:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
"""


@dataclass(frozen=True)
class Figure:
    """A figure of ours beside its rival's, round by round.

    ``ratio`` is of the medians, ours over the rival's; ``goal`` is what it should reach: at least, or at most, as
    ``higher_is_better`` says.
    """

    name: str
    unit: str
    rival: str
    ours: list[float]
    theirs: list[float]
    goal: float
    higher_is_better: bool

    @property
    def ratio(self) -> float:
        return statistics.median(self.ours) / statistics.median(self.theirs)

    @property
    def reached(self) -> bool:
        return self.ratio >= self.goal if self.higher_is_better else self.ratio <= self.goal


def spread(values: Sequence[float]) -> str:
    """Median, lowest and highest, with as many digits as they are worth."""
    middle = statistics.median(values)
    digits = 0 if middle >= 100 else 1 if middle >= 10 else 2
    return f"{middle:,.{digits}f} ({min(values):,.{digits}f}-{max(values):,.{digits}f})"


def table(figures: Sequence[Figure]) -> str:
    lines = [
        "| what | stancelib | against | the rival | ratio | goal | reached |",
        "|---|--:|---|--:|--:|--:|---|",
    ]
    for figure in figures:
        goal = f"{'≥' if figure.higher_is_better else '≤'} {figure.goal:g}×"
        lines.append(
            f"| {figure.name}, {figure.unit} | {spread(figure.ours)} | {figure.rival} | {spread(figure.theirs)} | "
            f"{figure.ratio:.2f}× | {goal} | {'yes' if figure.reached else 'no'} |"
        )
    return "\n".join(lines)


def timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def in_turns(rounds: int, runs: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Each of ``runs`` once a round, beginning with another one each time."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            found[name].append(runs[name]())
            print(f"round {number + 1}: {name} {found[name][-1]:.4g}", file=sys.stderr, flush=True)
    return found


def child(code: str, *arguments: str) -> tuple[float, float]:
    """Seconds from the start of an interpreter to its end, and its peak memory in MB."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    start = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-c", code + PEAK, *arguments],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=environment,
    )
    seconds = time.perf_counter() - start
    if ended.returncode:
        raise SystemExit(f"python -c {code!r} ended with code {ended.returncode}")
    return seconds, float(ended.stdout.split()[-1]) / 1e6


def sentences_of(path: Path | None, count: int) -> list[str]:
    """Sentences of varying length: those of the file, or of ``seeds/``; each once, drawn with a fixed seed."""
    if path is None:
        texts = [row["text"] for split_ in ("test", "validation") for row in corpus.load(split_)]
    else:
        texts = real.read_texts(path)
    texts = list(dict.fromkeys(text for text in texts if text.strip()))
    if len(texts) < count:
        raise SystemExit(f"{path or 'seeds/'} has {len(texts):,} sentences, not {count:,}; pass --sentences")
    return random.Random(1).sample(texts, count)


def articles_of(path: Path | None, count: int, takes_position: Callable[[list[str]], list[bool]]) -> list[str]:
    """About ``count`` sentences as raw articles, in which 1 sentence in 20 takes a position on a deployment.

    From the file, where the other sentences are such as have no word of war; or else from the positions of the test
    split and the sentences of ``seeds/`` that only sound like the topic ("a brigade of volunteers"), which are harder
    to tell from it than ordinary news.
    """
    if path is None:
        positions = [row["text"] for row in corpus.load("test") if row["label"] != "neutral"]
        others = [row["text"] for row in corpus.load_all() if "offtopic" in row["phenomena"]]
    else:
        texts = sentences_of(path, min(4 * count, len({text for text in real.read_texts(path) if text.strip()})))
        takes = takes_position(texts)
        positions = [text for text, position in zip(texts, takes, strict=True) if position]
        others = [text for text, position in zip(texts, takes, strict=True) if not position and not WAR.search(text)]
    generator = random.Random(2)
    generator.shuffle(positions)
    generator.shuffle(others)
    articles = []
    for number in range(max(1, count // ARTICLE)):
        sentences = [others[(number * ARTICLE + i) % len(others)] for i in range(ARTICLE)]
        if number % ON_TOPIC_EVERY == 0:
            first = generator.randrange(ARTICLE - ON_TOPIC)
            at = number // ON_TOPIC_EVERY * ON_TOPIC
            sentences[first : first + ON_TOPIC] = [positions[(at + i) % len(positions)] for i in range(ON_TOPIC)]
        # Paragraphs of five sentences; a headline has no full stop, so that it must not run into the next sentence.
        ended = [text if text[-1] in ".!?”\"'" else text + "." for text in sentences]
        articles.append("\n\n".join(" ".join(ended[i : i + 5]) for i in range(0, ARTICLE, 5)))
    return articles


def padding_waste(sizes: list[int]) -> float:
    """The share of the tokens computed that is padding, for sentences of so many tokens."""
    computed = sum(max(sizes[i] for i in group) * len(group) for group in batches(sizes))
    return 1 - sum(sizes) / computed


def measure(arguments: argparse.Namespace) -> tuple[list[Figure], dict[str, Any]]:
    """All figures, and the facts that belong beside them."""
    from transformers import pipeline
    from transformers.utils import logging

    logging.set_verbosity_error()
    rounds: int = arguments.rounds
    classifier = StanceClassifier.from_pretrained(arguments.model)
    checkpoint = classifier.checkpoint
    folder = str(checkpoint.folder)
    texts = sentences_of(arguments.texts, arguments.sentences)
    encoder = Encoder(checkpoint.folder, checkpoint.max_tokens)
    runtime = open_runtime(checkpoint)
    pipe = pipeline(
        "text-classification", model=folder, device="cpu", truncation=True, max_length=checkpoint.max_tokens
    )

    def rival(sentences: list[str], size: int) -> Callable[[], float]:
        return lambda: len(sentences) / timed(lambda: list(pipe(sentences, batch_size=size)))

    tried = in_turns(1, {str(size): rival(texts[:TRIED], size) for size in BATCH_SIZES})
    best = int(max(tried, key=lambda size: tried[size]))

    peaks: dict[str, list[float]] = {"ours": [], "pipeline": []}

    def start(name: str, code: str) -> float:
        seconds, memory = child(code, folder, FIRST)
        peaks[name].append(memory)
        return seconds

    starts = in_turns(
        rounds, {"ours": lambda: start("ours", START_OURS), "pipeline": lambda: start("pipeline", START_PIPELINE)}
    )

    # What the floor runs is ready-made: of like length, in batches of one size.
    encoded = sorted((item.ids for item in encoder(texts)), key=len)
    ready = [
        pad(encoded[i : i + FLOOR_BATCH], int(checkpoint.config.get("pad_token_id") or 0))
        for i in range(0, len(encoded), FLOOR_BATCH)
    ]
    rates = in_turns(
        rounds,
        {
            "ours": lambda: len(texts) / timed(lambda: classifier.predict(texts)),
            "floor": lambda: len(texts) / timed(lambda: [runtime(ids, mask) for ids, mask in ready]),
            "best": rival(texts, best),
            "default": rival(texts, 1),
        },
    )

    lone = texts[: min(LATENCIES, len(texts))]
    quantiles: dict[str, list[float]] = {name: [] for name in ("ours 50", "ours 99", "pipeline 50", "pipeline 99")}
    for _ in range(rounds):
        taken: dict[str, list[float]] = {"ours": [], "pipeline": []}
        for text in lone:
            taken["ours"].append(timed(lambda text=text: classifier.predict(text)))  # type: ignore[misc]
            taken["pipeline"].append(timed(lambda text=text: pipe(text)))  # type: ignore[misc]
        for name, seconds in taken.items():
            for percentile in (50, 99):
                quantiles[f"{name} {percentile}"].append(float(np.percentile(seconds, percentile)) * 1000)

    def exact_positions(sentences: list[str]) -> list[bool]:
        return [prediction.label != "neutral" for prediction in classifier.predict(sentences)]

    articles = articles_of(arguments.articles or arguments.texts, arguments.sentences, exact_positions)
    pieces = [article[low:high] for article in articles for low, high in split(article)]
    news = in_turns(
        rounds,
        {
            "ours": lambda: len(pieces) / timed(lambda: list(classifier.analyze_many(articles, exact=False))),
            "best": rival(pieces, best),
        },
    )
    exact = [prediction.label for prediction in classifier.predict(pieces)]
    read = [sentence.prediction for doc in classifier.analyze_many(articles, exact=False) for sentence in doc.sentences]
    positions = sum(label != "neutral" for label in exact)
    skipped = sum(prediction.gated for prediction in read)
    missed = sum(label != "neutral" and prediction.gated for label, prediction in zip(exact, read, strict=True))

    default, batched = "pipeline, as it comes", f"pipeline, batches of {best}, its best"
    figures = [
        Figure("throughput", "sentences/s", default, rates["ours"], rates["default"], 5, True),
        Figure("throughput", "sentences/s", batched, rates["ours"], rates["best"], 3.5, True),
        Figure(
            "latency of one sentence, p50", "ms", default, quantiles["ours 50"], quantiles["pipeline 50"], 0.4, False
        ),
        Figure(
            "latency of one sentence, p99", "ms", default, quantiles["ours 99"], quantiles["pipeline 99"], 0.4, False
        ),
        Figure("interpreter start to first prediction", "s", default, starts["ours"], starts["pipeline"], 0.25, False),
        Figure("peak memory of that", "MB", default, peaks["ours"], peaks["pipeline"], 0.35, False),
        Figure("news, 1 sentence in 20 on the topic", "sentences/s", batched, news["ours"], news["best"], 20, True),
        Figure("end to end", "sentences/s", "a plain loop over the runtime", rates["ours"], rates["floor"], 0.9, True),
    ]
    facts = {
        "model": checkpoint.name,
        "weights_sha256": checkpoint.sha256(),
        "sentences": len(texts),
        "tokens": sum(map(len, encoded)),
        "bytes": sum(len(text.encode()) for text in texts),
        "padding": padding_waste([len(ids) for ids in encoded]),
        "rounds": rounds,
        "pipeline_batch_sizes": {size: rate[0] for size, rate in tried.items()},
        "text": "seeds/" if arguments.texts is None else "a file of real sentences",
        "news": {
            "articles": len(articles),
            "sentences": len(pieces),
            "skipped": skipped,
            "positions": positions,
            "positions_missed": missed,
        },
        "machine": machine(),
    }
    return figures, facts


def machine() -> dict[str, str]:
    """Processor, cores, system and versions."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    packages = ("onnxruntime", "tokenizers", "numpy", "torch", "transformers")
    return {
        "processor": models[0] if models else platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
    }


def report(figures: Sequence[Figure], facts: dict[str, Any]) -> str:
    """The table, and what must be known to read it, as Markdown."""
    news, where = facts["news"], facts["machine"]
    versions = ", ".join(
        f"{name} {value}" for name, value in where.items() if name not in ("processor", "cores", "system")
    )
    missed = news["positions_missed"] / news["positions"] if news["positions"] else 0.0
    return "\n".join(
        [
            table(figures),
            "",
            f"Medians of {facts['rounds']} rounds, with the lowest and the highest, ours and the rival in turns. Model "
            f"`{facts['model']}`, weights sha256 `{facts['weights_sha256'][:12]}…`; {facts['sentences']:,} sentences "
            f"({facts['text']}), {facts['tokens'] / facts['sentences']:.1f} tokens each on average; "
            f"{facts['padding']:.1%} of the tokens that stancelib computes are padding. News: {news['articles']:,} "
            f"articles, three in four without a word of war, {news['sentences']:,} sentences, "
            f"{news['skipped'] / news['sentences']:.1%} of them not read by "
            f"the model; of {news['positions']:,} sentences that it finds to take a position when it reads all, "
            f"{news['positions_missed']:,} ({missed:.2%}) are missed. {where['processor']}, {where['cores']} cores, "
            f"{where['system']}; {versions}.",
        ]
    )


def cost(figures: Sequence[Figure], facts: dict[str, Any]) -> str:
    """What a billion sentences cost at the pace that was measured, as Markdown."""
    ours = {figure.name: statistics.median(figure.ours) for figure in figures}
    cores = int(facts["machine"]["cores"])
    rate = ours["throughput"]
    news = next(value for name, value in ours.items() if name.startswith("news"))
    hours, news_hours = (1e9 / (each / cores) / 3600 for each in (rate, news))
    megabytes = 1000 * rate / cores * facts["bytes"] / facts["sentences"] / 1e6
    return "\n".join(
        [
            f"| measured on {cores} cores ({facts['machine']['processor']}), model `{facts['model']}` | |",
            "|---|--:|",
            f"| sentences of {facts['tokens'] / facts['sentences']:.0f} tokens a second, all read | {rate:,.1f} |",
            f"| … a core | {rate / cores:,.1f} |",
            f"| core-hours of a billion | {hours:,.0f} |",
            f"| … days on 64 cores, if all keep that pace | {hours / 64 / 24:,.1f} |",
            f"| sentences a second of a corpus of news, 1 in 20 on the topic | {news:,.1f} |",
            f"| … core-hours of a billion | {news_hours:,.0f} |",
            f"| memory of a process, MB | {ours['peak memory of that']:,.0f} |",
            f"| its start, to the first answer, seconds | {ours['interpreter start to first prediction']:.1f} |",
            f"| text that 1,000 cores read a second, MB | {megabytes:,.1f} |",
            "",
            "Written by `python benchmarks/speed.py`; the spread is in [speed.md](../benchmarks/speed.md).",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", help="a shipped model's name or a checkpoint folder (default: the shipped one)")
    parser.add_argument("--texts", type=Path, help="JSON Lines of sentences, gzipped or not (default: seeds/)")
    parser.add_argument("--articles", type=Path, help="JSON Lines of sentences to make the news of (default: --texts)")
    parser.add_argument("--sentences", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-write", action="store_true", help="print only, to try something out")
    arguments = parser.parse_args()
    figures, facts = measure(arguments)
    text = report(figures, facts)
    print(text)
    if not arguments.no_write:
        record = facts | {"figures": [asdict(figure) | {"ratio": figure.ratio} for figure in figures]}
        (HERE / "speed.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        (HERE / "speed.md").write_text(f"# Speed\n\n{text}\n", encoding="utf-8")
        rewrite_section(HERE.parent / "docs" / "scale.md", "cost", cost(figures, facts))


if __name__ == "__main__":
    main()
