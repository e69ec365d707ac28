"""A checkpoint folder: where it is, whether it is whole, and what it says of itself.

A folder holds what a plain transformers checkpoint holds, and three files more: ``holders.safetensors``, the head that
tags holders, ``model.onnx``, the graph that ONNX Runtime runs, and ``gate.safetensors``, a first stage for corpora. The
graph's weights lie in the first two safetensors files, which both backends read, so they can't differ.
"""

from __future__ import annotations

import hashlib
import json
import operator
import os
import re
import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from stancelib.errors import ModelError
from stancelib.labels import LABELS

DEFAULT_MODEL = "base"
_PACKAGE = Path(__file__).resolve().parent
# In an installed package the models lie inside it; in a clone of the repository, beside it.
_IN_CLONE = (_PACKAGE.parent / "pyproject.toml").is_file()
MODEL_FOLDERS = (_PACKAGE / "models", *([_PACKAGE.parent / "models"] if _IN_CLONE else []))
NEEDED = ("config.json", "tokenizer.json", "model.safetensors")
HOLDER_HEAD = "holders.safetensors"
GATE = "gate.safetensors"
GRAPH = "model.onnx"
# By the first, a config can have transformers fetch compiled code and run it; the second are in transformers itself.
_IMPLEMENTATIONS = ("attn_implementation", "experts_implementation")
_BUILT_IN = (None, "eager", "sdpa")
_MOST_POSITIONS = 1 << 24
_MOST_HEADER = 100_000_000  # bytes, as safetensors has it
# What transformers calls the labels of a head that nobody has named, be it trained or not.
_UNNAMED = re.compile(r"LABEL_\d+")
# Their position embeddings begin after the one for padding.
_OFFSET_POSITIONS = ("mpnet", "roberta", "xlm-roberta", "xlm-roberta-xl", "camembert")


@dataclass(frozen=True)
class Checkpoint:
    """A folder that was found to hold a complete classifier. Make one with `Checkpoint.open`."""

    folder: Path

    @classmethod
    def open(cls, name: str | os.PathLike[str] | None = None) -> Checkpoint:
        """Find and check the checkpoint ``name``.

        Args:
            name: None for the default model; the name of a shipped model; a folder; or a hub id such as
                ``"someone/stance-model"``, which is downloaded (needs a network, and nothing else here does).

        Raises:
            ModelError: nothing is there, a file lacks, is a link that leaves the folder, or is damaged; or it is no
                classifier of sentences with named labels.
        """
        checkpoint = cls(find_folder(name))
        checkpoint.check()
        return checkpoint

    def check(self) -> None:
        missing = [file for file in NEEDED if not (self.folder / file).is_file()]
        if missing:
            raise ModelError(f"{self.folder} is not a complete model folder: {', '.join(missing)} missing")
        self._check_links()
        self._check_labels()
        self._check_sizes()
        self._check_code()
        self._check_weights("model.safetensors")
        if self.has_holders:
            self._check_weights(HOLDER_HEAD)

    def _check_links(self) -> None:
        # A folder from elsewhere could link to what only its user may read. The cache of the hub is made of links: from
        # REPOSITORY/snapshots/REVISION/FILE to REPOSITORY/blobs/HASH.
        folder = self.folder.resolve()
        allowed = [folder]
        if folder.parent.name == "snapshots" and folder.parents[1].name.startswith("models--"):
            allowed.append(folder.parents[1] / "blobs")
        for path in folder.iterdir():
            try:
                target = path.resolve()
            except (OSError, RuntimeError) as error:  # a link to itself, before Python 3.13
                raise ModelError(f"{path} cannot be read: {error}") from None
            if path.is_symlink() and not path.exists():
                raise ModelError(f"{path} is a link to nothing; delete it, or put what is meant in its place")
            if not any(target.is_relative_to(place) for place in allowed):
                raise ModelError(
                    f"{path} is a link that leaves the folder, to {target}; if you trust it, put what it links to in "
                    "its place"
                )

    def _check_sizes(self) -> None:
        def whole(key: str) -> int | None:
            value = self.config.get(key)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
                raise ModelError(f"{self.folder}: config.json has {key} {value!r}; it must be a whole number")
            return value

        pad, vocabulary = whole("pad_token_id") or 0, whole("vocab_size")
        if pad < 0 or (vocabulary is not None and pad >= vocabulary):
            raise ModelError(
                f"{self.folder}: config.json has pad_token_id {pad}, which is none of its "
                f"{vocabulary if vocabulary is not None else ''} tokens".replace("  ", " ")
            )
        whole("max_position_embeddings")
        # The two ends, and at least one token between them.
        if not 3 <= self.max_tokens <= _MOST_POSITIONS:
            raise ModelError(
                f"{self.folder}: config.json has max_position_embeddings "
                f"{self.config.get('max_position_embeddings')}; a model reads 3 to {_MOST_POSITIONS:,} tokens"
            )

    def _check_code(self) -> None:
        parts: list[Any] = [self.config]
        while parts:
            part = parts.pop()
            for key, value in part.items() if isinstance(part, dict) else ():
                if key.lstrip("_") in _IMPLEMENTATIONS and value not in _BUILT_IN:
                    raise ModelError(
                        f"{self.folder}: config.json asks for code of others ({key}: {value!r}), and stancelib runs "
                        "none that a model brings; delete that line"
                    )
                parts.append(value)
        if (self.folder / "adapter_config.json").exists():
            raise ModelError(
                f"{self.folder} holds an adapter (adapter_config.json), which points to another model; merge the two, "
                "or delete that file if the weights here are whole"
            )

    def _check_labels(self) -> None:
        names = self.config.get("id2label")
        if not isinstance(names, dict):
            raise ModelError(
                f"{self.folder} is no classifier: config.json has no id2label, which names what the model tells "
                "apart; train one with it as the base (stancelib train --base)"
            )
        given = list(names.values())
        if sorted(names) != sorted(str(index) for index in range(len(names))):
            raise ModelError(
                f"{self.folder}: config.json numbers the labels {', '.join(names)}; they must be numbered from 0"
            )
        named = all(isinstance(label, str) and label.strip() for label in given)
        if len(given) < 2 or not named or len(set(given)) < len(given):
            raise ModelError(
                f"{self.folder}: config.json names the labels {given}; a classifier has two or more, each with a name "
                "of its own"
            )
        # An untrained head has these names too, and an answer "LABEL_1" tells nobody anything.
        if all(_UNNAMED.fullmatch(label) for label in given):
            raise ModelError(
                f"{self.folder}: config.json names the labels {', '.join(given)}, as transformers does for a head that "
                "was never trained. If it was, write what they mean into id2label; else train it (stancelib train "
                "--base)"
            )
        if self.config.get("problem_type") in ("regression", "multi_label_classification"):
            raise ModelError(
                f"{self.folder} is a model for {self.config['problem_type']}; stancelib reads models that choose one "
                "of several labels"
            )

    @cached_property
    def config(self) -> dict[str, Any]:
        return self._json("config.json")

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def metrics(self) -> dict[str, Any]:
        """What ``training.evaluate`` measured on this model; empty if it was never measured."""
        return self._json("metrics.json") if (self.folder / "metrics.json").is_file() else {}

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """`LABELS`, in that order, if the model has these; else its own, in the order of ``config.json``."""
        names: dict[str, str] = self.config["id2label"]
        own = tuple(names[index] for index in sorted(names, key=int))
        return LABELS if set(own) == set(LABELS) else own

    @cached_property
    def columns(self) -> list[int]:
        """For each of `labels`, the column of the model's logits that belongs to it."""
        by_label = {label: int(index) for index, label in self.config["id2label"].items()}
        return [by_label[label] for label in self.labels]

    @property
    def has_holders(self) -> bool:
        """Whether the model tags who holds the stances; a plain transformers checkpoint does not."""
        return (self.folder / HOLDER_HEAD).is_file()

    @property
    def max_tokens(self) -> int:
        """How many tokens the model reads, the two that mark the ends included."""
        pad = int(self.config.get("pad_token_id") or 0)
        given = self.config.get("max_position_embeddings")
        positions = 512 if given is None else int(given)
        return positions - pad - 1 if self.config.get("model_type") in _OFFSET_POSITIONS else positions

    def size(self) -> int:
        """Bytes of all files in the folder."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def sha256(self) -> str:
        """sha256 of ``model.safetensors``; `metrics.json` of a shipped model holds the one that was measured."""
        digest = hashlib.sha256()
        with (self.folder / "model.safetensors").open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()

    def _json(self, file: str) -> dict[str, Any]:
        path = self.folder / file
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise ModelError(f"{path} cannot be read: {error}") from None
        if not isinstance(value, dict):
            raise ModelError(f"{path} must hold a JSON object")
        return value

    def _check_weights(self, file_name: str) -> None:
        # The header of a safetensors file says how long it must be: 8 bytes of length, JSON, then the tensors.
        path = self.folder / file_name
        try:
            size = path.stat().st_size
            with path.open("rb") as file:
                (length,) = struct.unpack("<Q", file.read(8))
                header = json.loads(file.read(min(length, size, _MOST_HEADER)))
            ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
            expected = 8 + length + max(map(operator.index, ends))
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error}") from None
        except (struct.error, ValueError, AttributeError, LookupError, TypeError, RecursionError):
            raise ModelError(f"{path} is damaged: it has no safetensors header; fetch the model again") from None
        if size != expected:
            raise ModelError(f"{path} is damaged: {size:,} bytes, expected {expected:,}; fetch the model again")


def middle_layer(layers: int) -> int:
    """Which of the hidden states (0: the embeddings) of ``layers`` layers the holder head reads beside the last."""
    return 2 * layers // 3


def shipped() -> dict[str, Path]:
    """The models that come with this installation: name -> folder."""
    found: dict[str, Path] = {}
    for folder in MODEL_FOLDERS:
        for config in sorted(folder.glob("*/config.json")):
            found.setdefault(config.parent.name, config.parent)
    return found


def find_folder(name: str | os.PathLike[str] | None = None) -> Path:
    """The folder that `Checkpoint.open` would open; what it holds is not looked at.

    Raises:
        ModelError: there is no such folder, and it could not be fetched.
    """
    name = DEFAULT_MODEL if name is None else name
    models = shipped()
    if isinstance(name, str) and name in models:
        return models[name]
    path = Path(name)
    if path.is_dir():
        return path.resolve()
    if path.is_file():
        raise ModelError(f"{path} is a file; give the folder that holds config.json and model.safetensors")
    if isinstance(name, str) and name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return _download(name)
    raise ModelError(
        f"no model {str(name)!r}: no such folder, and the models that ship are {', '.join(models) or 'none'}"
    )


def _download(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        # Only what is read, so that no pickle or code ever reaches the disk.
        files = ["*.json", "model.safetensors", HOLDER_HEAD, GATE, GRAPH]
        return Path(snapshot_download(hub_id, allow_patterns=files))
    except Exception as error:  # the hub client has a dozen error classes, and all mean that there is no model
        raise ModelError(
            f"no folder {hub_id!r} here, and it could not be fetched from the hub ({type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else 'no details'})"
        ) from None
