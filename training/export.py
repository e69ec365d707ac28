"""Step 3: turn a trained student into the folder that ships: fp16 weights and an ONNX graph over the same file.

    python -m training.export runs/student --output models/small

The temperature that fits the validation split best is divided into the last layer (Guo et al. 2017), so that every
backend, plain transformers too, gives calibrated probabilities and none needs a file more. ``model.onnx`` holds no
weights: it points into ``model.safetensors``. Both backends compute in fp32.
"""

from __future__ import annotations

import argparse
import json
import shutil
import struct
from pathlib import Path

import numpy as np
import onnx
import torch
from scipy.optimize import minimize_scalar
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from stancelib.checkpoint import Checkpoint
from stancelib.classifier import StanceClassifier
from stancelib.labels import LABELS
from training import corpus
from training.loop import TRAIN_LENGTH, load_model

LARGEST_FOLDER = 100_000_000  # bytes


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature T > 0 that minimises the log loss of softmax(logits / T) (Guo et al. 2017)."""

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        shifted = scaled - scaled.max(axis=1, keepdims=True)
        log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return float(-log_probabilities[np.arange(len(labels)), labels].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))


def validation_logits(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> tuple[np.ndarray, np.ndarray]:
    rows = corpus.load("validation")
    logits = []
    with torch.inference_mode():
        for start in range(0, len(rows), 32):
            texts = [row["text"] for row in rows[start : start + 32]]
            batch = tokenizer(texts, truncation=True, max_length=TRAIN_LENGTH, padding=True, return_tensors="pt")
            logits.append(model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits.numpy())
    return np.concatenate(logits), np.array([LABELS.index(row["label"]) for row in rows])


def write_onnx(model: PreTrainedModel, folder: Path) -> None:
    """``folder/model.onnx``: the graph of ``model``, its weights read from ``folder/model.safetensors``."""
    ids = torch.randint(5, 100, (2, 7))
    batch, tokens = torch.export.Dim("batch"), torch.export.Dim("tokens", max=model.config.max_position_embeddings)
    program = torch.onnx.export(
        _Logits(model).eval(),
        (ids, torch.ones_like(ids)),
        input_names=["input_ids", "attention_mask"],
        output_names=["logits"],
        dynamic_shapes={"input_ids": {0: batch, 1: tokens}, "attention_mask": {0: batch, 1: tokens}},
        dynamo=True,
        optimize=True,
        verbose=False,
    )
    assert program is not None
    graph_model = program.model_proto
    # The exporter notes stack traces of this machine at every node.
    del graph_model.graph.value_info[:]
    for node in graph_model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*graph_model.graph.input, *graph_model.graph.output, *graph_model.graph.initializer):
        del value.metadata_props[:]
    del graph_model.metadata_props[:]
    del graph_model.graph.metadata_props[:]
    _share_weights(graph_model, model, folder)
    onnx.save(graph_model, folder / "model.onnx")
    onnx.checker.check_model(str(folder / "model.onnx"))


class _Logits(torch.nn.Module):
    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


def _share_weights(graph_model: onnx.ModelProto, model: PreTrainedModel, folder: Path) -> None:
    """Replace each large initializer by a reference to the fp16 tensor of the same values, cast to fp32 at load."""
    with (folder / "model.safetensors").open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    weights = model.state_dict()
    casts = []
    for tensor in list(graph_model.graph.initializer):
        name = tensor.name.removeprefix("model.")
        values = onnx.numpy_helper.to_array(tensor)
        if values.size < 256:
            continue
        transposed = False
        if name not in header or tuple(weights[name].shape) != values.shape:
            # The exporter may have renamed or transposed it: find the parameter by its values.
            name, transposed = _find_parameter(values, weights)
        entry = header[name]
        start, end = entry["data_offsets"]
        shared = onnx.TensorProto(
            name=f"{tensor.name}.fp16",
            data_type=onnx.TensorProto.FLOAT16,
            dims=entry["shape"],
            data_location=onnx.TensorProto.EXTERNAL,
        )
        place = {"location": "model.safetensors", "offset": str(8 + length + start), "length": str(end - start)}
        for key, value in place.items():
            shared.external_data.add(key=key, value=value)
        graph_model.graph.initializer.remove(tensor)
        graph_model.graph.initializer.append(shared)
        wide = f"{tensor.name}.fp32" if transposed else tensor.name
        casts.append(onnx.helper.make_node("Cast", [shared.name], [wide], to=onnx.TensorProto.FLOAT))
        if transposed:
            casts.append(onnx.helper.make_node("Transpose", [wide], [tensor.name], perm=[1, 0]))
    nodes = list(graph_model.graph.node)
    del graph_model.graph.node[:]
    graph_model.graph.node.extend(casts + nodes)


def _find_parameter(values: np.ndarray, weights: dict[str, torch.Tensor]) -> tuple[str, bool]:
    for name, weight in weights.items():
        if tuple(weight.shape) == values.shape and np.array_equal(weight.numpy(), values):
            return name, False
        if tuple(weight.shape) == values.shape[::-1] and np.array_equal(weight.numpy().T, values):
            return name, True
    raise SystemExit(f"an initializer of shape {values.shape} is no parameter of the model")


def export(source: Path, output: Path) -> dict[str, float]:
    """Write the folder; returns the temperature and what the rounding to fp16 cost at most, in probability."""
    model, tokenizer = load_model(str(source))
    model.eval()
    logits, labels = validation_logits(model, tokenizer)
    temperature = fit_temperature(logits, labels)
    with torch.no_grad():
        model.classifier.out_proj.weight.div_(temperature)
        model.classifier.out_proj.bias.div_(temperature)
        for weight in model.state_dict().values():
            if weight.is_floating_point():
                weight.copy_(weight.half().float())  # what the graph is matched against, and measured with
    if output.exists():
        shutil.rmtree(output)
    output.mkdir(parents=True)
    tokenizer.save_pretrained(output)
    model.half().save_pretrained(output)
    model.float()
    config = json.loads((output / "config.json").read_text())
    config["dtype"] = "float32"  # stored in 16 bits, computed in 32
    config.pop("_name_or_path", None)
    (output / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    write_onnx(model, output)
    rows = corpus.load("validation")
    shipped = StanceClassifier.from_pretrained(output).predict_proba([row["text"] for row in rows])
    scaled = np.exp((logits - logits.max(axis=1, keepdims=True)) / temperature)
    difference = float(np.abs(shipped - scaled / scaled.sum(axis=1, keepdims=True)).max())
    size = Checkpoint.open(output).size()
    if size > LARGEST_FOLDER:
        raise SystemExit(f"{output} has {size / 1e6:.1f} MB, more than {LARGEST_FOLDER / 1e6:.0f}")
    return {"temperature": temperature, "rounding": difference, "megabytes": size / 1e6}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.export", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--output", type=Path, default=Path("models/small"))
    arguments = parser.parse_args(argv)
    record = export(arguments.source, arguments.output)
    training = arguments.source / "training.json"
    history = json.loads(training.read_text()) if training.exists() else {}
    history.pop("validation_by_step", None)
    (arguments.output / "training.json").write_text(json.dumps(history | record, indent=1) + "\n")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
