"""The training loop behind `stancelib.finetuning`: transformers' `Trainer`, seeded, resumable, in the memory there is.

Kill it at any moment and call it again with the same arguments: it goes on from the last checkpoint in its folder, to
the same weights.
"""

from __future__ import annotations

import gc
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from stancelib.batching import batches, pad
from stancelib.calibration import last_layer
from stancelib.errors import MissingExtraError, ModelError
from stancelib.evaluation.metrics import accuracy, confusion_matrix, macro_f1

try:
    import torch
    from accelerate import PartialState
    from accelerate.utils import set_seed
    from accelerate.utils.memory import should_reduce_batch_size
    from safetensors.torch import load_file, save_file
    from torch.nn import functional
    from torch.utils.data import Sampler
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        EarlyStoppingCallback,
        EvalPrediction,
        PrinterCallback,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )
    from transformers.modeling_outputs import BaseModelOutputWithPooling
    from transformers.trainer_pt_utils import get_length_grouped_indices
    from transformers.utils import logging
except ImportError as error:
    raise MissingExtraError("training", error.name or "torch", "train") from None

Example: TypeAlias = dict[str, Any]
"""``input_ids`` (list of token ids) and ``labels`` (the column of the right label)."""

Layers: TypeAlias = Literal["upper", "all", "head"]
ClassWeights: TypeAlias = Literal["sqrt", "balanced", "none"]

ROWS_BETWEEN_EVALUATIONS = 5000  # at most; a checkpoint is written as often
_BEST, _RESULT, _MICRO_BATCH = "best.safetensors", "result.json", "micro_batch"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model is trained; for the fields see `stancelib.finetuning`."""

    train_layers: Layers
    epochs: int
    learning_rate: float
    batch_size: int
    class_weights: ClassWeights
    patience: int
    seed: int


# Models to start from.


def load_model(base: Path, labels: Sequence[str], keep_head: bool, seed: int) -> Any:
    """A classifier in fp32 with these labels, its encoder from the folder ``base``.

    With ``keep_head`` its head too, whose labels must be these, in this order; else the last layer is drawn anew.
    """
    set_seed(seed)  # of weights that the base has not
    try:
        with _hushed():
            model = AutoModelForSequenceClassification.from_pretrained(
                base,
                num_labels=len(labels),
                id2label=dict(enumerate(labels)),
                label2id={label: index for index, label in enumerate(labels)},
                problem_type="single_label_classification",
                dtype=torch.float32,
                ignore_mismatched_sizes=True,
                use_safetensors=True,
                local_files_only=True,
            )
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"{base} can't be trained on: {str(error).splitlines()[0]}") from error
    if not keep_head:
        layer = last_layer(model)
        with torch.no_grad():
            layer.weight.normal_(0.0, getattr(model.config, "initializer_range", 0.02))
            if layer.bias is not None:
                layer.bias.zero_()
    return model.eval()


def load_tokenizer(base: Path) -> Any:
    """The tokenizer of a folder, as transformers has it."""
    try:
        return AutoTokenizer.from_pretrained(base, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ModelError(f"the tokenizer of {base} can't be loaded: {str(error).splitlines()[0]}") from error


def freeze(model: Any, layers: Layers) -> None:
    """Keep the words' embeddings as they are, and with ``"upper"`` the lower half of the encoder too; in place.

    Words that the data lack must stay in line with those that they have. Of the layers, the upper ones carry the task
    (Lee et al. 2019, "What Would Elsa Do?"), and training half of them takes two thirds of the time.
    """
    stack = max(
        (module for module in model.base_model.modules() if isinstance(module, torch.nn.ModuleList)),
        key=len,
        default=torch.nn.ModuleList(),
    )
    if layers == "upper" and len(stack) > 1:
        model.base_model.requires_grad_(False)
        pooler = getattr(model.base_model, "pooler", None)
        for module in (*stack[len(stack) // 2 :], *([pooler] if pooler is not None else [])):
            module.requires_grad_(True)
    model.get_input_embeddings().requires_grad_(False)


class CachedEncoder(torch.nn.Module):
    """Stands in for a frozen encoder: looks up what it gave for the opening mark of a row.

    Its ``input_ids`` are numbers of rows, shape (rows, 1).
    """

    def __init__(self, first: torch.Tensor, pooled: torch.Tensor | None) -> None:
        super().__init__()
        self.register_buffer("first", first, persistent=False)
        self.register_buffer("pooled", pooled, persistent=False)

    def forward(self, input_ids: torch.Tensor, *_: Any, **__: Any) -> Any:
        rows = input_ids[:, 0]
        first: Any = self.first
        pooled: Any = self.pooled
        return BaseModelOutputWithPooling(
            last_hidden_state=first[rows][:, None], pooler_output=None if pooled is None else pooled[rows]
        )


def encode_once(model: Any, ids: Sequence[list[int]], pad_id: int) -> CachedEncoder:
    """The encoder's answers for all rows, computed once.

    Raises:
        ModelError: the head reads more than the opening mark, so that it can't be trained alone like this.
    """
    encoder = model.base_model
    first: list[Any] = [None] * len(ids)
    pooled: list[Any] = [None] * len(ids)
    for group in batches([len(row) for row in ids]):
        tokens, mask = pad([ids[index] for index in group], pad_id)
        with torch.inference_mode():
            found = encoder(torch.from_numpy(tokens), attention_mask=torch.from_numpy(mask))
        of_pooler = getattr(found, "pooler_output", None)
        for row, index in enumerate(group):
            first[index] = found.last_hidden_state[row, 0].clone()
            pooled[index] = None if of_pooler is None else of_pooler[row].clone()
    cached = CachedEncoder(torch.stack(first), None if pooled[0] is None else torch.stack(pooled))
    some = sorted(range(len(ids)), key=lambda index: len(ids[index]))[:: max(1, len(ids) // 4)]
    expected = logits_of(model, [ids[index] for index in some], pad_id)
    with stand_in(model, cached):
        found_again = logits_of(model, [[index] for index in some], pad_id)
    if not np.allclose(expected, found_again, atol=1e-3):
        raise ModelError(
            f'{type(model).__name__} reads more than the opening mark of a text; train_layers="head" is for models '
            'that do not, take "upper" or "all"'
        )
    return cached


@contextmanager
def stand_in(model: Any, encoder: torch.nn.Module) -> Iterator[None]:
    """Within the block, ``encoder`` takes the place of the model's own."""
    own = model.base_model
    setattr(model, model.base_model_prefix, encoder)
    try:
        yield
    finally:
        setattr(model, model.base_model_prefix, own)


def logits_of(model: Any, ids: Sequence[list[int]], pad_id: int) -> NDArray[np.float32]:
    """Logits of the texts in order, (n, labels) in fp32."""
    model.eval()
    result: NDArray[np.float32] = np.empty((len(ids), model.config.num_labels), dtype=np.float32)
    device = next(model.parameters()).device
    for group in batches([len(row) for row in ids]):
        tokens, mask = (torch.from_numpy(part).to(device) for part in pad([ids[index] for index in group], pad_id))
        with torch.inference_mode():
            result[group] = model(tokens, attention_mask=mask).logits.float().cpu().numpy()
    return result


# The loop.


class LengthGroups(Sampler[int]):
    """Sentences of like length together, in an order that depends on the seed and the epoch alone.

    (So that a resumed epoch goes on in the same order; the sampler of transformers draws from the global state.)
    """

    def __init__(self, lengths: list[int], batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed, self.epoch = lengths, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1000 + self.epoch)
        return iter(get_length_grouped_indices(self.lengths, self.batch_size, generator=generator))


class _Trainer(Trainer):  # type: ignore[misc]
    batch_size = 0

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthGroups:
        lengths = [len(example["input_ids"]) for example in self.train_dataset]
        return LengthGroups(lengths, self.batch_size, self.args.seed)


class StepLog(TrainerCallback):  # type: ignore[misc]
    """Every logged step as a line of a file; lines past the step that a resumed run goes on from are dropped."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.path.exists():
            lines = [line for line in self.path.read_text().splitlines(keepends=True) if line.endswith("}\n")]
            self.path.write_text("".join(line for line in lines if json.loads(line)["step"] <= state.global_step))

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            with self.path.open("a") as log:
                log.write(json.dumps({"step": state.global_step, **(logs or {})}) + "\n")


class _Bar(TrainerCallback):  # type: ignore[misc]
    """Steps done, time left, loss and the last validation, on standard error; no terminal gets a line a validation."""

    def __init__(self, title: str) -> None:
        self.title, self.loss, self.best = title, "", ""
        self.console = Console(stderr=True)
        self.progress: Progress | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero and self.console.is_terminal:
            self.progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[figures]}"),
                console=self.console,
                transient=True,
            )
            self.progress.start()
            self.task = self.progress.add_task(
                self.title, total=state.max_steps, completed=state.global_step, figures=""
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.progress:
            self.progress.update(self.task, completed=state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        logs = logs or {}
        if "loss" in logs:
            self.loss = f"loss {logs['loss']:.3f}"
        if "eval_macro_f1" in logs:
            self.best = f"validation macro-F1 {logs['eval_macro_f1']:.3f}"
            if self.progress is None and state.is_world_process_zero:
                self.console.print(
                    f"{self.title}: step {state.global_step:,} of {state.max_steps:,}, {self.loss}, {self.best}",
                    highlight=False,
                    soft_wrap=True,
                )
        if self.progress:
            self.progress.update(self.task, figures=f"{self.loss}  {self.best}")

    def stop(self) -> None:
        if self.progress:
            self.progress.stop()
            self.progress = None


def fit(
    make_model: Callable[[], Any],
    train: Sequence[Example],
    validation: Sequence[Example],
    folder: Path,
    recipe: Recipe,
    pad_id: int,
    title: str | None = None,
    tensorboard: bool = False,
) -> tuple[Any, dict[str, Any]]:
    """Train the model that ``make_model`` gives, and keep the weights with the best validation macro-F1.

    Args:
        make_model: gives the model to start from, the same each time, what is not to be learnt frozen.
        train, validation: the examples.
        folder: for checkpoints and ``log.jsonl``. A run that was broken off there goes on; one that is finished is
            read, not repeated.
        recipe: how.
        pad_id: the token to pad with.
        title: before the progress bar; None for no bar.
        tensorboard: also log for TensorBoard, to ``folder/tensorboard``.

    Returns:
        The model with the best weights, and a record of the run: best macro-F1 and its step, all validations, and the
        size of the batches that fitted into memory.

    Raises:
        MemoryError: not even batches of one text fit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = make_model()
    if (folder / _RESULT).is_file():
        model.load_state_dict(load_file(folder / _BEST))
        return model.eval(), json.loads((folder / _RESULT).read_text())
    kept = folder / _MICRO_BATCH
    micro = int(kept.read_text()) if kept.is_file() else max(1, math.ceil(recipe.batch_size / _devices()))
    while True:
        try:
            state = _run(model, train, validation, folder, recipe, micro, pad_id, title, tensorboard)
            break
        except (MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            if micro == 1:
                raise MemoryError(
                    "not even one text at a time fits into memory; take a smaller base, or shorter texts"
                ) from error
            micro = next(size for size in range(micro // 2, 0, -1) if recipe.batch_size % size == 0)
        # Outside the handler, whose error holds on to the tensors.
        kept.write_text(str(micro))
        model = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        model = make_model()
    checkpoints = folder / "checkpoints"
    # Not by the path that the state has: the folder may have been moved since.
    model.load_state_dict(load_file(checkpoints / f"checkpoint-{state.best_global_step}" / "model.safetensors"))
    record = {
        "validation_macro_f1": state.best_metric,
        "best_step": state.best_global_step,
        "validations": [
            {"step": entry["step"], "epoch": round(entry["epoch"], 3), "macro_f1": round(entry["eval_macro_f1"], 4)}
            for entry in state.log_history
            if "eval_macro_f1" in entry
        ],
        "texts_at_a_time": micro,
    }
    wait_for_all()
    if is_main():
        save_file({name: weight.contiguous() for name, weight in model.state_dict().items()}, folder / _BEST)
        part = folder / f"{_RESULT}.part"
        part.write_text(json.dumps(record))
        part.replace(folder / _RESULT)
        shutil.rmtree(checkpoints)
    wait_for_all()
    return model.eval(), record


def _run(
    model: Any,
    train: Sequence[Example],
    validation: Sequence[Example],
    folder: Path,
    recipe: Recipe,
    micro: int,
    pad_id: int,
    title: str | None,
    tensorboard: bool,
) -> Any:
    """Train to the end, from the last checkpoint if there is one; gives the `TrainerState`."""
    rows = min(len(train), ROWS_BETWEEN_EVALUATIONS)
    steps = math.ceil(rows / recipe.batch_size)
    whole = math.ceil(len(train) / recipe.batch_size) * recipe.epochs
    gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    arguments = TrainingArguments(
        output_dir=str(folder / "checkpoints"),
        num_train_epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=max(1, recipe.batch_size // (micro * _devices())),
        per_device_eval_batch_size=4 * micro,
        lr_scheduler_type="linear",
        warmup_steps=round(0.1 * whole),
        weight_decay=0.01,
        seed=recipe.seed,
        bf16=compute_precision() == "bf16",
        use_cpu=not gpu,
        eval_strategy="steps",
        eval_steps=steps,
        save_strategy="steps",
        save_steps=steps,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="macro_f1",
        restore_callback_states_from_checkpoint=True,  # early stopping goes on counting
        logging_steps=max(1, whole // 200),
        logging_first_step=True,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    labels = np.array([example["labels"] for example in train])
    weights = torch.from_numpy(class_weights(labels, model.config.num_labels, recipe.class_weights))

    def loss(outputs: Any, gold: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        logits = outputs.logits.float()
        total = functional.cross_entropy(logits, gold, weight=weights.to(logits.device), reduction="sum")
        # Over the whole batch, however many pieces it is computed in.
        return total / (len(gold) if num_items_in_batch is None else num_items_in_batch)

    def collate(examples: list[Example]) -> dict[str, torch.Tensor]:
        tokens, mask = pad([example["input_ids"] for example in examples], pad_id)
        return {
            "input_ids": torch.from_numpy(tokens),
            "attention_mask": torch.from_numpy(mask),
            "labels": torch.tensor([example["labels"] for example in examples]),
        }

    bar = _Bar(title) if title is not None else None
    trainer = _Trainer(
        model=model,
        args=arguments,
        train_dataset=list(train),
        eval_dataset=sorted(validation, key=lambda example: len(example["input_ids"])),
        data_collator=collate,
        compute_loss_func=loss,
        compute_metrics=_figures,
        preprocess_logits_for_metrics=lambda logits, _: logits[0] if isinstance(logits, tuple) else logits,
        callbacks=[
            StepLog(folder / "log.jsonl"),
            EarlyStoppingCallback(recipe.patience),
            *([bar] if bar is not None else []),
            *([_tensorboard(folder / "tensorboard")] if tensorboard else []),
        ],
    )
    trainer.batch_size = recipe.batch_size
    trainer.remove_callback(PrinterCallback)
    last = last_whole_checkpoint(folder / "checkpoints")
    if last is not None and (stopped := _stopped(last, recipe.patience)) is not None:
        return stopped
    try:
        with _hushed():
            trainer.train(resume_from_checkpoint=None if last is None else str(last))
    finally:
        if bar is not None:
            bar.stop()
    # It has wrapped the model to compute in 16 bits, and the export would write them into the graph.
    trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    return trainer.state


def _tensorboard(folder: Path) -> Any:
    from transformers.integrations import TensorBoardCallback

    callback = TensorBoardCallback()
    callback.logging_dir = str(folder)
    return callback


@contextmanager
def _hushed() -> Iterator[None]:
    """Without what transformers says of weights that a new head has not, and its own progress bars."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def last_whole_checkpoint(folder: Path) -> Path | None:
    """The newest ``checkpoint-*`` of ``folder``; one that a kill left half written is deleted."""
    for path in sorted(folder.glob("checkpoint-*"), key=lambda path: -int(path.name.rpartition("-")[2])):
        state = path / "trainer_state.json"  # what the Trainer writes last
        try:
            json.loads(state.read_text())
        except (OSError, ValueError):
            shutil.rmtree(path)
        else:
            return path
    return None


def _stopped(checkpoint: Path, patience: int) -> Any:
    """The state of a run that early stopping had ended when this checkpoint was written, else None.

    The Trainer itself forgets that it had stopped, and would train on.
    """
    from transformers import TrainerState

    state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    callbacks = state.stateful_callbacks.get("EarlyStoppingCallback", {})
    counter = callbacks.get("attributes", {}).get("early_stopping_patience_counter", 0)
    return state if counter >= patience else None


def class_weights(labels: NDArray[np.int64], k: int, kind: ClassWeights) -> NDArray[np.float32]:
    """What an error in each of ``k`` labels counts, 1 on average over the rows; shape (k,).

    ``"balanced"`` is inverse to how frequent a label is. ``"sqrt"`` is the root of that: rare labels count more, but
    the probabilities are tilted less.
    """
    counts = np.bincount(labels, minlength=k).astype(np.float64)
    power = {"none": 0.0, "sqrt": 0.5, "balanced": 1.0}[kind]
    weights = np.maximum(counts, 1.0) ** -power
    result: NDArray[np.float32] = (weights / (weights * counts).sum() * counts.sum()).astype(np.float32)
    return result


def compute_precision() -> Literal["bf16", "fp32"]:
    """``"bf16"`` where the hardware multiplies it natively (twice as fast), else ``"fp32"``."""
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    cpu: Any = torch.cpu
    return "bf16" if cpu._is_avx512_bf16_supported() or cpu._is_amx_tile_supported() else "fp32"


def _figures(prediction: EvalPrediction) -> dict[str, float]:
    k = prediction.predictions.shape[1]
    confusion = confusion_matrix(np.asarray(prediction.label_ids), prediction.predictions.argmax(-1), k)
    return {"macro_f1": float(macro_f1(confusion)), "accuracy": float(accuracy(confusion))}


def is_main() -> bool:
    """Whether this process writes files: the only one, or the first of those that ``accelerate launch`` has started."""
    return int(os.environ.get("RANK", 0)) == 0


def wait_for_all() -> None:
    """Until all processes of ``accelerate launch`` are here; nothing else waits."""
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        PartialState().wait_for_everyone()


def _devices() -> int:
    """How many devices share a batch: GPUs of this process, or the processes that accelerate has started."""
    return int(os.environ.get("WORLD_SIZE", 0)) or max(1, torch.cuda.device_count())


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, Exception) and should_reduce_batch_size(error)
    )
