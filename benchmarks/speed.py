"""How long the first prediction takes, and how many sentences a second follow.

    python benchmarks/speed.py

Run it on an idle machine. Times are medians over the rounds, with the fastest and the slowest.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import stancelib

SENTENCES = Path(__file__).resolve().parent.parent / "seeds" / "test.jsonl"
FIRST = "import stancelib; stancelib.predict('Norda rules out soldiers on the ground.')"


def spread(values: list[float], digits: int) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    starts = []
    for _ in range(arguments.rounds):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", FIRST], check=True)
        starts.append(time.perf_counter() - start)
    classifier = stancelib.StanceClassifier.from_pretrained()
    texts = [json.loads(line)["text"] for line in SENTENCES.read_text(encoding="utf-8").splitlines()[:300]]
    classifier.predict(texts[:64])
    rates, latencies = [], []
    for _ in range(arguments.rounds):
        start = time.perf_counter()
        classifier.predict_proba(texts)
        rates.append(len(texts) / (time.perf_counter() - start))
    for text in texts[:200]:
        start = time.perf_counter()
        classifier.predict(text)
        latencies.append((time.perf_counter() - start) * 1000)
    latencies.sort()
    print(f"model {classifier.checkpoint.name}, {os.cpu_count()} cores, {arguments.rounds} rounds")
    print(f"interpreter start to first prediction: {spread(starts, 2)} s")
    print(f"throughput, {len(texts):,} sentences of mixed length: {spread(rates, 0)} sentences a second")
    print(f"latency of one sentence: p50 {latencies[100]:.1f} ms, p99 {latencies[198]:.1f} ms")


if __name__ == "__main__":
    main()
