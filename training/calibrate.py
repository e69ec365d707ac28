"""Fit the temperature of an exported folder anew, and divide it into its last layer; no label changes.

    python -m training.calibrate models/base --unlabelled texts.jsonl.gz

Fitted (Guo et al. 2017) on the validation split of ``seeds/`` and the real sentences set aside by `training.real`
together. The real ones alone were looked for by readers who wanted hard ones, and make a model look worse, and so want
it to be less sure, than text as it comes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from safetensors.torch import load_file, save_file

from stancelib.calibration import divide, last_layer
from training.export import temperature_of, write_onnx
from training.loop import load_model


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.calibrate", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", type=Path, help="a folder that training.export wrote")
    parser.add_argument("--unlabelled", type=Path, help="real sentences that training/real_labels.jsonl has labels for")
    arguments = parser.parse_args(argv)
    folder: Path = arguments.model
    model, tokenizer = load_model(str(folder))
    model.eval()
    temperature, source = temperature_of(model, tokenizer, arguments.unlabelled)
    layer = last_layer(model)
    (name,) = (name for name, module in model.named_modules() if module is layer)
    divide(layer, temperature)
    tensors = load_file(folder / "model.safetensors")
    tensors |= {f"{name}.weight": layer.weight.data.half(), f"{name}.bias": layer.bias.data.half()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    write_onnx(model, folder)
    path = folder / "training.json"
    history = json.loads(path.read_text())
    history |= {"temperature": history.get("temperature", 1.0) * temperature, "temperature_fitted_on": source}
    path.write_text(json.dumps(history, indent=1) + "\n")
    print(f"temperature {temperature:.3f} on top of what the folder had, fitted on {source}")


if __name__ == "__main__":
    main()
