"""Training on one's own rows: a complete folder, the same after a kill, in the memory there is."""

import csv
import json
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import REPOSITORY
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from small_model import small_model
from transformers import AutoTokenizer, MPNetConfig, MPNetForSequenceClassification, set_seed
from typer import Typer
from typer.testing import CliRunner

from stancelib import LABELS, FileError, InputError, ModelError, StanceClassifier, trainer
from stancelib.calibration import fit_temperature, last_layer
from stancelib.checkpoint import DEFAULT_MODEL, HOLDER_HEAD, shipped
from stancelib.commands.train import train as train_command
from stancelib.data import LabelledData
from stancelib.finetuning import _Start, _write_predictions, default_recipe, finetune, hold_out
from stancelib.holders import softmax
from stancelib.trainer import Recipe, class_weights, fit, logits_of

WORDS = {
    "favor": ["send", "deploy", "reinforce", "dispatch", "station"],
    "against": ["withdraw", "refuse", "oppose", "leave", "reject"],
    "none": ["weather", "report", "price", "harvest", "concert"],
}
OURS = "favor=support,against=oppose,none=neutral"
RECIPE = Recipe("all", 3, 2e-3, 16, "sqrt", 3, 1)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained MPNet of two thin layers, with our tokenizer and labels that nobody has named."""
    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = AutoTokenizer.from_pretrained(shipped()[DEFAULT_MODEL])
    set_seed(1)
    config = MPNetConfig(
        vocab_size=len(tokenizer), max_position_embeddings=60, num_labels=3, initializer_range=0.2,
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
    )  # fmt: skip
    MPNetForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    """Sentences of nonsense whose words give their code away, said by twelve speakers."""
    chosen = random.Random(1)
    found = []
    for number in range(132):
        code = chosen.choice(list(WORDS))
        words = [chosen.choice(WORDS[code]) for _ in range(2)]
        text = f"{words[0]} {chosen.choice(['north', 'south', 'east', 'west'])} {words[1]} {number}"
        found.append({"sentence": text, "code": code, "speaker": f"s{number % 12}"})
    return found


@pytest.fixture(scope="module")
def coded(rows: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of splits: rows of ten speakers to train on, two of them unusable, and of two to test on."""
    folder = tmp_path_factory.mktemp("coded")
    parts = {"train": [row for row in rows if row["speaker"] not in ("s10", "s11")]}
    parts["test"] = [row for row in rows if row["speaker"] in ("s10", "s11")]
    parts["train"] += [{**rows[0], "sentence": " "}, {**rows[1], "code": "unclear"}]
    for name, part in parts.items():
        with (folder / f"{name}.csv").open("w", newline="") as file:
            table = csv.DictWriter(file, ["sentence", "code", "speaker"])
            table.writeheader()
            table.writerows(part)
    return folder


def arguments(base: Path) -> dict[str, object]:
    columns = {"text_column": "sentence", "label_column": "code", "group_column": "speaker", "label_map": OURS}
    recipe = {"train_layers": "all", "epochs": 6, "learning_rate": 1e-2, "batch_size": 16, "folds": 2}
    return {"base": str(base), **columns, **recipe}


@pytest.fixture(scope="module")
def made(tiny: Path, coded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finetuned folder."""
    return finetune(coded, output_dir=tmp_path_factory.mktemp("models") / "mine", quiet=True, **arguments(tiny))


class TestFolder:
    def test_it_is_complete_and_both_backends_agree(self, made: Path, rows: list[dict[str, str]]):
        onnx = StanceClassifier.from_pretrained(made)
        plain = StanceClassifier.from_pretrained(made, backend="torch", device="cpu")
        texts = [row["sentence"] for row in rows]
        assert onnx.labels == LABELS
        np.testing.assert_allclose(onnx.predict_proba(texts), plain.predict_proba(texts), atol=1e-3)
        names = {path.name for path in made.iterdir()}
        assert {"README.md", "metrics.json", "labels.json", "training.json", "log.jsonl", "model.onnx"} <= names
        assert "run" not in names

    def test_weights_are_stored_once_and_in_16_bits(self, made: Path):
        weights = load_file(made / "model.safetensors")
        assert {weight.dtype for weight in weights.values()} == {torch.float16}
        assert (made / "model.onnx").stat().st_size < 200_000

    def test_it_has_learnt_and_the_figures_are_those_of_the_folder(self, made: Path, rows: list[dict[str, str]]):
        metrics = json.loads((made / "metrics.json").read_text())
        test = [row for row in rows if row["speaker"] in ("s10", "s11")]
        classifier = StanceClassifier.from_pretrained(made)
        assert metrics["model"]["sha256"] == classifier.checkpoint.sha256()
        ours = dict(pair.split("=") for pair in OURS.split(","))
        right = [p.label == ours[row["code"]] for p, row in zip(
            classifier.predict([row["sentence"] for row in test]), test, strict=True)]  # fmt: skip
        figures = metrics["data"]["test"]
        assert figures["n"] == len(test)
        assert figures["accuracy"] == pytest.approx(np.mean(right))
        assert figures["accuracy"] > 0.6
        assert set(metrics["data"]) == {"cross-validation", "validation", "test"}
        assert classifier.abstention == figures["abstention"]

    def test_every_row_has_an_out_of_fold_prediction(self, made: Path, coded: Path):
        with (made / "rows" / "oof.csv").open() as file:
            predictions = list(csv.DictReader(file))
        with (coded / "train.csv").open() as file:
            given_ = [row["sentence"] for row in csv.DictReader(file)]
        assert [row["text"] for row in predictions] == given_[:-2]
        folds = {group: {row["fold"] for row in predictions if row["group"] == group} for group in
                 {row["group"] for row in predictions}}  # fmt: skip
        assert {len(found) for found in folds.values()} == {1}
        assert set.union(*folds.values()) == {"1", "2"}
        for row in predictions[:20]:
            scores = {label: float(row[f"p_{label}"]) for label in LABELS}
            assert sum(scores.values()) == pytest.approx(1, abs=1e-3)
            assert row["stance"] == max(scores, key=scores.__getitem__)

    def test_rows_left_out_are_written_with_their_place(self, made: Path):
        with (made / "rows" / "left_out.csv").open() as file:
            left_out = list(csv.DictReader(file))
        assert len(left_out) == 2
        assert all("train.csv, line" in row["place"] and row["reason"] for row in left_out)
        assert "unclear" in left_out[1]["reason"]
        assert (made / ".gitignore").read_text().endswith("run/\nrows/\n")

    def test_the_card_and_the_settings_tell_how_it_was_made(self, made: Path, tiny: Path):
        training = json.loads((made / "training.json").read_text())
        labels = json.loads((made / "labels.json").read_text())
        card = (made / "README.md").read_text()
        assert card.startswith("---\nlibrary_name: stancelib\n")
        assert training["seed"] == 1
        assert len(training["train_sha256"]) == 64
        assert training["versions"]["torch"] == torch.__version__
        assert labels["label_map"] == dict(pair.split("=") for pair in OURS.split(","))
        assert sum(labels["rows"]["train"].values()) == training["train_rows"]
        assert training["max_tokens"] == 58
        assert "coded as `favor`" in card
        assert "| cross-validation | 110 |" in card


# Kills itself, as kill -9 would, at a step of the last training.
KILLED = """
import json, os, signal, sys
from stancelib import trainer
from stancelib.finetuning import finetune
log = trainer.StepLog.on_log
def on_log(self, args, state, control, **kwargs):
    log(self, args, state, control, **kwargs)
    if state.global_step == 10 and self.path.parent.name == "model":
        os.kill(os.getpid(), signal.SIGKILL)
trainer.StepLog.on_log = on_log
finetune(sys.argv[1], output_dir=sys.argv[2], **json.loads(sys.argv[3]))
"""


def test_a_killed_run_goes_on_to_the_same_model(made: Path, tiny: Path, coded: Path, tmp_path: Path):
    broken = tmp_path / "mine"
    command = [sys.executable, "-c", KILLED, str(coded), str(broken), json.dumps(arguments(tiny))]
    ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=600)
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    assert "training: step 6 of" in ran.stderr  # no terminal: a line a validation
    assert not (broken / "model.safetensors").exists()
    (broken / "run" / "model" / "checkpoints" / "checkpoint-99").mkdir()  # killed while it was saved
    with pytest.raises(FileError, match="--resume"):
        finetune(coded, output_dir=broken, quiet=True, **arguments(tiny))
    with pytest.raises(FileError, match="another learning_rate"):
        finetune(coded, output_dir=broken, quiet=True, resume=True, **(arguments(tiny) | {"learning_rate": 1e-3}))
    moved = tmp_path / "moved" / "mine"
    moved.parent.mkdir()
    shutil.move(broken, moved)
    assert finetune(coded, output_dir=moved, quiet=True, resume=True, **arguments(tiny)) == moved
    for file in ("model.safetensors", "model.onnx", "metrics.json", "labels.json", "training.json", "README.md"):
        assert (moved / file).read_bytes() == (made / file).read_bytes(), file
    for file in ("oof.csv", "validation.csv", "left_out.csv"):
        assert (moved / "rows" / file).read_bytes() == (made / "rows" / file).read_bytes(), file
    before = (moved / "model.safetensors").stat().st_mtime_ns
    assert finetune(coded, output_dir=moved, quiet=True, resume=True, **arguments(tiny)) == moved
    assert (moved / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(FileError, match="finished model"):
        finetune(coded, output_dir=moved, quiet=True, **arguments(tiny))


@pytest.fixture(scope="module")
def examples(rows: list[dict[str, str]], tiny: Path) -> list[trainer.Example]:
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    codes = list(WORDS)
    return [{"input_ids": tokenizer(row["sentence"])["input_ids"], "labels": codes.index(row["code"])} for row in rows]


class TestLoop:
    @staticmethod
    def start(tiny: Path, dropout: float = 0.1):
        model = trainer.load_model(tiny, LABELS, keep_head=False, seed=1)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = dropout
        return model

    def test_little_memory_is_met_by_smaller_pieces(
        self, tiny: Path, examples: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(trainer, "compute_precision", lambda: "fp32")
        whole, record = fit(
            lambda: self.start(tiny, 0), examples[:96], examples[96:], tmp_path / "whole", RECIPE, pad_id=1
        )
        assert record["texts_at_a_time"] == 16
        step = trainer._Trainer.training_step

        def small(self, model, inputs, *rest):
            if len(inputs["labels"]) > 4:
                raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
            return step(self, model, inputs, *rest)

        monkeypatch.setattr(trainer._Trainer, "training_step", small)
        pieces, record = fit(
            lambda: self.start(tiny, 0), examples[:96], examples[96:], tmp_path / "pieces", RECIPE, pad_id=1
        )
        assert record["texts_at_a_time"] == 4
        # Without dropout, and in 32 bits, the pieces add up to the same gradients.
        for name, weight in whole.state_dict().items():
            torch.testing.assert_close(pieces.state_dict()[name], weight, atol=2e-3, rtol=0)

    def test_no_memory_at_all_is_said(
        self, tiny: Path, examples: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        def none(*_: object):
            raise MemoryError

        monkeypatch.setattr(trainer._Trainer, "training_step", none)
        with pytest.raises(MemoryError, match="one text at a time"):
            fit(lambda: self.start(tiny), examples[:16], examples[16:], tmp_path, RECIPE, pad_id=1)

    def test_a_run_that_had_stopped_early_does_not_start_again(
        self, tiny: Path, examples: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        recipe = Recipe("all", 30, 0.0, 16, "sqrt", 2, 1)  # learns nothing, so that it stops
        _, record = fit(lambda: self.start(tiny), examples[:48], examples[48:], tmp_path / "a", recipe, pad_id=1)
        assert [entry["step"] for entry in record["validations"]] == [3, 6, 9]

        def interrupted(*_: object, **__: object):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(trainer, "save_file", interrupted)
            with pytest.raises(KeyboardInterrupt):
                fit(lambda: self.start(tiny), examples[:48], examples[48:], tmp_path / "b", recipe, pad_id=1)
        _, again = fit(lambda: self.start(tiny), examples[:48], examples[48:], tmp_path / "b", recipe, pad_id=1)
        assert again == record

    def test_the_upper_half_alone_is_trained(self, tiny: Path):
        model = self.start(tiny)
        trainer.freeze(model, "upper")
        trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
        assert not any("layer.0." in name or "embeddings" in name for name in trained)
        assert any("layer.1." in name for name in trained)
        assert any(name.startswith("classifier") for name in trained)

    def test_the_head_reads_what_the_encoder_gave(self, tiny: Path, examples: list):
        model = self.start(tiny)
        ids = [example["input_ids"] for example in examples[:20]]
        expected = logits_of(model, ids, 1)
        with trainer.stand_in(model, trainer.encode_once(model, ids, 1)):
            found = logits_of(model, [[index] for index in range(20)], 1)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        np.testing.assert_allclose(logits_of(model, ids, 1), expected, atol=1e-6)


@given(st.lists(st.integers(0, 2), min_size=3, max_size=60), st.sampled_from(["none", "sqrt", "balanced"]))
@settings(max_examples=50)
def test_weights_of_classes_are_1_on_average_and_no_smaller_for_the_rarer(labels: list[int], kind: str):
    weights = class_weights(np.array(labels), 3, kind)
    assert weights[labels].mean() == pytest.approx(1, abs=1e-5)
    for one, count in Counter(labels).items():
        for other, more in Counter(labels).items():
            assert count >= more or weights[one] >= weights[other] * (1 - 1e-6)


def data_of(labels: list[str], groups: list[str] | None = None) -> LabelledData:
    texts = [f"text {index}" for index in range(len(labels))]
    return LabelledData("rows", texts, labels, groups, texts, [{} for _ in texts])


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9)), min_size=20, max_size=80), st.integers(0, 5))
@settings(max_examples=30)
def test_no_group_is_on_both_sides(rows: list[tuple[str, int]], seed: int):
    data = data_of([label for label, _ in rows], [str(group) for _, group in rows])
    try:
        inside, outside = hold_out(data, seed)
    except InputError:
        return  # a label, or everything, in one group
    assert sorted(inside + outside) == list(range(len(rows)))
    assert not {data.groups[i] for i in inside} & {data.groups[i] for i in outside}
    assert set(data.labels) == {data.labels[i] for i in inside}


def test_equal_texts_stay_together_and_labels_keep_their_shares():
    data = data_of(["a"] * 80 + ["b"] * 40)
    data.texts[:10] = ["The same text."] * 10
    _, outside = hold_out(data, 1)
    assert len([i for i in outside if i < 10]) in (0, 10)
    assert Counter(data.labels[i] for i in outside)["b"] == 8


def test_few_rows_are_read_more_often_than_many():
    recipes = [default_recipe(rows, "upper") for rows in (300, 1000, 5000, 30000)]
    assert [recipe.epochs for recipe in recipes] == sorted((recipe.epochs for recipe in recipes), reverse=True)
    assert default_recipe(300, "head").learning_rate > recipes[0].learning_rate


def test_the_head_is_kept_only_for_labels_that_it_knows():
    ours = _Start.of(None, data_of(["support", "oppose"]))
    assert (ours.labels, ours.keep_head) == (LABELS, True)
    other = _Start.of(None, data_of(["5", "1", "10"]))
    assert (other.labels, other.keep_head) == (("1", "5", "10"), False)


def test_a_new_head_forgets_what_the_columns_meant():
    base = small_model()
    kept = last_layer(trainer.load_model(base, LABELS, keep_head=True, seed=1)).weight
    new = [
        last_layer(trainer.load_model(base, ["a", "b", "c"], keep_head=False, seed=seed)).weight for seed in (1, 1, 2)
    ]
    assert torch.equal(new[0], new[1])
    assert not torch.equal(new[0], new[2])
    assert not torch.allclose(kept, new[0], atol=0.01)


class TestRefusals:
    def test_data_that_nothing_can_be_learnt_from(self, tiny: Path, tmp_path: Path):
        one = [{"text": f"text {index}", "label": "a"} for index in range(30)]
        with pytest.raises(InputError):
            finetune(one, output_dir=tmp_path / "out", base=tiny, quiet=True)
        assert not (tmp_path / "out").exists()

    def test_a_label_that_only_validation_has(self, rows: list[dict[str, str]], tiny: Path, tmp_path: Path):
        names = {"text_column": "sentence", "label_column": "code"}
        odd = [{"sentence": "another sentence", "code": "ironic"}]
        with pytest.raises(InputError, match=r"validation has classes that train has not: 'ironic'"):
            finetune(rows, odd, output_dir=tmp_path / "out", base=tiny, quiet=True, **names)
        # Here train has it too, but only in a row that is left out because it stands in validation.
        with pytest.raises(InputError, match=r"validation.*'ironic' is in no training row"):
            finetune([*rows, *odd], odd, output_dir=tmp_path / "out", base=tiny, quiet=True, **names)
        with pytest.raises(InputError, match="no row is left to train on"):
            finetune(rows, rows, output_dir=tmp_path / "out", base=tiny, quiet=True, **names)
        assert not (tmp_path / "out").exists()

    def test_strict_stops_at_warnings(self, rows: list[dict[str, str]], tiny: Path, tmp_path: Path):
        names = {"text_column": "sentence", "label_column": "code"}
        with pytest.raises(InputError, match="nothing is trained"):
            finetune([*rows, *rows[:20]], output_dir=tmp_path / "out", base=tiny, strict=True, quiet=True, **names)

    def test_a_folder_that_holds_something_else(self, coded: Path, tiny: Path, tmp_path: Path):
        (tmp_path / "notes.txt").write_text("mine")
        for resume in (False, True):
            with pytest.raises(FileError, match="something else"):
                finetune(coded, output_dir=tmp_path, quiet=True, resume=resume, **arguments(tiny))

    def test_a_base_that_is_not_whole(self, coded: Path, tiny: Path, tmp_path: Path):
        shutil.copy(tiny / "config.json", tmp_path)
        with pytest.raises(ModelError, match=r"tokenizer\.json, model\.safetensors missing"):
            finetune(coded, output_dir=tmp_path / "out", quiet=True, **arguments(tmp_path))


def test_a_search_tries_the_defaults_first_and_goes_on_where_it_was(
    rows: list[dict[str, str]],
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    pytest.importorskip("optuna")
    kept = {"text_column": "sentence", "label_column": "code", "base": tiny, "epochs": 2, "batch_size": 16}

    def unexportable(*_: object):
        raise ModelError("MPNet can't be exported to ONNX")

    monkeypatch.setattr("stancelib.export.write_onnx", unexportable)
    whole = finetune(rows, output_dir=tmp_path / "whole", search=3, **kept)
    said = capsys.readouterr().err
    assert '"learning_rate": 5e-05, "train_layers": "upper", "class_weights": "sqrt"' in said  # the defaults
    assert 'backend="torch"' in said
    finished = trainer.fit
    calls = []

    def interrupted(*arguments: object, **options: object):
        calls.append(options["folder"])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return finished(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "fit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            finetune(rows, output_dir=tmp_path / "broken", search=3, quiet=True, **kept)
    broken = finetune(rows, output_dir=tmp_path / "broken", search=3, quiet=True, resume=True, **kept)
    assert (broken / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    other = StanceClassifier.from_pretrained(broken, backend="torch", device="cpu")
    assert other.labels == ("against", "favor", "none")
    assert not (broken / "model.onnx").exists()


def test_the_head_alone_keeps_the_holders(rows: list[dict[str, str]], tmp_path: Path):
    base = StanceClassifier.from_pretrained(small_model())
    made = finetune(
        rows[:60], output_dir=tmp_path / "head", base=small_model(), train_layers="head", epochs=10, quiet=True,
        text_column="sentence", label_column="code",
    )  # fmt: skip
    headed = StanceClassifier.from_pretrained(made)
    texts = [row["sentence"] for row in rows]
    assert headed.labels == ("against", "favor", "none")
    found = [prediction.holders for prediction in headed.predict(texts)]
    assert [[(h.text, h.stance) for h in holders] for holders in found] == [
        [(h.text, h.stance) for h in prediction.holders] for prediction in base.predict(texts)
    ]
    assert any(found)
    assert (made / HOLDER_HEAD).read_bytes() == (small_model() / HOLDER_HEAD).read_bytes()
    assert json.loads((made / "metrics.json").read_text())["data"]["validation"]["n"] == 12


class TestTemperature:
    def test_the_one_that_fits_is_found(self):
        drawn = np.random.default_rng(1)
        true = drawn.normal(size=(4000, 4)) * 2
        labels = np.array([drawn.choice(4, p=row) for row in softmax(true)])
        assert fit_temperature(true * 3, labels) == pytest.approx(3, rel=0.1)
        assert fit_temperature(true / 2, labels) == pytest.approx(0.5, rel=0.1)

    def test_rows_that_are_all_right_tell_nothing(self):
        assert fit_temperature(np.eye(3), np.arange(3)) == 1


def test_the_command_line_refuses_one_fold(coded: Path, tmp_path: Path):
    app = Typer()
    app.command()(train_command)
    ran = CliRunner().invoke(app, [str(coded), "-o", str(tmp_path / "out"), "--folds", "1"])
    assert ran.exit_code == 2


def test_predictions_are_no_formulas(tmp_path: Path):
    data = LabelledData("coded.csv", ['=HYPERLINK("x")'], ["support"], None, ["coded.csv, line 2"], [], [])
    _write_predictions(tmp_path / "oof.csv", data, np.array([[0.75, 0.25]]), ["support", "oppose"])
    (row,) = csv.DictReader((tmp_path / "oof.csv").read_text().splitlines())
    assert row["text"] == '\'=HYPERLINK("x")'
    assert (row["label"], row["stance"], row["p_oppose"]) == ("support", "support", "0.2500")
