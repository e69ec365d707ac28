"""With local files, nothing opens a socket: not to predict, to read documents, to train or to evaluate."""

import json
import os
from pathlib import Path

import pytest
from conftest import REPOSITORY, python
from small_model import small_model

# The interpreter reports every socket that is made and every name that is looked up (PEP 578), and a hook may refuse.
# Errors of libraries that swallow the refusal are caught by the record of it.
BLOCKED = """
import os, sys, tempfile
asked = []

def hook(event, arguments):
    if event.startswith("socket."):
        asked.append((event, arguments[1:]))
        raise RuntimeError(f"{event} {arguments[1:]}: nothing here may open a socket")

sys.addaudithook(hook)
"""
AFTER = """
print("asked for:", asked)
"""
READING = """
import stancelib
from stancelib import StanceClassifier
stancelib.predict("Norda rules out soldiers.", holder="Norda")
assert len(stancelib.predict(["One.", "Two."])) == 2
document = stancelib.analyze(open("seeds/texts/red-lines.txt", encoding="utf-8").read())
document.to_html(), document.to_frame()
StanceClassifier.from_pretrained(MODEL, backend="torch", device="cpu").predict("No troops.")
StanceClassifier.from_pretrained("base").predict("No troops.")
"""
COMMANDS = """
from stancelib import cli
for arguments in (
    ["predict", "seeds/texts/red-lines.txt", "-m", MODEL, "-o", WORK + "/out.csv"],
    ["analyze", "seeds/texts/red-lines.txt", "-m", MODEL, "-o", WORK + "/tables", "--html", WORK + "/page.html"],
    ["info"],
):
    sys.argv = ["stancelib", *arguments]
    try:
        cli.main()
    except SystemExit as stopped:
        assert stopped.code in (0, None), arguments
"""
EVALUATING = """
from stancelib.evaluation import evaluate
print(evaluate(MODEL, WORK + "/coded.csv", resamples=100))
"""
TRAINING = """
from stancelib.finetuning import finetune
import stancelib
folder = finetune(WORK + "/coded.csv", output_dir=WORK + "/trained", base=MODEL, epochs=1, train_layers="head")
stancelib.StanceClassifier.from_pretrained(folder).predict("No troops.")
"""


@pytest.mark.parametrize(
    "code", [READING, COMMANDS, EVALUATING, TRAINING], ids=["reading", "commands", "evaluating", "training"]
)
def test_no_socket_is_opened(tmp_path: Path, code: str):
    rows = [
        json.loads(line) for line in (REPOSITORY / "seeds/test.jsonl").read_text(encoding="utf-8").splitlines()[:90]
    ]
    lines = [f'"{row["text"].replace(chr(34), chr(34) * 2)}",{row["label"]}\n' for row in rows]
    (tmp_path / "coded.csv").write_text("text,label\n" + "".join(lines), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    environment |= {"HF_HOME": str(tmp_path / "hub"), "DO_NOT_TRACK": ""}
    places = f"WORK, MODEL = {str(tmp_path)!r}, {str(small_model())!r}\n"
    script = BLOCKED + places + code + AFTER
    ran = python("-c", script, env=environment, cwd=REPOSITORY)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "asked for: []"


def test_the_block_works(tmp_path: Path):
    """Asked for a model of the hub, it does try; so a silent test above means that nothing was tried."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    script = BLOCKED + (
        "from stancelib import ModelError, StanceClassifier\n"
        "try:\n    StanceClassifier.from_pretrained('who/what')\nexcept ModelError as error:\n    print(error)\n"
        "print('asked' if asked else 'nothing')"
    )
    ran = python("-c", script, env=environment | {"HF_HOME": str(tmp_path)})
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "asked"
    assert "could not be fetched" in ran.stdout


@pytest.mark.parametrize(("given", "kept"), [(None, "1"), ("0", "0")])
def test_the_runtime_sends_no_usage_data_unless_it_is_told_to(given: str | None, kept: str):
    """ONNX Runtime is told before it is imported; its own sockets, opened in C++, no audit hook would see."""
    code = """
import sys, stancelib, os
assert "onnxruntime" not in sys.modules
print(os.environ["ORT_DISABLE_TELEMETRY"])
"""
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    ended = python("-c", code, env=environment | ({"ORT_DISABLE_TELEMETRY": given} if given else {}))
    assert ended.stdout.strip() == kept, ended.stderr
