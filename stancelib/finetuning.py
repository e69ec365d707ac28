"""`finetune`: labelled rows in, a complete checkpoint folder out."""

from __future__ import annotations

import csv
import hashlib
import json
import platform
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from stancelib.checkpoint import HOLDER_HEAD, NEEDED, Checkpoint, find_folder
from stancelib.data import LabelledData, label_order, parse_label_map, read_labelled, read_splits, write_left_out
from stancelib.errors import FileError, InputError, MissingExtraError, ModelError
from stancelib.evaluation import bootstrap, metrics
from stancelib.holders import softmax
from stancelib.labels import LABELS
from stancelib.sheets import guarded
from stancelib.tokens import Encoder

if TYPE_CHECKING:
    import os

    from stancelib.checks import DataReport
    from stancelib.trainer import ClassWeights, Example, Layers, Recipe

# Rows up to which, epochs, and rows a batch: some 3,000 to 60,000 texts are read in all.
_BY_SIZE = ((500, 12, 16), (2000, 8, 16), (8000, 4, 32), (sys.maxsize, 2, 32))
_LEARNING_RATES = {"upper": 5e-5, "all": 3e-5, "head": 1e-3}
_HEAD_EPOCHS = 40
_PATIENCE = {"upper": 3, "all": 3, "head": 8}
_SMALL = 1000  # rows: below, a fifth is held out for validation, else a tenth
_LARGEST_VALIDATION = 2000
_CHECKED = 64  # texts on which the graph is compared with the model
_LARGEST_CHANGE = 2e-3  # in probability
THRESHOLDS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)

GUIDE = {
    "support": "calls for, announces, approves or defends sending, keeping or reinforcing troops, keeps the option "
    "open, or argues against withdrawal",
    "oppose": "refuses, rules out, warns of, doubts or delays it; announces or demands withdrawal; says that a "
    "deployment failed",
    "neutral": "takes no position",
}


def finetune(
    train: Any,
    validation: Any = None,
    *,
    output_dir: str | os.PathLike[str],
    base: str | os.PathLike[str] | None = None,
    label_map: Mapping[Any, str] | str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    group_column: str | None = None,
    train_layers: Layers = "upper",
    epochs: int | None = None,
    learning_rate: float | None = None,
    batch_size: int | None = None,
    class_weights: ClassWeights = "sqrt",
    folds: int = 0,
    search: int = 0,
    precision: Literal["fp16", "fp32"] = "fp16",
    strict: bool = False,
    seed: int = 1,
    resume: bool = False,
    tensorboard: bool = False,
    quiet: bool = False,
) -> Path:
    """Train a classifier on labelled texts.

    Starts from a checkpoint; with its head if that knows the labels, else with a new one. Stops when the macro-F1 on
    validation rows no longer rises, keeps the best weights, and divides the temperature that fits these rows into the
    last layer (Guo et al. 2017).

    Args:
        train: a file (.csv, .tsv, .jsonl, .parquet, .xlsx), a folder of splits, a frame, a dataset, mappings; see
            `stancelib.data.read_splits`. If it has a split ``test``, the finished model is measured on it.
        validation: the same, to validate on. By default the split ``validation``, or else a part of the training rows:
            stratified by label, groups kept together, a fifth of up to 1,000 rows, a tenth of more, 2,000 at most.
        output_dir: the folder to make. While training goes on, it holds ``run``, from which ``resume`` goes on.
        base: None for the shipped model; a checkpoint folder, ours or of plain transformers; or a hub id.
        label_map: their labels -> the labels to learn, as a mapping or as ``"favor=support,against=oppose"``.
        text_column, label_column, group_column: see `stancelib.data.read_labelled`. Rows of one group (a speaker, a
            document) never stand on both sides of a split; without groups, this holds for equal texts.
        train_layers: ``"upper"`` trains the upper half of the layers and the head, ``"all"`` all layers (words keep
            their embeddings), ``"head"`` the classification head alone: seconds, for few rows, and the model still
            finds holders, which else it must unlearn.
        epochs, learning_rate, batch_size: by default chosen by the number of rows.
        class_weights: what errors in rare labels count: ``"balanced"`` inverse to frequency, ``"sqrt"`` the root of
            that, ``"none"`` like all others.
        folds: if 2 or more, cross-validation first: ``rows/oof.csv`` gets a prediction for each training row by a model
            that never saw it or its group, and ``metrics.json`` its figures.
        search: so many trials of learning rate, batch size, layers and class weights (tree-structured Parzen
            estimator, Bergstra et al. 2011), the defaults first; what is passed here is not searched.
        precision: of the stored weights; all is computed in 32 bits.
        strict: stop if the check of the data finds anything but notes. By default only errors stop, and the rows
            that it advises against (duplicates, texts with two labels, …) are left out.
        seed: of everything random.
        resume: go on with what was broken off in ``output_dir``, to the same result. Begins if there is nothing.
        tensorboard: log for TensorBoard to ``output_dir/tensorboard``.
        quiet: no report and no progress on standard error.

    Returns:
        ``output_dir``: weights, tokenizer, ``model.onnx``, ``metrics.json``, ``labels.json``, ``training.json`` (all
        settings, versions and hashes), ``README.md`` (the model card), ``log.jsonl``, and ``rows/`` with what was left
        out and what was predicted for the validation rows.

    Raises:
        FileError, InputError: data that can't be used, or an ``output_dir`` that holds something else.
        ModelError: a base that can't be trained on.
        MissingExtraError: the extra ``train`` is not installed (``search``: optuna).
        ValueError: an argument that is none of what it may be.
        MemoryError: not even batches of one text fit.
    """
    from stancelib import checks, trainer

    if train_layers not in _LEARNING_RATES:
        raise ValueError(f"train_layers={train_layers!r} is none of {', '.join(map(repr, _LEARNING_RATES))}")
    if folds == 1 or folds < 0 or search < 0:
        raise ValueError(f"folds={folds}, search={search}: folds is 0 (none) or 2 and more, search 0 (none) or more")
    main = trainer.is_main()
    say: Callable[[str], None] = (lambda _: None) if quiet or not main else _say
    names = {"text_column": text_column, "label_column": label_column, "group_column": group_column}
    splits = read_splits(train, label_map=label_map, **names)
    if "train" not in splits:
        raise InputError(f"there is no training split; the data have {', '.join(splits)}")
    if validation is not None:
        splits["validation"] = read_labelled(validation, label_map=label_map, **names)
    start = _Start.of(base, splits["train"])
    output = Path(output_dir)
    if (output / "training.json").is_file() and resume:
        if main:
            shutil.rmtree(output / "run", ignore_errors=True)
        say(f"{output} is finished already")
        return output
    if main:
        _check_folder(output, resume)
    if tensorboard and not _installed("tensorboard"):
        raise MissingExtraError("tensorboard=True", "tensorboard", "tensorboard")
    report = checks.check(
        splits,
        encode=lambda texts: [len(encoded.ids) for encoded in start.encoder(sys.maxsize)(texts)],
        max_tokens=start.max_tokens,
    )
    say(f"the data\n{report}")
    _stop_at(report, strict)
    splits, left_out = checks.usable(splits, report)
    start = _Start.of(base, splits["train"])  # of a label, no row may be left
    _check_splits(splits, start.labels)
    data = splits["train"]
    if "validation" in splits:
        learnt, held_out = data, splits["validation"]
    else:
        inside, outside = hold_out(data, seed)
        learnt, held_out = data.select(inside), data.select(outside)
    recipe = default_recipe(len(learnt), train_layers, class_weights, seed)
    given: dict[str, Any] = {"epochs": epochs, "learning_rate": learning_rate, "batch_size": batch_size}
    recipe = replace(recipe, **{name: value for name, value in given.items() if value is not None})
    settings = {
        "base": start.name,
        "base_sha256": start.checkpoint.sha256(),
        "labels": list(start.labels),
        "train_sha256": _sha256(learnt),
        "validation_sha256": _sha256(held_out),
        "train_rows": len(learnt),
        "validation_rows": len(held_out),
        "max_tokens": start.max_tokens,
        **asdict(recipe),
        "folds": folds,
        "search": search,
        "stored_in": precision,
        "computed_in": trainer.compute_precision(),
    }
    run = output / "run"
    if main:
        _claim(run, settings)
        (output / ".gitignore").write_text("# Not for the hub: what is in progress, and your own texts.\nrun/\nrows/\n")
        (output / "rows").mkdir(exist_ok=True)
        if left_out:
            write_left_out(left_out, output / "rows" / "left_out.csv", overwrite=True)
    trainer.wait_for_all()
    if left_out:
        say(f"{len(left_out):,} rows are left out; {output / 'rows' / 'left_out.csv'} has them, with the reasons")

    work = _Work(start, run, train_layers == "head", quiet, tensorboard)
    learnt_rows, held_rows = work.rows(learnt), work.rows(held_out)
    if search:
        searched = {name for name, value in given.items() if value is None and name != "epochs"}
        searched |= {"train_layers"} if train_layers == "upper" else set()
        searched |= {"class_weights"} if class_weights == "sqrt" else set()
        recipe, folder = _search(work, learnt_rows, held_rows, recipe, searched, search, say)
    else:
        folder = run / "model"
    figures: dict[str, Any] = {}
    if folds:
        figures["cross-validation"] = _cross_validate(work, data, recipe, folds, output / "rows" / "oof.csv")
    model, record = work.fit(learnt_rows, held_rows, folder, recipe, "training")
    if not main:
        return output
    probabilities, temperature, holders = _export(work, model, held_rows, run / "whole", precision, say)
    figures["validation"] = measure(held_rows.codes, probabilities, start.labels, held_out.groups)
    _write_predictions(output / "rows" / "validation.csv", held_out, probabilities, start.labels)
    if "test" in splits:
        tested = work.rows(splits["test"])
        found = softmax(trainer.logits_of(model, tested.ids, work.pad_id))
        figures["test"] = measure(tested.codes, found, start.labels, splits["test"].groups)
    _describe(work, output, label_map, learnt, held_out, settings | asdict(recipe), record, temperature, figures)
    _finish(output, run, folder, tensorboard)
    shown = figures.get("test", figures["validation"])
    bounds = shown["macro_f1_interval"]
    say(
        f"{output}: macro-F1 {shown['macro_f1']:.3f}"
        + (f" ({bounds[0]:.3f}-{bounds[1]:.3f})" if bounds else "")
        + f" on {shown['n']:,} {'test' if 'test' in figures else 'validation'} rows"
        + ("" if holders or not start.checkpoint.has_holders else "; the model no longer finds holders")
    )
    return output


def default_recipe(rows: int, train_layers: Layers, class_weights: ClassWeights = "sqrt", seed: int = 1) -> Recipe:
    """How ``rows`` training rows are learnt when nobody says: few of them many times, many of them twice."""
    from stancelib.trainer import Recipe

    epochs, batch = next((epochs, batch) for limit, epochs, batch in _BY_SIZE if rows <= limit)
    return Recipe(
        train_layers,
        _HEAD_EPOCHS if train_layers == "head" else epochs,
        _LEARNING_RATES[train_layers],
        batch,
        class_weights,
        _PATIENCE[train_layers],
        seed,
    )


def hold_out(data: LabelledData, seed: int) -> tuple[list[int], list[int]]:
    """Indices of the rows to learn from and of those to validate on; no group, and no text, is in both.

    Raises:
        InputError: a label would have nothing to learn from.
    """
    parts = 5 if len(data) < _SMALL else max(10, -(-len(data) // _LARGEST_VALIDATION))
    inside, outside = _folds(data, parts, seed)[0]
    missing = set(data.labels) - {data.labels[index] for index in inside}
    if missing:
        raise InputError(
            f"{data.name}: all rows with the label {sorted(missing)[0]!r} are of one group, or there is only one; code "
            "more of them, or pass validation rows of your own"
        )
    return inside, outside


def measure(
    gold: NDArray[np.int64], probabilities: NDArray[Any], labels: Sequence[str], groups: Sequence[str] | None
) -> dict[str, Any]:
    """Figures for ``metrics.json``: 95 % bootstrap intervals of 2,000 resamples, of groups if there are any.

    Args:
        gold: (n,) columns of the right labels.
        probabilities: (n, labels).
    """
    k, found = len(labels), probabilities.argmax(axis=1)
    codes = None if groups is None else np.unique(groups, return_inverse=True)[1]
    confusion = metrics.confusion_matrix(gold, found, k)
    resampled = bootstrap.confusions(gold, found, k, codes)
    confidence = probabilities.max(axis=1).astype(np.float64)
    by_label = [metrics.precision(confusion), metrics.recall(confusion), metrics.f1(confusion)]
    kept = [(threshold, confidence >= threshold) for threshold in THRESHOLDS]
    return {
        "n": len(gold),
        "macro_f1": float(metrics.macro_f1(confusion)),
        "macro_f1_interval": bootstrap.interval(metrics.macro_f1(resampled)),
        "accuracy": float(metrics.accuracy(confusion)),
        "accuracy_interval": bootstrap.interval(metrics.accuracy(resampled)),
        "log_loss": float(metrics.log_losses(gold, probabilities.astype(np.float64)).mean()),
        "calibration_error": metrics.calibration_error(confidence, found == gold),
        "per_class": {
            label: {"n": int(confusion[index].sum())}
            | {
                name: None if np.isnan(scores[index]) else float(scores[index])
                for name, scores in zip(("precision", "recall", "f1"), by_label, strict=True)
            }
            for index, label in enumerate(labels)
        },
        "confusion": confusion.tolist(),
        "abstention": [
            {
                "threshold": threshold,
                "coverage": float(sure.mean()),
                "risk": float((found != gold)[sure].mean()) if sure.any() else 0.0,
            }
            for threshold, sure in kept
        ],
    }


@dataclass(frozen=True, slots=True)
class _Start:
    """What training starts from."""

    name: str
    checkpoint: Checkpoint
    labels: tuple[str, ...]  # in the order of the model's columns
    keep_head: bool

    @property
    def max_tokens(self) -> int:
        return self.checkpoint.max_tokens

    def encoder(self, max_tokens: int) -> Encoder:
        """What cuts texts up as `StanceClassifier` does."""
        return Encoder(self.checkpoint.folder, max_tokens)

    @classmethod
    def of(cls, base: str | os.PathLike[str] | None, data: LabelledData) -> _Start:
        checkpoint = Checkpoint(find_folder(base))
        missing = [file for file in NEEDED if not (checkpoint.folder / file).is_file()]
        if missing:
            raise ModelError(
                f"{checkpoint.folder} can't be trained on: {', '.join(missing)} missing; load it with transformers and "
                "save it anew (save_pretrained of the model and of the fast tokenizer)"
            )
        labels = label_order(data.labels)
        known: tuple[str, ...] = ()
        try:
            checkpoint.check()
        except ModelError:
            pass  # an encoder without a head that is worth keeping
        else:
            names = checkpoint.config["id2label"]
            known = tuple(names[str(index)] for index in range(len(names)))
        keep = set(labels) <= set(known)
        return cls(
            checkpoint.name if base is None else str(base), checkpoint, known if keep else labels, keep_head=keep
        )


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows as the model reads them."""

    texts: list[str]
    ids: list[list[int]]
    codes: NDArray[np.int64]
    examples: list[Example]


class _Work:
    """The base, its tokenizer, and fits of it in folders below ``run``."""

    def __init__(self, start: _Start, run: Path, head_only: bool, quiet: bool, tensorboard: bool) -> None:
        self.start, self.run, self.head_only, self.quiet, self.tensorboard = start, run, head_only, quiet, tensorboard
        self.encoder = start.encoder(start.max_tokens)
        self.pad_id = int(start.checkpoint.config.get("pad_token_id") or 0)

    def rows(self, data: LabelledData) -> _Rows:
        ids = [encoded.ids for encoded in self.encoder(data.texts)]
        codes = np.array([self.start.labels.index(label) for label in data.labels], dtype=np.int64)
        return _Rows(
            data.texts,
            ids,
            codes,
            [{"input_ids": row, "labels": int(code)} for row, code in zip(ids, codes, strict=True)],
        )

    def load(self, seed: int) -> Any:
        from stancelib.trainer import load_model

        return load_model(self.start.checkpoint.folder, self.start.labels, self.start.keep_head, seed)

    def fit(
        self, learnt: _Rows, held_out: _Rows, folder: Path, recipe: Recipe, title: str
    ) -> tuple[Any, dict[str, Any]]:
        """The model with the best weights, and the record of the run."""
        from stancelib import trainer

        def prepared() -> Any:
            model = self.load(recipe.seed)
            if not self.head_only:
                trainer.freeze(model, recipe.train_layers)
            return model

        fit = partial(
            trainer.fit,
            folder=folder,
            recipe=recipe,
            pad_id=self.pad_id,
            title=None if self.quiet else title,
            tensorboard=self.tensorboard,
        )
        if not self.head_only:
            return fit(prepared, learnt.examples, held_out.examples)
        model = prepared()
        encoder = model.base_model
        cached = trainer.encode_once(model, [*learnt.ids, *held_out.ids], self.pad_id)
        numbered = [
            {"input_ids": [number], "labels": int(code)} for number, code in enumerate([*learnt.codes, *held_out.codes])
        ]

        def headed() -> Any:
            headed_model = prepared()
            setattr(headed_model, headed_model.base_model_prefix, cached)
            return headed_model

        model, record = fit(headed, numbered[: len(learnt.ids)], numbered[len(learnt.ids) :])
        setattr(model, model.base_model_prefix, encoder)
        return model.eval(), record


def _search(
    work: _Work,
    learnt: _Rows,
    held_out: _Rows,
    recipe: Recipe,
    searched: set[str],
    trials: int,
    say: Callable[[str], None],
) -> tuple[Recipe, Path]:
    """The best recipe and the folder of its run.

    Runs that are finished are read from their folders and told to the sampler again, which is seeded: so a search that
    was broken off goes on as if nothing had been.
    """
    try:
        import optuna
    except ImportError:
        raise MissingExtraError("search", "optuna", "search") from None

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=recipe.seed))
    study.enqueue_trial({name: value for name, value in asdict(recipe).items() if name in searched})
    best: tuple[float, Recipe, Path] | None = None
    for number in range(1, trials + 1):
        trial = study.ask()
        drawn: dict[str, Any] = {}
        if "learning_rate" in searched:
            rate = recipe.learning_rate
            drawn["learning_rate"] = trial.suggest_float("learning_rate", rate / 4, rate * 4, log=True)
        if "batch_size" in searched:
            drawn["batch_size"] = trial.suggest_categorical("batch_size", [8, 16, 32])
        if "train_layers" in searched:
            drawn["train_layers"] = trial.suggest_categorical("train_layers", ["upper", "all"])
        if "class_weights" in searched:
            drawn["class_weights"] = trial.suggest_categorical("class_weights", ["none", "sqrt", "balanced"])
        tried = replace(recipe, **drawn)
        folder = work.run / f"trial-{number}"
        _, record = work.fit(learnt, held_out, folder, tried, f"trial {number} of {trials}")
        reached = float(record["validation_macro_f1"])
        study.tell(trial, reached)
        say(f"trial {number} of {trials}: macro-F1 {reached:.4f} with {json.dumps(drawn)}")
        if best is None or reached > best[0]:
            best = (reached, tried, folder)
    assert best is not None
    return best[1:]


def _cross_validate(work: _Work, data: LabelledData, recipe: Recipe, folds: int, path: Path) -> dict[str, Any]:
    """Figures of out-of-fold predictions, which are written to ``path``.

    Each model stops by rows that are held out from its own part, not by those that it is measured on.
    """
    from stancelib.calibration import fit_temperature
    from stancelib.trainer import is_main, logits_of, wait_for_all

    probabilities = np.full((len(data), len(work.start.labels)), np.nan)
    fold_of = np.zeros(len(data), dtype=np.int64)
    for number, (inside, outside) in enumerate(_folds(data, folds, recipe.seed + 1), 1):
        done = work.run / f"fold-{number}.npy"
        if not done.is_file():
            part = data.select(inside)
            learnt, held_out = (work.rows(part.select(rows)) for rows in hold_out(part, recipe.seed))
            folder = work.run / f"fold-{number}"
            model, _ = work.fit(learnt, held_out, folder, recipe, f"fold {number} of {folds}")
            temperature = fit_temperature(logits_of(model, held_out.ids, work.pad_id), held_out.codes)
            logits = logits_of(model, work.rows(data.select(outside)).ids, work.pad_id)
            if is_main():
                with (part_file := done.with_suffix(".part")).open("wb") as file:
                    np.save(file, softmax(logits / np.float32(temperature)))
                part_file.replace(done)
                shutil.rmtree(folder)
            wait_for_all()
        probabilities[outside] = np.load(done)
        fold_of[outside] = number
    if is_main():
        _write_predictions(path, data, probabilities, work.start.labels, fold_of)
    codes = np.array([work.start.labels.index(label) for label in data.labels], dtype=np.int64)
    return measure(codes, probabilities, work.start.labels, data.groups)


def _export(
    work: _Work, model: Any, held_out: _Rows, folder: Path, precision: str, say: Callable[[str], None]
) -> tuple[NDArray[np.float32], float, bool]:
    """Write the model's files to ``folder``.

    Gives the probabilities of the validation rows, the temperature, and whether the model still finds holders.
    """
    from stancelib import export
    from stancelib.calibration import divide, fit_temperature, last_layer
    from stancelib.classifier import StanceClassifier
    from stancelib.trainer import load_tokenizer, logits_of

    model = model.to("cpu").eval()
    stored = export.half if precision == "fp16" else export.full
    export.round_weights(model, stored)
    temperature = fit_temperature(logits_of(model, held_out.ids, work.pad_id), held_out.codes)
    divide(last_layer(model), temperature)
    probabilities = softmax(logits_of(model, held_out.ids, work.pad_id))
    tagger = None
    if work.start.checkpoint.has_holders:
        if work.head_only:
            from stancelib.holder_head import HolderHead

            tagger = HolderHead.load(work.start.checkpoint.folder).eval()
        else:
            say(
                f"{HOLDER_HEAD} is left out: it was fitted on the base's layers, which have changed; the model gives "
                'stances alone (train_layers="head" keeps it)'
            )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        export.write_checkpoint(model, load_tokenizer(work.start.checkpoint.folder), folder, stored, tagger)
    except ModelError as error:
        say(f'{error}; the folder works with backend="torch"')
        return probabilities, temperature, tagger is not None
    shipped = StanceClassifier.from_pretrained(folder)
    expected = probabilities[:_CHECKED, shipped.checkpoint.columns]
    change = float(np.abs(shipped.predict_proba(held_out.texts[:_CHECKED]) - expected).max())
    if change > _LARGEST_CHANGE:
        (folder / "model.onnx").unlink()
        say(f'model.onnx is left out: its probabilities differ by {change:.4f} from the model\'s; use backend="torch"')
    return probabilities, temperature, tagger is not None


def _describe(
    work: _Work,
    output: Path,
    label_map: Mapping[Any, str] | str | None,
    learnt: LabelledData,
    held_out: LabelledData,
    settings: dict[str, Any],
    record: dict[str, Any],
    temperature: float,
    figures: dict[str, Any],
) -> None:
    """metrics.json, labels.json, training.json and README.md, beside the weights."""
    from stancelib.model_card import model_card

    folder, labels = work.run / "whole", work.start.labels
    counts = {"train": Counter(learnt.labels), "validation": Counter(held_out.labels)}
    about = {
        "labels": list(labels),
        "label_map": {} if label_map is None else parse_label_map(label_map),
        "guide": {label: GUIDE.get(label) for label in labels} if set(labels) == set(LABELS) else {},
        "rows": {split: {label: count[label] for label in labels} for split, count in counts.items()},
    }
    measured = {
        "model": {"name": output.name, "sha256": Checkpoint(folder).sha256()},
        "data": figures,
        "abstention": figures.get("test", figures["validation"])["abstention"],
    }
    training = {
        **settings,
        "temperature": temperature,
        **record,
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("stancelib", "torch", "transformers", "onnx") if _installed(name)},
    }
    training["versions"].setdefault("stancelib", "unknown")
    base = settings["base"]
    on_hub = base if base.count("/") == 1 and not Path(base).exists() else None
    for file, content in (("metrics.json", measured), ("labels.json", about), ("training.json", training)):
        (folder / file).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    card = model_card(output.name, measured, about, training, on_hub)
    (folder / "README.md").write_text(card, encoding="utf-8")


def _finish(output: Path, run: Path, fitted: Path, tensorboard: bool) -> None:
    """Move what is whole to its place, ``training.json``, which says that all is there, last; then drop the run."""
    log = fitted / "log.jsonl"
    if log.is_file():
        shutil.copy(log, run / "whole" / "log.jsonl")
    if tensorboard and (fitted / "tensorboard").is_dir():
        shutil.copytree(fitted / "tensorboard", output / "tensorboard", dirs_exist_ok=True)
    for path in sorted((run / "whole").iterdir(), key=lambda path: path.name == "training.json"):
        path.replace(output / path.name)
    shutil.rmtree(run)


def _folds(data: LabelledData, parts: int, seed: int) -> list[tuple[list[int], list[int]]]:
    """Stratified by label, groups kept together (or equal texts, if there are none)."""
    try:
        from sklearn.model_selection import StratifiedGroupKFold
    except ImportError:
        raise MissingExtraError("splitting the rows", "scikit-learn", "train") from None
    import warnings

    from stancelib.duplicates import normalised

    groups = data.groups if data.groups is not None else [normalised(text) for text in data.texts]
    numbers = np.unique(groups, return_inverse=True)[1]
    count = int(numbers.max()) + 1
    parts = min(parts, count, max(Counter(data.labels).values()))
    if parts < 2:
        raise InputError(f"{data.name}: all rows are of one group, or no label has two; nothing can be held out")
    splitter = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of rare labels, which `hold_out` looks after
        return [
            (inside.tolist(), outside.tolist()) for inside, outside in splitter.split(data.texts, data.labels, numbers)
        ]


def _check_splits(splits: dict[str, LabelledData], labels: Sequence[str]) -> None:
    data = splits["train"]
    if not len(data):
        raise InputError(f"{data.name}: no row is left to train on; all of them also stand in splits that are held out")
    if len(set(data.labels)) < 2:
        raise InputError(f"{data.name}: all rows have the label {data.labels[0]!r}; there is nothing to tell apart")
    for name, split in splits.items():
        for label, place in zip(split.labels, split.places, strict=True):
            if label not in labels:
                raise InputError(
                    f"{place} ({name}): the label {label!r} is in no training row, which have {', '.join(labels)}; "
                    "mend it, or map it with label_map"
                )


def _check_folder(output: Path, resume: bool) -> None:
    if output.is_file():
        raise FileError(f"{output} is a file; name a folder to make")
    # A kill before the settings were written leaves an empty run.
    if not output.is_dir() or not any(path.name != "run" or any(path.iterdir()) for path in output.iterdir()):
        return
    if (output / "training.json").is_file():
        raise FileError(f"{output} holds a finished model; choose another folder, or delete it")
    if not (output / "run" / "settings.json").is_file():
        raise FileError(f"{output} exists already and holds something else; choose another folder")
    if not resume:
        raise FileError(f"{output} holds a run that was broken off; go on with resume=True (--resume), or delete it")


def _claim(run: Path, settings: dict[str, Any]) -> None:
    """Note in ``run`` what is trained there, and stop if it is something else already."""
    path = run / "settings.json"
    plain = json.loads(json.dumps(settings))
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        other = sorted(name for name in {**before, **plain} if before.get(name) != plain.get(name))
        if other:
            raise FileError(
                f"{run.parent} holds a run with another {', '.join(other)}; pass the same data and settings to go on "
                "with it, or choose another folder"
            )
        return
    run.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(plain, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def _stop_at(report: DataReport, strict: bool) -> None:
    """Raise `InputError` for what the check of the data calls errors, and if ``strict`` for warnings too."""
    stopping = ("error", "warning") if strict else ("error",)
    found = [finding for finding in report.findings if finding.severity in stopping]
    if found:
        shown = "; ".join(finding.message for finding in found)
        raise InputError(f"nothing is trained: {shown}" + (" (strict stops at warnings too)" if strict else ""))


def _write_predictions(
    path: Path,
    data: LabelledData,
    probabilities: NDArray[Any],
    labels: Sequence[str],
    folds: NDArray[np.int64] | None = None,
) -> None:
    """Place, text, label, group and fold of each row, and what was predicted for it; cells are `guarded`."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8", newline="", errors="replace") as file:
        table = csv.writer(file, lineterminator="\n")
        own = [*(["group"] if data.groups is not None else []), *(["fold"] if folds is not None else [])]
        table.writerow(["place", "text", "label", *own, "stance", "confidence", *(f"p_{label}" for label in labels)])
        for index, row in enumerate(probabilities):
            mine = [*([data.groups[index]] if data.groups is not None else [])]
            mine += [str(folds[index])] if folds is not None else []
            best = int(row.argmax())
            cells = [data.places[index], data.texts[index], data.labels[index], *mine, labels[best]]
            table.writerow([*map(guarded, cells), *(f"{p:.4f}" for p in (row[best], *row))])
    part.replace(path)


def _sha256(data: LabelledData) -> str:
    """sha256 of texts, labels and groups, in order."""
    rows = [data.texts, data.labels, data.groups]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _say(message: str) -> None:
    print(f"stancelib: {message}", file=sys.stderr)
