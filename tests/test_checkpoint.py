"""A model folder is whole, or the error says what it lacks."""

import json
import shutil
from pathlib import Path

import pytest

from stancelib import ModelError, StanceClassifier
from stancelib.checkpoint import DEFAULT_MODEL, Checkpoint, shipped


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped model that a test may damage; the weights are linked until then."""
    copy = tmp_path / "model"
    copy.mkdir()
    for file in shipped()[DEFAULT_MODEL].iterdir():
        if file.name == "model.safetensors":
            (copy / file.name).hardlink_to(file) if file.stat().st_dev == copy.stat().st_dev else shutil.copy(
                file, copy
            )
        elif file.is_file():
            shutil.copy(file, copy)
    return copy


def test_the_default_ships_and_is_small_enough():
    checkpoint = Checkpoint.open()
    assert checkpoint.name == DEFAULT_MODEL
    assert checkpoint.size() <= 100_000_000
    assert checkpoint.max_tokens == 256


def test_a_model_is_found_by_name_folder_and_path(folder: Path):
    assert Checkpoint.open("base").folder == shipped()["base"]
    assert Checkpoint.open(str(folder)).folder == folder
    assert Checkpoint.open(folder).config["model_type"] == "mpnet"


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors", "model.onnx"])
def test_a_missing_file_is_named(folder: Path, file: str):
    (folder / file).unlink()
    with pytest.raises(ModelError, match=file):
        StanceClassifier.from_pretrained(folder)


@pytest.mark.parametrize("kept", [0, 5, 1000, 50_000_000])
def test_weights_that_are_cut_short_are_damaged(folder: Path, kept: int):
    path = folder / "model.safetensors"
    data = path.read_bytes()[:kept]
    path.unlink()
    path.write_bytes(data)
    with pytest.raises(ModelError, match="damaged"):
        StanceClassifier.from_pretrained(folder)


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.onnx"])
def test_a_garbled_file_is_named(folder: Path, file: str):
    (folder / file).write_text("{not what it was")
    with pytest.raises(ModelError, match=file):
        StanceClassifier.from_pretrained(folder)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (None, "no id2label"),
        ({"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}, "never trained"),
        ({"0": "support", "1": "oppose", "3": "neutral"}, "numbered from 0"),
        ({"0": "support", "1": "support", "2": "neutral"}, "a name of its own"),
        ({"0": "support", "1": " ", "2": "neutral"}, "a name of its own"),
        ({"0": "support"}, "two or more"),
        ({"0": "support", "1": "other"}, "gives 3 numbers a text, but config.json names 2"),
    ],
)
def test_what_is_no_classifier_with_named_labels_is_said(folder: Path, names: dict[str, str] | None, said: str):
    config = json.loads((folder / "config.json").read_text())
    config.pop("id2label")
    if names is not None:
        config["id2label"] = names
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=said):
        StanceClassifier.from_pretrained(folder).predict("Norda rules out soldiers on the ground.")


def test_a_model_that_chooses_no_single_label_is_refused(folder: Path):
    config = json.loads((folder / "config.json").read_text()) | {"problem_type": "multi_label_classification"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="one of several labels"):
        StanceClassifier.from_pretrained(folder)


def test_labels_in_another_order_are_put_in_ours(folder: Path, clf: StanceClassifier):
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {"0": "neutral", "1": "support", "2": "oppose"}
    (folder / "config.json").write_text(json.dumps(config))
    turned = StanceClassifier.from_pretrained(folder)
    ours = clf.predict_proba("Norda rules out soldiers on the ground.")[0]
    # The columns of the model are named otherwise now, so the numbers move with the names.
    assert turned.predict_proba("Norda rules out soldiers on the ground.")[0].tolist() == ours[[1, 2, 0]].tolist()


@pytest.mark.parametrize(
    ("name", "said"),
    [("no-such-model", "models that ship are"), ("/no/such/folder", "no such folder"), (__file__, "is a file")],
)
def test_what_is_no_model_is_said(name: str, said: str):
    with pytest.raises(ModelError, match=said):
        Checkpoint.open(name)


def test_a_hub_id_without_a_network_is_a_clear_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="could not be fetched"):
        Checkpoint.open("someone/no-such-stance-model")


def test_the_folder_holds_no_pickle():
    suffixes = {path.suffix for path in shipped()[DEFAULT_MODEL].rglob("*") if path.is_file()}
    assert suffixes <= {".json", ".md", ".onnx", ".safetensors", ".png"}


def test_the_graph_holds_no_weights_of_its_own():
    assert (shipped()[DEFAULT_MODEL] / "model.onnx").stat().st_size < 1_000_000
