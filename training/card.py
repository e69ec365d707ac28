"""Figures as people read them: the model card, the table of the README, a summary for the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stancelib.labels import LABELS

SOURCES = {
    "elecdeb": "US presidential debates",
    "liar": "fact-checked statements",
    "fnc1": "news of 2014-15",
}


def interval(figures: dict[str, Any], figure: str = "macro_f1") -> str:
    """A figure with its interval: ``0.812 (0.754-0.871)``."""
    low, high = figures[f"{figure}_interval"]
    return f"{figures[figure]:.3f} ({low:.3f}-{high:.3f})"


def summary(name: str, figures: dict[str, Any]) -> str:
    """A few lines for the terminal."""
    lines = [
        f"{name}: macro-F1 {interval(figures)}, n = {figures['n']:,}, accuracy {figures['accuracy']:.3f}, "
        f"calibration error {figures['calibration_error']:.3f}, "
        f"accuracy of the most confident 80 % {figures['selective_accuracy_80']:.3f}"
    ]
    lines += [f"  {title}: {interval(other)}" for title, other in figures["baselines"].items()]
    lines += [
        f"  {label}: " + ", ".join(f"{k} {v:.2f}" for k, v in figures["per_class"][label].items() if k != "n")
        for label in LABELS
    ]
    if "contrast_sets" in figures:
        sets = figures["contrast_sets"]
        lines.append(f"  contrast sets with all three right: {sets['all_right']:.1%} of {sets['n']}")
    for values in figures["slices"].values():
        lines += [
            f"  {value}: accuracy {interval(part, 'accuracy')}, macro-F1 {interval(part)}, n = {part['n']}"
            for value, part in values.items()
        ]
    for name, part in figures.get("holders", {}).items():
        lines.append(f"  holders, {name}: F1 {interval(part, 'f1')}, n = {part['n']}")
    return "\n".join(lines)


def figures_table(metrics: dict[str, Any]) -> str:
    """Macro-F1 with interval by data set and source, beside the baselines, as Markdown."""
    lines = [
        "| measured on | n | stancelib | TF-IDF + logistic regression | majority class |",
        "|---|--:|---|---|---|",
    ]
    for name, figures in metrics["data"].items():
        simple = [interval(other) for other in figures["baselines"].values()]
        lines.append(f"| {_title(name)} | {figures['n']:,} | **{interval(figures)}** | {' | '.join(simple)} |")
        for source, part in figures["slices"].get("source", {}).items():
            simple = [interval(other["slices"]["source"][source]) for other in figures["baselines"].values()]
            lines.append(
                f"| … {SOURCES.get(source, source)} | {part['n']:,} | {interval(part)} | {' | '.join(simple)} |"
            )
    lines += [
        "",
        "Macro-F1 with a 95 % bootstrap interval (2,000 resamples of the sentences), written by `python -m "
        f"training.evaluate` for the model `{metrics['model']['name']}`, weights sha256 "
        f"`{metrics['model']['sha256'][:12]}…`.",
    ]
    if "real_dev" in metrics["data"]:
        real = metrics["data"]["real_dev"]
        selective, error = real["selective_accuracy_80"], real["calibration_error"]
        lines[-1] += (
            f" Of the real sentences, {real['accuracy']:.1%} get the right label, and {selective:.1%} of the four "
            f"fifths that it is most confident of; its confidence is off by {error:.3f} on average (expected "
            "calibration error)."
        )
    return "\n".join(lines)


def document_line(split: str, figures: dict[str, Any]) -> str:
    """One line on the documents of a split."""
    return (
        f"holder × stance in {figures['documents']} {split} documents: F1 {interval(figures, 'f1')}, precision "
        f"{figures['precision']:.3f}, recall {figures['recall']:.3f}, n = {figures['n']}"
    )


def holders_table(metrics: dict[str, Any]) -> str:
    """Who holds what: F1 with interval by what is asked for, as Markdown; empty for a model without that head."""
    spans = metrics["data"]["seeds test"].get("holders")
    if not spans:
        return ""
    names = {
        "strict": "holders in our test sentences: the same words and stance",
        "relaxed": "… overlapping words and the same stance",
        "author": "… the author's own stance",
    }
    lines = ["| who holds what | n | F1 | precision | recall |", "|---|--:|---|--:|--:|"]
    rows = [(title, spans[name]) for name, title in names.items()]
    rows += [
        (f"holder and stance in {figures['documents']} whole documents ({split})", figures)
        for split, figures in metrics["documents"].items()
    ]
    for title, figures in rows:
        lines.append(
            f"| {title} | {figures['n']:,} | {interval(figures, 'f1')} | {figures['precision']:.3f} "
            f"| {figures['recall']:.3f} |"
        )
    return "\n".join(lines)


def _behaviour_table(suite: dict[str, Any]) -> list[str]:
    lines = ["| capability | n | passed | floor of the test |", "|---|--:|--:|--:|"]
    return lines + [
        f"| {name} | {part['n']} | {part['rate']:.1%} | {part['floor']:.0%} |" for name, part in suite.items()
    ]


def _abstention_table(rows: list[dict[str, float]]) -> list[str]:
    lines = ["| `abstain_below` | sentences kept | wrong among them |", "|--:|--:|--:|"]
    return lines + [f"| {row['threshold']} | {row['coverage']:.1%} | {row['risk']:.1%} |" for row in rows]


def _title(name: str) -> str:
    titles = {"seeds test": "our own held-out sentences (`seeds/test.jsonl`)", "real_dev": "real sentences, all"}
    return titles.get(name, name)


def model_card(metrics: dict[str, Any]) -> str:
    """The README of a model's folder, with the header that the Hugging Face hub reads."""
    model, training = metrics["model"], metrics["model"]["training"]
    parts = [
        "---",
        "license: apache-2.0",
        "language: en",
        "library_name: stancelib",
        "pipeline_tag: text-classification",
        "base_model: sentence-transformers/all-mpnet-base-v2",
        "tags: [stance-detection, troop-deployment]",
        "---",
        f"# stancelib {model['name']}",
        "",
        "Tells whether an English sentence **supports**, **opposes** or stays **neutral** on sending, keeping or "
        "reinforcing troops outside their country or in a conflict zone. This page is generated by "
        "`python -m training.evaluate`.",
        "",
        "```python",
        "import stancelib",
        f'clf = stancelib.StanceClassifier.from_pretrained("{model["name"]}")',
        'print(clf.predict("Norda rules out soldiers on the ground."))',
        "```",
        "",
        'The folder is also a plain transformers checkpoint: `pipeline("text-classification", model=folder)` gives the '
        "same labels and probabilities.",
        "",
        "## What it is",
        "",
        f"MPNet with {training.get('layers', '?')} layers and a vocabulary of {training.get('words', 0):,}, fine-tuned "
        "on the corpus of this project and on real sentences labelled for it, with a second head that tags who holds "
        "each stance. Large matrices are stored as 8-bit floats, the rest in 16 bits, and all is computed in 32; "
        "`model.onnx` is the graph over the same files. How it was made, step by step, is in `training/README.md`.",
        "",
        "| | |",
        "|---|---|",
        *(
            f"| {key.replace('_', ' ')} | {_plain(value)} |"
            for key, value in training.items()
            if value not in (None, "")
        ),
        f"| weights sha256 | `{model['sha256']}` |",
        "",
        "## How good it is",
        "",
        figures_table(metrics),
    ]
    if holders_table(metrics):
        parts += ["", holders_table(metrics)]
    parts += [
        "",
        "![Reliability diagram](reliability.png) ![Risk-coverage curve](risk_coverage.png)",
        "",
        "Leaving sentences out, measured on the last of the data sets below:",
        "",
        *_abstention_table(metrics["abstention"]),
        "",
        "### Behaviour suite",
        "",
        "Sentences written to test one capability each (`tests/behaviour/`), and the share of our test sentences whose "
        "label stays the same when they are changed in a way that should not matter. Measured by `python -m "
        "training.behaviour`.",
        "",
        *_behaviour_table(metrics["behaviour"]),
    ]
    for name, figures in metrics["data"].items():
        parts += ["", f"### {_title(name)}, n = {figures['n']:,}", "", *_details(figures)]
    parts += [
        "",
        "## When not to trust it",
        "",
        "- It was trained mostly on sentences that a language model wrote and labelled, and measured on few real ones: "
        "the intervals above are wide. Code a sample of your own text by hand and compare before you print a figure.",
        "- One sentence at a time: it does not know what *the move* is, or what was said before. Documents join "
        "the mentions of a holder by rules, after the model has read each sentence alone.",
        "- English only. On other languages it answers, and the answer means nothing.",
        f"- It reads {training.get('max_tokens', 256)} tokens of a text; `Prediction.truncated` tells if it had more.",
        "- Weapons, money and sanctions alone are not the target and are neutral; so is a reported clash of equals.",
        "- Irony, and an author who quotes to disagree, are where it errs most; see the tables by phenomenon.",
        "",
    ]
    return "\n".join(parts)


def rewrite_section(path: Path, mark: str, content: str) -> None:
    """Replace what stands between ``<!-- mark -->`` and ``<!-- /mark -->`` in a Markdown file."""
    start, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    text = path.read_text(encoding="utf-8")
    before, found, rest = text.partition(start)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise SystemExit(f"{path} lacks the marks {start} and {end}")
    path.write_text(f"{before}{start}\n{content}\n{end}{after}", encoding="utf-8")


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} ({_plain(share)})" for name, share in value.items())
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _details(figures: dict[str, Any]) -> list[str]:
    lines = [
        f"Accuracy {figures['accuracy']:.3f}; log loss {figures['log_loss']:.3f}; expected calibration error "
        f"{figures['calibration_error']:.3f} (15 bins of equal mass); of the most confident 80 %, "
        f"{figures['selective_accuracy_80']:.3f} are right."
    ]
    if "contrast_sets" in figures:
        sets = figures["contrast_sets"]
        lines[0] += f" Contrast sets with all sentences right: {sets['all_right']:.1%} of {sets['n']}."
    lines += ["", "| label | precision | recall | F1 | n | " + " | ".join(f"→ {label}" for label in LABELS) + " |"]
    lines += ["|---|--:|--:|--:|--:|" + "--:|" * len(LABELS)]
    for label, counts in zip(LABELS, figures["confusion"], strict=True):
        one = figures["per_class"][label]
        lines.append(
            f"| {label} | {one['precision']:.3f} | {one['recall']:.3f} | {one['f1']:.3f} | {one['n']} | "
            + " | ".join(map(str, counts))
            + " |"
        )
    for field, values in figures["slices"].items():
        # Most phenomena have hardly more than one label, where a macro average says nothing.
        lines += ["", f"| {field} | n | accuracy (95 % interval) |", "|---|--:|---|"]
        lines += [f"| {value} | {part['n']} | {interval(part, 'accuracy')} |" for value, part in values.items()]
    return lines
