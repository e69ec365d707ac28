"""A trained transformers classifier as a complete folder: weights once, and an ONNX graph that points into them.

Both backends read the same two safetensors files and compute in 32 bits, so that they can't differ.
"""

from __future__ import annotations

import json
import logging
import shutil
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stancelib.checkpoint import HOLDER_HEAD, middle_layer
from stancelib.errors import MissingExtraError, ModelError

try:
    import numpy as np
    import onnx
    import torch
    from safetensors.torch import save_file
except ImportError as error:
    raise MissingExtraError("writing a model", error.name or "torch", "train") from None

_STORED = {
    "F32": onnx.TensorProto.FLOAT,
    "F16": onnx.TensorProto.FLOAT16,
    "BF16": onnx.TensorProto.BFLOAT16,
    "F8_E4M3": onnx.TensorProto.FLOAT8E4M3FN,
}
_SMALL = 256  # values: tensors below that stay in the graph
_TAGGER = "tagger."
_RUNTIME = "com.microsoft"  # the domain of ONNX Runtime's own operators


def half(weight: torch.Tensor) -> torch.Tensor:
    """``weight`` in 16 bits, or as it is where they do not reach: whole numbers, and values beyond 65,504."""
    if not weight.is_floating_point():
        return weight.clone().contiguous()
    narrow = weight.to(torch.float16)
    return narrow.contiguous() if bool(torch.isfinite(narrow).all()) else weight.clone().contiguous()


def full(weight: torch.Tensor) -> torch.Tensor:
    """``weight`` in 32 bits."""
    return weight.to(torch.float32 if weight.is_floating_point() else weight.dtype).clone().contiguous()


def round_weights(model: torch.nn.Module, stored: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Give every weight of ``model`` the value that it will have when it is read back; in place."""
    with torch.no_grad():
        for weight in model.state_dict().values():
            weight.copy_(stored(weight).to(weight.dtype))


def write_checkpoint(
    model: Any,
    tokenizer: Any,
    folder: Path,
    stored: Callable[[torch.Tensor], torch.Tensor] = half,
    tagger: torch.nn.Module | None = None,
) -> None:
    """Write config, tokenizer, weights and graph into ``folder``.

    Args:
        model: a transformers classifier on the CPU, its weights already rounded (`round_weights`).
        tokenizer: its tokenizer.
        folder: an existing folder.
        stored: how a weight is kept in the file.
        tagger: the head for ``holders.safetensors``, also rounded, if the model has one; see `write_onnx`.

    Raises:
        ModelError: torch can't export this architecture to ONNX; all but ``model.onnx`` is then written.
    """
    tokenizer.save_pretrained(folder)
    model.config.dtype = torch.float32  # computed in 32 bits, however it is stored
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    save_file(
        {name: stored(weight) for name, weight in model.state_dict().items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    if tagger is not None:
        save_file(
            {name: stored(weight) for name, weight in tagger.state_dict().items()},
            folder / HOLDER_HEAD,
            metadata={"format": "pt"},
        )
    for name in ("model.safetensors", *([HOLDER_HEAD] if tagger is not None else [])):
        shutil.copymode(folder / "config.json", folder / name)  # safetensors lets their owner alone read them
    write_onnx(model, folder, tagger)


def write_onnx(model: Any, folder: Path, tagger: torch.nn.Module | None = None) -> None:
    """Write ``folder/model.onnx``: the graph of ``model``, its weights read from the safetensors files of ``folder``.

    Args:
        model: a transformers classifier in evaluation mode, with exactly the weights of ``folder/model.safetensors``.
        folder: where ``model.safetensors`` lies, and ``holders.safetensors`` if there is a ``tagger``.
        tagger: a module from the hidden states of a middle layer and of the last to the logits of the holders' tags.

    Raises:
        ModelError: torch can't export this architecture.
    """
    # Ids that any vocabulary has; their values do not matter, the two sizes are made variable.
    ids = torch.arange(5, 19).reshape(2, 7)
    positions = getattr(model.config, "max_position_embeddings", None) or 512
    batch, tokens = torch.export.Dim("batch"), torch.export.Dim("tokens", max=positions)
    sizes = {0: batch, 1: tokens}
    # It warns that torchvision is not there, which no text needs.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what torch will change in itself
            program = torch.onnx.export(
                _Logits(model, tagger).eval(),
                (ids, torch.ones_like(ids)),
                input_names=["input_ids", "attention_mask"],
                output_names=["logits", *(["tag_logits"] if tagger is not None else [])],
                dynamic_shapes={"input_ids": sizes, "attention_mask": sizes},
                dynamo=True,
                optimize=True,
                verbose=False,
            )
    except Exception as error:  # the exporter raises whatever the model's code does
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{type(model).__name__} can't be exported to ONNX: {reason}") from error
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
    _share_weights(graph_model, model, tagger, folder)
    onnx.save(graph_model, folder / "model.onnx")
    onnx.checker.check_model(str(folder / "model.onnx"))


class _Logits(torch.nn.Module):
    def __init__(self, model: torch.nn.Module, tagger: torch.nn.Module | None) -> None:
        super().__init__()
        self.model, self.tagger = model, tagger

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        if self.tagger is None:
            return self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        outputs = self.model(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True)
        states = outputs.hidden_states
        return outputs.logits, self.tagger(states[middle_layer(len(states) - 1)], states[-1])


def _share_weights(
    graph_model: onnx.ModelProto, model: torch.nn.Module, tagger: torch.nn.Module | None, folder: Path
) -> None:
    """Replace each large initializer by a reference to the stored tensor of the same values, cast to fp32 at load."""
    stored, weights = _stored_tensors(folder, "model.safetensors", ""), dict(model.state_dict())
    if tagger is not None:
        stored |= _stored_tensors(folder, HOLDER_HEAD, _TAGGER)
        weights |= {_TAGGER + name: weight for name, weight in tagger.state_dict().items()}
    weights = {name: weight for name, weight in weights.items() if name in stored}
    casts = []
    for tensor in list(graph_model.graph.initializer):
        values = onnx.numpy_helper.to_array(tensor)
        if values.size < _SMALL or values.dtype != np.float32:
            continue
        found = _find_parameter(tensor.name.removeprefix("model."), values, weights)
        if found is None:  # what the exporter has computed from the weights, or a constant of the architecture
            continue
        name, transposed = found
        entry = stored[name]
        kind = _STORED[entry["dtype"]]
        wide = f"{tensor.name}.fp32" if transposed else tensor.name
        shared = onnx.TensorProto(
            name=wide if kind == onnx.TensorProto.FLOAT else f"{tensor.name}.stored",
            data_type=kind,
            dims=entry["shape"],
            data_location=onnx.TensorProto.EXTERNAL,
        )
        for key in ("location", "offset", "length"):
            shared.external_data.add(key=key, value=str(entry[key]))
        graph_model.graph.initializer.remove(tensor)
        graph_model.graph.initializer.append(shared)
        if shared.name != wide:
            casts.append(onnx.helper.make_node("Cast", [shared.name], [wide], to=onnx.TensorProto.FLOAT))
        if transposed and not _multiply_transposed(graph_model, tensor.name, wide):
            casts.append(onnx.helper.make_node("Transpose", [wide], [tensor.name], perm=[1, 0]))
    nodes = list(graph_model.graph.node)
    del graph_model.graph.node[:]
    graph_model.graph.node.extend(casts + nodes)


def _multiply_transposed(graph_model: onnx.ModelProto, name: str, stored: str) -> bool:
    """Let the products by ``name`` read ``stored``, its transpose, instead, if products are all that uses it.

    ONNX Runtime's own operator does so without the copy in 32 bits that a Transpose makes of each weight at load.
    """
    users = [node for node in graph_model.graph.node if name in node.input]
    if not all(node.op_type == "MatMul" and list(node.input).index(name) == 1 for node in users):
        return False
    for node in users:
        node.op_type, node.domain, node.input[1] = "FusedMatMul", _RUNTIME, stored
        node.attribute.append(onnx.helper.make_attribute("transB", 1))
    if all(opset.domain != _RUNTIME for opset in graph_model.opset_import):
        graph_model.opset_import.append(onnx.helper.make_opsetid(_RUNTIME, 1))
    return True


def _stored_tensors(folder: Path, file_name: str, prefix: str) -> dict[str, dict[str, Any]]:
    """``prefix`` and name -> dtype, shape, and location, offset and length in bytes, of a safetensors file."""
    with (folder / file_name).open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    places = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        places[prefix + name] = {**entry, "location": file_name, "offset": 8 + length + start, "length": end - start}
    return places


def _find_parameter(name: str, values: Any, weights: dict[str, torch.Tensor]) -> tuple[str, bool] | None:
    """The name of the weight with these values, and whether it is transposed; the exporter may have renamed it."""
    if name in weights and np.array_equal(weights[name].numpy(), values):
        return name, False
    for other, weight in weights.items():
        if tuple(weight.shape) == values.shape and np.array_equal(weight.numpy(), values):
            return other, False
        if tuple(weight.shape) == values.shape[::-1] and np.array_equal(weight.numpy().T, values):
            return other, True
    return None
