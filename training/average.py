"""Average the weights of checkpoints of one run, or of runs that go on from each other (Izmailov et al. 2018).

python -m training.average runs/teacher/checkpoints/checkpoint-1000 runs/teacher --output runs/average
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from training.loop import load_model


def average(sources: list[Path], output: Path) -> None:
    """Write to ``output`` the mean of the sources' weights, with the tokenizer and history of the last of them."""
    model, tokenizer = load_model(str(sources[-1]))
    states = [load_model(str(source))[0].state_dict() for source in sources]
    mean = {name: torch.stack([state[name].float() for state in states]).mean(0) for name in states[-1]}
    model.load_state_dict(mean)
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)
    path = sources[-1] / "training.json"
    history = json.loads(path.read_text()) if path.exists() else {}
    history["average_of"] = [source.name for source in sources]
    (output / "training.json").write_text(json.dumps(history, indent=1) + "\n")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.average", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("sources", nargs="+", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args(argv)
    average(arguments.sources, arguments.output)


if __name__ == "__main__":
    main()
