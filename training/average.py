"""Average the weights of checkpoints that were trained from the same pretrained ones (Wortsman et al. 2022).

python -m training.average v0.2 runs/teacher --shares 0.3 0.7 --output runs/average
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from training import base_weights
from training.holders import NAME
from training.loop import load_model


def average(sources: list[str], shares: list[float], output: Path) -> None:
    """Write to ``output`` the weighted mean of the sources' weights, with the tokenizer and history of the last.

    What fits the last source alone is taken from it: embeddings where another has fewer words or positions (training
    leaves them as they were pretrained), and the holder head, since heads that began at random have no mean.
    """
    folders = [base_weights.resolve(source) for source in sources]
    model, tokenizer = load_model(folders[-1])
    total = sum(shares)
    last = model.state_dict()
    others = [load_model(folder)[0].state_dict() for folder in folders[:-1]]
    for name, weight in last.items():
        if name.startswith(NAME) or not weight.is_floating_point():
            continue
        if all(other[name].shape == weight.shape for other in others):
            weight.mul_(shares[-1] / total)
            for other, share in zip(others, shares, strict=False):
                weight.add_(other[name], alpha=share / total)
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)
    path = Path(folders[-1]) / "training.json"
    history = json.loads(path.read_text()) if path.exists() else {}
    history["average_of"] = dict(zip(sources, shares, strict=True))
    (output / "training.json").write_text(json.dumps(history, indent=1) + "\n")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.average", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("sources", nargs="+", help="folders, or names of `training.base_weights`")
    parser.add_argument("--shares", nargs="+", type=float, help="one for each source (default: equal)")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args(argv)
    shares = arguments.shares or [1.0] * len(arguments.sources)
    if len(shares) != len(arguments.sources):
        parser.error(f"--shares needs {len(arguments.sources)} numbers, one for each source")
    average(arguments.sources, shares, arguments.output)


if __name__ == "__main__":
    main()
