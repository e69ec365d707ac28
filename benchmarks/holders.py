"""What it costs to tell holders: the same sentences with and without the holder head, interleaved.

    python benchmarks/holders.py [model]

Without: the graph gives the stances alone. With: it gives the tags too, and spans are read off them. Prints sentences a
second (median of the rounds, and their range) and the cost in per cent.
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np
import onnxruntime

from stancelib.batching import batches, pad
from stancelib.checkpoint import Checkpoint
from stancelib.holders import find_holders
from stancelib.tokens import Encoder
from training import corpus

ROUNDS = 7
SENTENCES = 120


def main() -> None:
    checkpoint = Checkpoint.open(sys.argv[1] if len(sys.argv) > 1 else None)
    run = onnxruntime.InferenceSession(checkpoint.folder / "model.onnx").run
    texts = [row["text"] for row in corpus.load("test")[:SENTENCES]]
    encoded = Encoder(checkpoint.folder, checkpoint.max_tokens)(texts)
    groups = []
    for group in batches([len(item.ids) for item in encoded]):
        ids, mask = pad([encoded[index].ids for index in group], int(checkpoint.config["pad_token_id"]))
        groups.append((group, {"input_ids": ids, "attention_mask": mask}))

    def without() -> None:
        for _, inputs in groups:
            run(["logits"], inputs)

    def with_holders() -> None:
        for group, inputs in groups:
            _, tags = run(["logits", "tag_logits"], inputs)
            for row, index in enumerate(group):
                item = encoded[index]
                find_holders(texts[index], item.offsets, np.asarray(tags[row, : len(item.ids)]))

    times: dict[str, list[float]] = {"without": [], "with": []}
    for _ in range(ROUNDS + 1):
        for name, work in (("without", without), ("with", with_holders)):
            start = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - start)
    for name, seconds in times.items():
        rates = sorted(len(texts) / s for s in seconds[1:])  # the first round warms up
        print(f"{name:<8}{statistics.median(rates):6.1f} sentences a second ({rates[0]:.1f}-{rates[-1]:.1f})")
    cost = statistics.median(times["with"][1:]) / statistics.median(times["without"][1:]) - 1
    print(f"cost of holders: {cost:+.1%} time, n = {len(texts)} sentences, {ROUNDS} rounds")


if __name__ == "__main__":
    main()
