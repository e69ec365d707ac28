"""Turn a trained encoder into the folder that ships: rounded weights, and an ONNX graph over the same file.

    python -m training.export runs/teacher --output models/base --words 15500

Large matrices are rounded to 8-bit floats (e4m3: 4 bits of exponent, 3 of mantissa; Micikevicius et al. 2022), the rest
to 16 bits. No scales are needed, so that the file stays a plain checkpoint, which loads in fp32 anywhere.

The temperature that fits held-out text best is divided into the last layer (Guo et al. 2017), so that every backend,
plain transformers too, gives calibrated probabilities and none needs a file more; with ``--unlabelled`` it is fitted on
real sentences too, for there the model errs more than on its own kind. The head that tags holders has its own
temperature and its own file. ``model.onnx`` holds no weights: it points into the two files. Both backends compute in
fp32.
"""

from __future__ import annotations

import argparse
import json
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from safetensors.torch import save_file
from scipy.optimize import minimize_scalar
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from stancelib.checkpoint import HOLDER_HEAD, Checkpoint
from stancelib.classifier import StanceClassifier
from stancelib.holders import softmax
from stancelib.labels import LABELS
from training import corpus, real
from training.holders import IGNORED, NAME, tag_logits, tag_tokens
from training.loop import TRAIN_LENGTH, load_model, logits_of, stored
from training.shrink import MAX_TOKENS, cut_positions, prune_vocabulary

LARGEST_FOLDER = 99_800_000  # bytes; figures and card must find room below 100 MB
LARGEST_CHANGE = 1e-3  # in probability, between the graph and the model, over so many sentences
CHECKED = 300
STORED = {"F16": onnx.TensorProto.FLOAT16, "F8_E4M3": onnx.TensorProto.FLOAT8E4M3FN}


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature T > 0 that minimises the log loss of softmax(logits / T) (Guo et al. 2017)."""

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        shifted = scaled - scaled.max(axis=1, keepdims=True)
        log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return float(-log_probabilities[np.arange(len(labels)), labels].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))


def temperature_of(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, unlabelled: Path | None
) -> tuple[float, str]:
    """The temperature that held-out text asks for, and what it was fitted on."""
    held_out = corpus.load("validation")
    count = 0
    if unlabelled is not None:
        labelled = real.load(unlabelled)["validation"]
        held_out, count = held_out + labelled, len(labelled)
    labels = np.array([LABELS.index(row["label"]) for row in held_out])
    temperature = fit_temperature(logits_of(model, tokenizer, [row["text"] for row in held_out]), labels)
    return temperature, f"{len(held_out):,} validation sentences, {count:,} of them real"


def tag_logits_of(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: list[corpus.Row]
) -> tuple[np.ndarray, np.ndarray]:
    """Logits (tokens, 7) and gold tags (tokens,) of all tokens of ``rows`` that have a gold tag."""
    logits, gold = [], []
    for row in rows:
        tags = np.array(tag_tokens(tokenizer, row["text"], row["holders"], TRAIN_LENGTH))
        ids = tokenizer(row["text"], truncation=True, max_length=TRAIN_LENGTH, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            hidden = model(ids, output_hidden_states=True).hidden_states
            found = tag_logits(model, hidden)[0].float().numpy()
        logits.append(found[tags != IGNORED])
        gold.append(tags[tags != IGNORED])
    return np.concatenate(logits), np.concatenate(gold)


def write_onnx(model: PreTrainedModel, folder: Path) -> None:
    """``folder/model.onnx``: the graph of ``model``, its weights read from ``folder/model.safetensors``."""
    ids = torch.randint(5, 100, (2, 7))
    batch, tokens = torch.export.Dim("batch"), torch.export.Dim("tokens", max=model.config.max_position_embeddings)
    program = torch.onnx.export(
        _Logits(model).eval(),
        (ids, torch.ones_like(ids)),
        input_names=["input_ids", "attention_mask"],
        output_names=["logits", "tag_logits"],
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

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        outputs = self.model(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True)
        return outputs.logits, tag_logits(self.model, outputs.hidden_states)


def _share_weights(graph_model: onnx.ModelProto, model: PreTrainedModel, folder: Path) -> None:
    """Replace each large initializer by a reference to the stored tensor of the same values, cast to fp32 at load."""
    header = _stored_tensors(folder, "model.safetensors", "") | _stored_tensors(folder, HOLDER_HEAD, f"{NAME}.")
    weights = model.state_dict()
    casts = []
    for tensor in list(graph_model.graph.initializer):
        name = tensor.name.removeprefix("model.")
        values = onnx.numpy_helper.to_array(tensor)
        if values.size < 256 or values.dtype != np.float32:
            continue
        transposed = False
        if name not in header or not np.array_equal(weights[name].numpy(), values):
            # The exporter may have renamed or transposed it: find the parameter by its values.
            name, transposed = _find_parameter(values, weights)
        entry = header[name]
        shared = onnx.TensorProto(
            name=f"{tensor.name}.stored",
            data_type=STORED[entry["dtype"]],
            dims=entry["shape"],
            data_location=onnx.TensorProto.EXTERNAL,
        )
        for key in ("location", "offset", "length"):
            shared.external_data.add(key=key, value=str(entry[key]))
        graph_model.graph.initializer.remove(tensor)
        graph_model.graph.initializer.append(shared)
        wide = f"{tensor.name}.fp32" if transposed else tensor.name
        casts.append(onnx.helper.make_node("Cast", [shared.name], [wide], to=onnx.TensorProto.FLOAT))
        if transposed:
            casts.append(onnx.helper.make_node("Transpose", [wide], [tensor.name], perm=[1, 0]))
    nodes = list(graph_model.graph.node)
    del graph_model.graph.node[:]
    graph_model.graph.node.extend(casts + nodes)


def _stored_tensors(folder: Path, file_name: str, prefix: str) -> dict[str, dict[str, Any]]:
    """Name (after ``prefix``) -> dtype, shape, and location, offset and length in bytes, of a safetensors file."""
    with (folder / file_name).open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    places = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        places[prefix + name] = {**entry, "location": file_name, "offset": 8 + length + start, "length": end - start}
    return places


def _find_parameter(values: np.ndarray, weights: dict[str, torch.Tensor]) -> tuple[str, bool]:
    for name, weight in weights.items():
        if tuple(weight.shape) == values.shape and np.array_equal(weight.numpy(), values):
            return name, False
        if tuple(weight.shape) == values.shape[::-1] and np.array_equal(weight.numpy().T, values):
            return name, True
    raise SystemExit(f"an initializer of shape {values.shape} is no parameter of the model")


def last_layer(model: PreTrainedModel) -> torch.nn.Linear:
    """The linear layer that gives the logits, whatever the architecture calls it."""
    *_, layer = (
        module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and not name.startswith(NAME)
    )
    if layer.out_features != len(LABELS):
        raise SystemExit(f"the last layer of {type(model).__name__} gives {layer.out_features} numbers, not 3")
    return layer


def export(source: Path, output: Path, words: int | None = None, unlabelled: Path | None = None) -> dict[str, Any]:
    """Write ``output``, and ``output/training.json`` with the history of the weights; returns that history.

    ``words`` is the size of the vocabulary to keep, ``unlabelled`` a copy of the real sentences that `training.real`
    has labels for. The folder is made beside its place, checked, and moved there when it is whole.
    """
    if source.resolve() == output.resolve():
        raise SystemExit("source and output are the same folder")
    model, tokenizer = load_model(str(source))
    model.eval()
    if words is not None:
        tokenizer = prune_vocabulary(model, tokenizer, [row["text"] for row in corpus.load("train")], words)
        cut_positions(model, MAX_TOKENS)
    with torch.no_grad():
        for weight in model.state_dict().values():
            weight.copy_(stored(weight).float())
        # Fitted on the rounded model, and divided into the last layers, which are small enough to stay in 16 bits.
        rows = corpus.load("validation")
        temperature, held_out = temperature_of(model, tokenizer, unlabelled)
        tag_temperature = fit_temperature(*tag_logits_of(model, tokenizer, rows))
        head = getattr(model, NAME)
        for layer, divisor in ((last_layer(model), temperature), (head.tags, tag_temperature)):
            for weight in (layer.weight, layer.bias):
                weight.copy_((weight / divisor).half().float())
    part = output.with_name(output.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    tokenizer.save_pretrained(part)
    model.config.dtype = torch.float32  # computed in 32 bits, however it is stored
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(part)
    kept = {name: stored(weight) for name, weight in model.state_dict().items()}
    of_head = {name.removeprefix(f"{NAME}."): kept.pop(name) for name in list(kept) if name.startswith(f"{NAME}.")}
    save_file(kept, part / "model.safetensors", metadata={"format": "pt"})
    save_file(of_head, part / HOLDER_HEAD, metadata={"format": "pt"})
    write_onnx(model, part)
    texts = [row["text"] for row in rows[:CHECKED]]
    expected = softmax(logits_of(model, tokenizer, texts))
    shipped = StanceClassifier.from_pretrained(part).predict_proba(texts)
    change = float(np.abs(shipped - expected).max())
    if change > LARGEST_CHANGE:
        raise SystemExit(
            f"the graph's probabilities differ by {change:.4f} from the model's; {part} is kept to look at"
        )
    history = json.loads((source / "training.json").read_text()) if (source / "training.json").exists() else {}
    history.pop("validation_by_step", None)
    history |= {
        "layers": model.config.num_hidden_layers,
        "words": model.config.vocab_size,
        "max_tokens": Checkpoint(part).max_tokens,
        "temperature": temperature,
        "temperature_fitted_on": held_out,
        "tag_temperature": tag_temperature,
        "parameters": sum(weight.numel() for weight in model.parameters()),
    }
    (part / "training.json").write_text(json.dumps(history, indent=1) + "\n")
    size = Checkpoint.open(part).size()
    if size > LARGEST_FOLDER:
        raise SystemExit(f"{part} has {size / 1e6:.1f} MB, more than {LARGEST_FOLDER / 1e6:.0f}")
    shutil.rmtree(output, ignore_errors=True)
    part.rename(output)
    return history


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.export", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--words", type=int, help="size of the vocabulary to keep (default: all of it)")
    parser.add_argument("--unlabelled", type=Path, help="real sentences that training/real_labels.jsonl has labels for")
    arguments = parser.parse_args(argv)
    print(json.dumps(export(arguments.source, arguments.output, arguments.words, arguments.unlabelled), indent=1))


if __name__ == "__main__":
    main()
