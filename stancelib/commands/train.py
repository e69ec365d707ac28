"""The command ``stancelib train``: a model of one's own from labelled rows."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Layers(StrEnum):
    """What is trained of the base."""

    UPPER = "upper"
    ALL = "all"
    HEAD = "head"


class Weights(StrEnum):
    """What errors in rare labels count."""

    sqrt = "sqrt"
    balanced = "balanced"
    none = "none"


class Precision(StrEnum):
    """What weights are stored in."""

    fp16 = "fp16"
    fp32 = "fp32"


def train(
    data: Annotated[
        Path,
        typer.Argument(
            help="Labelled rows (.csv, .tsv, .jsonl, .parquet, .xlsx), or a folder with train.*, validation.*, test.*.",
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to make.", show_default=False)],
    validation: Annotated[
        Path | None, typer.Option(help="Rows to validate on. [default: a part of the rows, groups kept together]")
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(help="What to start from: a checkpoint folder or a hub id. [default: the shipped model]"),
    ] = None,
    text_column: Annotated[str | None, typer.Option("--text-column", "-c", help="The column of texts.")] = None,
    label_column: Annotated[str | None, typer.Option("--label-column", "-l", help="The column of labels.")] = None,
    group_column: Annotated[
        str | None, typer.Option("--group-column", help="Rows with one value here are never parted by a split.")
    ] = None,
    label_map: Annotated[
        str | None, typer.Option(help="favor=support,against=oppose,none=neutral, or to any labels of your own.")
    ] = None,
    train_layers: Annotated[
        Layers, typer.Option(help="Upper half of the layers, all, or the head alone: seconds, and holders stay.")
    ] = Layers.UPPER,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="At most. [default: by the number of rows, 2 to 12; head: 40]")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(min=0, help="[default: 5e-5; all layers: 3e-5; head: 1e-3]")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="[default: 16, from 2,000 rows 32]")] = None,
    class_weights: Annotated[Weights, typer.Option(help="What errors in rare labels count.")] = Weights.sqrt,
    folds: Annotated[int, typer.Option(min=0, help="Cross-validate in so many parts first.")] = 0,
    search: Annotated[int, typer.Option(min=0, help="So many trials of settings that are not given (optuna).")] = 0,
    precision: Annotated[Precision, typer.Option(help="What weights are stored in.")] = Precision.fp16,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at anything suspicious in the data.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was broken off.")] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Log to OUTPUT/tensorboard.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No report, no progress.")] = False,
) -> None:
    """Train a model on your own labels.

    **Examples**

    stancelib train coded.csv --output models/mine

    stancelib train coded.xlsx -o models/mine -c sentence -l code --label-map favor=support,against=oppose,none=neutral

    stancelib train coded.csv -o models/mine --folds 5 --group-column speaker

    It checks the data first, and says what it leaves out. The result is a complete model folder, with figures on rows
    that it did not learn from. Break it off at any moment and pass --resume with the same options to go on.

    Exit codes: 0 done, 1 an error, 2 wrong usage, 130 interrupted.
    """
    from stancelib.finetuning import finetune

    if folds == 1:
        raise typer.BadParameter("--folds takes 0 (none) or at least 2")
    try:
        finetune(
            data,
            validation,
            output_dir=output,
            base=base,
            label_map=label_map,
            text_column=text_column,
            label_column=label_column,
            group_column=group_column,
            train_layers=train_layers.value,
            epochs=epochs,
            learning_rate=learning_rate,
            batch_size=batch_size,
            class_weights=class_weights.value,
            folds=folds,
            search=search,
            precision=precision.value,
            strict=strict,
            seed=seed,
            resume=resume,
            tensorboard=tensorboard,
            quiet=quiet,
        )
    except KeyboardInterrupt:
        print(f"stancelib: interrupted; the same command with --resume goes on from {output}", file=sys.stderr)
        raise typer.Exit(130) from None
    except MemoryError as error:
        print(f"stancelib: error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    print(output)
