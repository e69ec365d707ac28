"""The README of a finetuned model's folder, with the header that the Hugging Face hub reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def model_card(
    name: str,
    metrics: Mapping[str, Any],
    labels: Mapping[str, Any],
    training: Mapping[str, Any],
    base_on_hub: str | None = None,
) -> str:
    """The card as Markdown.

    Args:
        name: what to call the model.
        metrics: what ``metrics.json`` holds.
        labels: what ``labels.json`` holds.
        training: what ``training.json`` holds.
        base_on_hub: the hub id of the base, if it has one.
    """
    header = ["---", "library_name: stancelib", "pipeline_tag: text-classification"]
    if base_on_hub is not None:
        header.append(f"base_model: {json.dumps(base_on_hub)}")
    header += ["tags: [stance-detection, text-classification]", "---"]
    code = [
        "```python",
        "import stancelib",
        f"clf = stancelib.StanceClassifier.from_pretrained({json.dumps(name)})  # this folder, or its hub id",
        'print(clf.predict("…"))',
        "```",
    ]
    parts = [
        *header,
        f"# {name}",
        "",
        f"Sorts texts into {_listed([f'`{label}`' for label in labels['labels']])}. Finetuned by stancelib "
        f"{training['versions']['stancelib']} from `{training['base']}`. This page is generated.",
        "",
        *code,
        "",
        'The folder is also a plain transformers checkpoint: `pipeline("text-classification", model=folder)`.',
        "",
        "## Labels",
        "",
        "| label | training | validation | meaning |",
        "|---|--:|--:|---|",
    ]
    for label in labels["labels"]:
        counts = labels["rows"]
        meaning = labels["guide"].get(label) or ""
        origin = [theirs for theirs, ours in labels["label_map"].items() if ours == label]
        if origin:
            meaning += (" " if meaning else "") + f"coded as {_listed([f'`{theirs}`' for theirs in origin])}"
        parts.append(
            f"| {_cell(label)} | {counts['train'][label]:,} | {counts['validation'][label]:,} | {_cell(meaning)} |"
        )
    parts += [
        "",
        "## How good it is",
        "",
        "| measured on | n | macro-F1 (95 % interval) | accuracy (95 % interval) | calibration error |",
        "|---|--:|---|---|--:|",
        *(
            f"| {title} | {figures['n']:,} | {_interval(figures, 'macro_f1')} | {_interval(figures, 'accuracy')} | "
            f"{figures['calibration_error']:.3f} |"
            for title, figures in metrics["data"].items()
        ),
    ]
    if "validation" in metrics["data"]:
        parts += [
            "",
            "The validation rows chose the epoch and the temperature, so that their figures flatter the model a "
            "little; those of test rows and of cross-validation do not.",
        ]
    for title, figures in metrics["data"].items():
        parts += ["", f"### {title}, by label", "", *_by_label(figures, labels["labels"])]
    parts += ["", "## How it was made", "", "| | |", "|---|---|"]
    parts += [
        f"| {key.replace('_', ' ')} | {_cell(_plain(value))} |"
        for key, value in training.items()
        if not isinstance(value, (dict, list))
    ]
    parts += [f"| {package} | {version} |" for package, version in training["versions"].items()]
    parts += [
        f"| weights sha256 | `{metrics['model']['sha256']}` |",
        "",
        "## When not to trust it",
        "",
        "- On text of another kind than it was trained on: code a random sample by hand, blind, and compare "
        "(`stancelib evaluate`).",
        f"- On texts beyond {training['max_tokens']} tokens, of which only the beginning counts.",
        "- One by one: look at the share of errors above.",
        "",
    ]
    return "\n".join(parts)


def _by_label(figures: Mapping[str, Any], labels: list[str]) -> list[str]:
    lines = ["| label | n | precision | recall | F1 | " + " | ".join(f"→ {_cell(label)}" for label in labels) + " |"]
    lines.append("|---|--:|--:|--:|--:|" + "--:|" * len(labels))
    for label, counts in zip(labels, figures["confusion"], strict=True):
        one = figures["per_class"][label]
        cells = ["–" if one[name] is None else f"{one[name]:.3f}" for name in ("precision", "recall", "f1")]
        lines.append(f"| {' | '.join([_cell(label), str(one['n']), *cells, *map(str, counts)])} |")
    return lines


def _interval(figures: Mapping[str, Any], figure: str) -> str:
    bounds = figures[f"{figure}_interval"]
    return f"{figures[figure]:.3f}" + (f" ({bounds[0]:.3f}-{bounds[1]:.3f})" if bounds else "")


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _cell(text: str) -> str:
    """``text`` as a cell of a table: on one line, and no markup that a label could bring along."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "–" if value is None else str(value)
