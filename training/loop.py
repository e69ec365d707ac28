"""The training loop that the teacher and the student share: transformers' `Trainer`, seeded, logged and resumable.

Kill it at any moment and run the same command again: it goes on from the last checkpoint in its folder.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import accuracy_score, f1_score
from torch.nn import functional
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    EarlyStoppingCallback,
    EvalPrediction,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainingArguments,
)

from stancelib.labels import LABELS
from stancelib.trainer import LengthGroups, StepLog, compute_precision, last_whole_checkpoint
from training.holders import IGNORED, NAME, attach_head, tag_logits, tag_tokens

# The longest sentence of the corpus has 57 words; real sentences beyond 128 tokens are rare.
TRAIN_LENGTH = 128
ROUNDED_TO_8_BITS = 500_000  # values in a tensor, at least

Example = dict[str, Any]


def load_model(checkpoint: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A classifier with our three labels in fp32, and its tokenizer, from any folder or hub id."""
    model = AutoModelForSequenceClassification.from_pretrained(
        checkpoint,
        num_labels=len(LABELS),
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
        dtype=torch.float32,
    )
    attach_head(model, Path(checkpoint) if Path(checkpoint).is_dir() else None)
    return model, AutoTokenizer.from_pretrained(checkpoint)


def encode(
    tokenizer: PreTrainedTokenizerBase,
    texts: list[str],
    labels: list[str | None],
    teacher_logits: np.ndarray | None = None,
    holders: list[list[dict[str, str]] | None] | None = None,
) -> list[Example]:
    """Examples for `fit`.

    A text may lack its label (None), its holders (None) or its teacher (a row of nan); then the others count.
    """
    ids = tokenizer(texts, truncation=True, max_length=TRAIN_LENGTH)["input_ids"]
    examples = []
    for index, (tokens, label) in enumerate(zip(ids, labels, strict=True)):
        example: Example = {"input_ids": tokens, "labels": IGNORED if label is None else LABELS.index(label)}
        if holders is not None:
            example["tags"] = tag_tokens(tokenizer, texts[index], holders[index], TRAIN_LENGTH)
        if teacher_logits is not None:
            example["teacher_logits"] = teacher_logits[index]
        examples.append(example)
    return examples


def stored(weight: torch.Tensor) -> torch.Tensor:
    """A weight as the shipped folder keeps it: large matrices in 8 bits (e4m3), all else in 16."""
    return weight.to(torch.float8_e4m3fn if weight.numel() >= ROUNDED_TO_8_BITS else torch.float16).contiguous()


class StanceTrainer(Trainer):
    """Cross-entropy on the labels, mean squared error on the teacher's logits where there are any (Ba & Caruana 2014).

    loss = (1 - teacher_weight) * cross-entropy + teacher_weight * MSE for a sentence with both, cross-entropy alone
    where the teacher's logits are nan, MSE alone where there is no label. Both sides of the MSE are centred, so that
    only the differences between labels are learnt. Where tokens have tags, holder_weight * the cross-entropy of the
    tags, averaged over the tokens of the batch, comes on top.
    """

    teacher_weight = 0.0
    holder_weight = 0.0
    smoothing = 0.0
    head_learning_rate = 1e-3

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthGroups:
        lengths = [len(example["input_ids"]) for example in self.train_dataset]
        return LengthGroups(lengths, self.args.train_batch_size, self.args.seed)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        labels, teacher, tags = inputs.pop("labels"), inputs.pop("teacher_logits", None), inputs.pop("tags", None)
        tagged = tags is not None and self.holder_weight > 0 and not return_outputs  # which only evaluation asks for
        outputs = model(**inputs, output_hidden_states=True) if tagged else model(**inputs)
        logits = outputs.logits.float()
        loss = functional.cross_entropy(logits, labels, reduction="none", label_smoothing=self.smoothing)
        if teacher is not None:
            taught = ~teacher.isnan().any(-1)
            distance = logits - logits.mean(-1, keepdim=True) - (teacher - teacher.mean(-1, keepdim=True))
            matching = distance.masked_fill(~taught[:, None], 0).square().mean(-1)
            loss = torch.where(taught, 1 - self.teacher_weight, 1.0) * loss + self.teacher_weight * matching
        loss = loss.mean()
        if tagged and (tags != IGNORED).any():
            found = tag_logits(model, outputs.hidden_states).float()
            loss = loss + self.holder_weight * functional.cross_entropy(
                found.flatten(0, 1), tags.flatten(), ignore_index=IGNORED
            )
        outputs["loss"] = loss
        return (loss, outputs) if return_outputs else loss

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """As transformers makes it, but the new holder head learns at `head_learning_rate`.

        At the encoder's rate it would hardly move, and would meanwhile pull the encoder towards nothing.
        """
        optimizer: torch.optim.Optimizer = (
            super().create_optimizer() if model is None else super().create_optimizer(model)
        )
        head = list(getattr(self.model, NAME).parameters())
        for group in optimizer.param_groups:
            group["params"] = [weight for weight in group["params"] if not any(weight is other for other in head)]
        if len(optimizer.param_groups) == 2:
            optimizer.add_param_group({"params": head, "lr": self.head_learning_rate, "weight_decay": 0.0})
        return optimizer


class QuietProgress(ProgressCallback):
    """The progress bar without a printed dict a step; the figures are in the log."""

    def on_log(self, *args: Any, **kwargs: Any) -> None:
        pass


def collate(tokenizer: PreTrainedTokenizerBase) -> Any:
    def pad(examples: list[Example]) -> dict[str, torch.Tensor]:
        batch = dict(tokenizer.pad({"input_ids": [e["input_ids"] for e in examples]}, return_tensors="pt"))
        batch["labels"] = torch.tensor([e["labels"] for e in examples])
        if "tags" in examples[0]:
            width = batch["input_ids"].shape[1]
            batch["tags"] = torch.tensor([e["tags"] + [IGNORED] * (width - len(e["tags"])) for e in examples])
        if "teacher_logits" in examples[0]:
            batch["teacher_logits"] = torch.from_numpy(np.stack([e["teacher_logits"] for e in examples]))
        return batch

    return pad


def macro_f1(prediction: EvalPrediction) -> dict[str, float]:
    found = prediction.predictions.argmax(-1)
    return {
        "macro_f1": f1_score(prediction.label_ids, found, average="macro", labels=range(len(LABELS))),
        "accuracy": accuracy_score(prediction.label_ids, found),
    }


def logits_of(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: list[str], bf16: bool = False
) -> np.ndarray:
    """Logits of the texts in order, (n, 3) float32; the model must be in evaluation mode."""
    result = np.empty((len(texts), len(LABELS)), dtype=np.float32)
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    for start in range(0, len(texts), 32):
        indices = order[start : start + 32]
        some = [texts[index] for index in indices]
        batch = tokenizer(some, truncation=True, max_length=TRAIN_LENGTH, padding=True, return_tensors="pt")
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        result[indices] = logits.float().numpy()
    return result


def data_hash(examples: list[Example]) -> str:
    """sha256 of the token ids and labels of the examples, in order."""
    rows = [[example["input_ids"], example["labels"]] for example in examples]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def fit(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    train: list[Example],
    validation: list[Example],
    output: Path,
    *,
    epochs: float,
    learning_rate: float,
    batch_size: int,
    seed: int,
    teacher_weight: float = 0.0,
    holder_weight: float = 0.0,
    smoothing: float = 0.0,
    frozen_layers: int = 0,
    evaluations: int = 1,
    patience: int = 3,
    facts: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Train ``model``, keep the weights with the best validation macro-F1, and save them to ``output``.

    The embeddings and the first ``frozen_layers`` layers stay as they are. For ``holder_weight`` and ``smoothing`` (of
    labels; Szegedy et al. 2016) see `StanceTrainer`.

    ``evaluations`` a full pass is how often it is validated and checkpointed; ``patience`` evaluations without a gain
    end the run. Returns what was reached, the settings and ``facts``, which are also in ``training.json``; the folder
    gets ``log.jsonl`` besides, a line a step. A run that was broken off goes on, one that is finished is not repeated,
    and one with other settings or data in the same folder is refused.
    """
    settings = {
        **(facts or {}),
        "epochs": epochs,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "seed": seed,
        "teacher_weight": teacher_weight,
        "holder_weight": holder_weight,
        "label_smoothing": smoothing,
        "frozen_layers": frozen_layers,
        "precision": compute_precision(),
        "train_sentences": len(train),
        "validation_sentences": len(validation),
        "data_sha256": data_hash(train),
    }
    output.mkdir(parents=True, exist_ok=True)
    _claim(output, settings)
    if (output / "training.json").exists():
        print(f"{output} is finished; delete it to train anew")
        return dict(json.loads((output / "training.json").read_text()))
    frozen = [model.get_input_embeddings()]  # words that the corpus lacks must stay in line with those that it has
    if frozen_layers:
        frozen += [model.base_model.embeddings, *model.base_model.encoder.layer[:frozen_layers]]
        # Shared by all layers; learning it would send gradients through the frozen ones.
        frozen += [getattr(model.base_model.encoder, "relative_attention_bias", torch.nn.Module())]
    for module in frozen:
        module.requires_grad_(False)
    steps = max(1, math.ceil(len(train) / batch_size) // evaluations)
    arguments = TrainingArguments(
        output_dir=str(output / "checkpoints"),
        num_train_epochs=epochs,
        learning_rate=learning_rate,
        per_device_train_batch_size=batch_size,
        per_device_eval_batch_size=64,
        lr_scheduler_type="linear",
        warmup_steps=int(0.06 * epochs * len(train) / batch_size),
        weight_decay=0.01,
        seed=seed,
        bf16=settings["precision"] == "bf16",
        use_cpu=not torch.cuda.is_available(),
        eval_strategy="steps",
        eval_steps=steps,
        save_strategy="steps",
        save_steps=steps,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="macro_f1",
        restore_callback_states_from_checkpoint=True,  # early stopping goes on counting
        logging_steps=1,
        logging_first_step=True,
        report_to="none",
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=False,
    )
    trainer = StanceTrainer(
        model=model,
        args=arguments,
        train_dataset=train,
        eval_dataset=validation,
        processing_class=tokenizer,
        data_collator=collate(tokenizer),
        compute_metrics=macro_f1,
        preprocess_logits_for_metrics=lambda logits, labels: logits[0] if isinstance(logits, tuple) else logits,
        callbacks=[StepLog(output / "log.jsonl"), EarlyStoppingCallback(patience)],
    )
    trainer.teacher_weight, trainer.holder_weight = teacher_weight, holder_weight
    trainer.smoothing = smoothing
    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    trainer.add_callback(QuietProgress())
    last = last_whole_checkpoint(output / "checkpoints")
    trainer.train(resume_from_checkpoint=None if last is None else str(last))
    trainer.save_model(str(output))
    record = {
        **settings,
        "validation_macro_f1": trainer.state.best_metric,
        "validation_by_step": {
            entry["step"]: round(entry["eval_macro_f1"], 4)
            for entry in trainer.state.log_history
            if "eval_macro_f1" in entry
        },
        "best_step": trainer.state.best_global_step,
    }
    (output / "training.json").write_text(json.dumps(record, indent=1) + "\n")
    return record


def _claim(output: Path, settings: dict[str, Any]) -> None:
    """Note in ``output`` what is trained there, and stop if it is something else already."""
    path = output / "settings.json"
    if path.exists():
        before = json.loads(path.read_text())
        other = [name for name in {**before, **settings} if before.get(name) != settings.get(name)]
        if other:
            raise SystemExit(
                f"{output} holds a run with another {', '.join(other)}; delete it, or choose another --output"
            )
    path.write_text(json.dumps(settings, indent=1) + "\n")
