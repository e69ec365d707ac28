"""How much memory `predict_file` takes for files of 100,000 and of a million rows.

    python benchmarks/memory.py [--rows 100000 1000000] [--model base]

Each file is read in a process of its own, whose highest resident memory is printed. The model is a small random one,
for the question is what the rows cost; with ``--model``, that of the model comes on top.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

WORDS = ("Norda", "Sudria", "troops", "soldiers", "we", "they", "won't", "must", "never", "send", "keep", "vote", "on")
# Linux counts in KiB, macOS in bytes.
UNIT = 1 if sys.platform == "darwin" else 1024


def random_model(folder: Path, seed: int = 1) -> Path:
    """A classifier with holders that no one trained: a random vector a token, averaged over the text.

    It has the tokenizer of the shipped model, and takes next to no time.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from safetensors.numpy import save_file

    from stancelib.checkpoint import DEFAULT_MODEL, HOLDER_HEAD, shipped

    base = shipped()[DEFAULT_MODEL]
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(base / name, folder)
    vocabulary = json.loads((base / "config.json").read_text())["vocab_size"]
    numbers = np.random.default_rng(seed)
    weights = {"stances": (numbers.normal(size=(vocabulary, 3)) * 3).astype(np.float32)}
    head = {"tags": (numbers.normal(size=(vocabulary, 7)) * 3).astype(np.float32)}
    head["tags"][:, 0] += 15  # few tokens are of a holder, as in real text
    save_file(weights, folder / "model.safetensors")
    save_file(head, folder / HOLDER_HEAD)
    nodes = [
        helper.make_node("Gather", ["tags", "input_ids"], ["tag_logits"]),
        helper.make_node("Gather", ["stances", "input_ids"], ["by_token"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["weights"]),
        helper.make_node("Mul", ["by_token", "weights"], ["read"]),
        helper.make_node("ReduceSum", ["read", "tokens"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["weights", "tokens"], ["count"], keepdims=0),
        helper.make_node("Div", ["sum", "count"], ["logits"]),
    ]
    constants = weights | head | {"last": np.array([2]), "tokens": np.array([1])}
    graph = helper.make_graph(
        nodes,
        "random",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["b", "t"])
            for name in ("input_ids", "attention_mask")
        ],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", 3]),
            helper.make_tensor_value_info("tag_logits", TensorProto.FLOAT, ["b", "t", 7]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "model.onnx")
    return folder


def write_rows(path: Path, rows: int) -> None:
    """A Parquet file of ``rows`` short texts, no two of them the same, in one row group for each million."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    numbers = random.Random(1)
    schema = pa.schema([("id", pa.int64()), ("text", pa.string()), ("source", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, 1_000_000):
            ids = range(start, min(rows, start + 1_000_000))
            texts = [" ".join(numbers.choices(WORDS, k=numbers.randint(6, 24))) + f" {number}." for number in ids]
            columns = [pa.array(ids, pa.int64()), pa.array(texts), pa.array(["news"] * len(ids))]
            writer.write_table(pa.table(columns, schema=schema), row_group_size=1_000_000)


def measure(model: str, source: Path, target: Path) -> None:
    """Run, and print the peak of this process as JSON."""
    from stancelib import StanceClassifier
    from stancelib.shards import predict_file

    classifier = StanceClassifier.from_pretrained(model)
    began = time.monotonic()
    loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT
    summary = predict_file(classifier, source, target)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT
    seconds = time.monotonic() - began
    print(json.dumps({"rows": summary.rows, "loaded": loaded, "peak": peak, "seconds": seconds}))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--model", help="a shipped model's name or a folder (default: a small random one)")
    parser.add_argument("--measure", nargs=3, metavar=("MODEL", "SOURCE", "TARGET"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        model, source, target = arguments.measure
        measure(model, Path(source), Path(target))
        return
    print(f"{'rows':>10}  {'input MB':>8}  {'loaded MB':>9}  {'peak MB':>7}  {'seconds':>7}")
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model or str(random_model(Path(folder) / "model"))
        for rows in arguments.rows:
            source, target = Path(folder) / f"{rows}.parquet", Path(folder) / f"{rows}"
            write_rows(source, rows)
            command = [sys.executable, __file__, "--measure", model, str(source), str(target)]
            ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found = json.loads(ran.stdout)
            print(
                f"{rows:>10,}  {source.stat().st_size / 1e6:>8.0f}  {found['loaded'] / 1e6:>9.0f}  "
                f"{found['peak'] / 1e6:>7.0f}  {found['seconds']:>7.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
