"""The steps that make a model: on a tiny one, and really."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import REPOSITORY
from safetensors.torch import load_file
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    MPNetConfig,
    MPNetForSequenceClassification,
    set_seed,
)

from stancelib import LABELS, StanceClassifier
from stancelib.checkpoint import DEFAULT_MODEL, shipped
from training import base_weights, corpus, distill, export
from training.loop import LengthGroups, StanceTrainer, encode, fit, load_model

SIZES = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 64}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained MPNet of four thin layers with our tokenizer."""
    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = AutoTokenizer.from_pretrained(shipped()[DEFAULT_MODEL])
    set_seed(1)
    config = MPNetConfig(
        vocab_size=len(tokenizer), max_position_embeddings=300, num_labels=3, initializer_range=0.2, **SIZES
    )
    MPNetForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_the_order_of_an_epoch_depends_on_seed_and_epoch_alone():
    lengths = np.random.default_rng(1).integers(3, 60, 500).tolist()
    sampler = LengthGroups(lengths, 16, seed=1)
    first = list(sampler)
    torch.rand(5)
    assert list(sampler) == first
    assert sorted(first) == list(range(500))
    sampler.set_epoch(1)
    assert list(sampler) != first


def loss(logits: list, labels: list, teacher: list | None, weight: float) -> float:
    trainer = object.__new__(StanceTrainer)
    trainer.teacher_weight = weight
    inputs = {"labels": torch.tensor(labels)}
    if teacher is not None:
        inputs["teacher_logits"] = torch.tensor(teacher)

    class Outputs(dict):
        pass

    def model(**_):
        outputs = Outputs()
        outputs.logits = torch.tensor(logits)
        return outputs

    return float(trainer.compute_loss(model, inputs))


def test_the_loss_is_what_its_docstring_says():
    nan = float("nan")
    right, wrong = [[9.0, 0.0, 0.0]], [[0.0, 9.0, 0.0]]
    assert loss(right, [0], None, 0.7) < 0.01 < loss(wrong, [0], None, 0.7)
    # The teacher alone where there is no label, up to a constant in its logits; the label alone where it is nan.
    assert loss(right, [-100], [[10.0, 1.0, 1.0]], 0.7) == pytest.approx(0, abs=1e-6)
    assert loss(wrong, [-100], right, 0.7) == pytest.approx(0.7 * (81 + 81) / 3)
    assert loss(right, [0], [[nan] * 3], 0.7) == pytest.approx(loss(right, [0], None, 0.7))
    both = 0.3 * loss(wrong, [0], None, 0) + 0.7 * (81 + 81) / 3
    assert loss(wrong, [0], right, 0.7) == pytest.approx(both)


def test_a_tiny_model_learns_to_tell_words_apart(tiny: Path, tmp_path: Path):
    set_seed(1)
    model, tokenizer = load_model(str(tiny))
    texts = ["send the soldiers", "withdraw the soldiers", "the weather report"] * 40
    examples = encode(tokenizer, texts, list(LABELS) * 40)
    settings = {"epochs": 12, "learning_rate": 2e-3, "batch_size": 12, "seed": 1, "patience": 12}
    record = fit(model, tokenizer, examples, examples[:12], tmp_path / "run", **settings)
    assert record["validation_macro_f1"] == 1
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    steps = [entry["step"] for entry in log if "loss" in entry]
    assert steps == list(range(1, max(steps) + 1))


# Kills itself, as kill -9 would, after the log line of the step that it is told.
KILLED = """
import os, signal, sys
from training import loop, teacher
step = int(sys.argv.pop(1))
log = loop.StepLog.on_log
def on_log(self, args, state, control, **kwargs):
    log(self, args, state, control, **kwargs)
    if state.global_step == step:
        os.kill(os.getpid(), signal.SIGKILL)
loop.StepLog.on_log = on_log
teacher.main(sys.argv[1:])
"""


def run(base: Path, output: Path, killed_at: int = -1, seed: int = 1) -> subprocess.CompletedProcess:
    settings = ["--epochs", "2", "--sentences", "320", "--learning-rate", "1e-3", "--seed", str(seed)]
    command = [sys.executable, "-c", KILLED, str(killed_at), "--base", str(base), "--output", str(output), *settings]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)


def test_a_killed_run_goes_on_to_the_same_weights(tiny: Path, tmp_path: Path):
    whole, broken = tmp_path / "unbroken", tmp_path / "killed"
    assert run(tiny, whole).returncode == 0
    assert run(tiny, broken, killed_at=15).returncode == -signal.SIGKILL  # checkpoints are at 10, 20, 30 and 40
    assert not (broken / "training.json").exists()
    (broken / "checkpoints" / "checkpoint-20").mkdir()  # killed while it was saved
    (broken / "log.jsonl").open("a").write('{"step": 16, "lo')
    assert run(tiny, broken).returncode == 0
    expected, found = (load_file(folder / "model.safetensors") for folder in (whole, broken))
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert json.loads((whole / "training.json").read_text()) == json.loads((broken / "training.json").read_text())
    steps = [[json.loads(line)["step"] for line in (f / "log.jsonl").read_text().splitlines()] for f in (whole, broken)]
    assert steps[0] == steps[1]
    again = run(tiny, whole)
    assert "is finished" in again.stdout
    other = run(tiny, whole, seed=2)
    assert other.returncode == 1
    assert "another seed" in other.stderr


class TestStudent:
    def test_layers_are_spread_over_the_teacher(self, tiny: Path):
        model, _ = load_model(str(tiny))
        stack = list(model.mpnet.encoder.layer)
        distill.cut_layers(model, 2)
        assert list(model.mpnet.encoder.layer) == [stack[0], stack[3]]
        assert model.config.num_hidden_layers == 2

    def test_a_smaller_vocabulary_gives_known_words_the_same_vectors(self, tiny: Path):
        model, tokenizer = load_model(str(tiny))
        model.eval()
        text = "soldiers leave the town"
        ids = tokenizer(text, return_tensors="pt")
        before = model(**ids).logits
        small = distill.prune_vocabulary(model, tokenizer, [text], 400)
        assert len(small) == 400 == model.config.vocab_size
        again = small(text, return_tensors="pt")
        assert small.convert_ids_to_tokens(again["input_ids"][0]) == tokenizer.convert_ids_to_tokens(
            ids["input_ids"][0]
        )
        torch.testing.assert_close(model(**again).logits, before)

    def test_unknown_words_fall_into_pieces_not_into_unknown(self, tiny: Path):
        model, tokenizer = load_model(str(tiny))
        small = distill.prune_vocabulary(model, tokenizer, ["soldiers"], 300)
        tokens = small.tokenize("Ouagadougou reconsiders, 3,000 km away!")
        assert small.unk_token not in tokens
        assert "".join(tokens).replace("##", "") == "ouagadougoureconsiders,3,000kmaway!"

    def test_fewer_positions_change_no_short_text(self, tiny: Path):
        model, tokenizer = load_model(str(tiny))
        model.eval()
        ids = tokenizer("No troops, no trainers.", return_tensors="pt")
        before = model(**ids).logits
        distill.cut_positions(model, 64)
        assert model.config.max_position_embeddings == 66
        torch.testing.assert_close(model(**ids).logits, before)

    def test_held_out_texts_are_never_taught(self):
        held_out = ["We should never have sent soldiers to that valley.", "No."]
        texts = [
            "We should NEVER have sent soldiers to that valley!",
            "He said: we should never have sent soldiers to that valley. Then he left.",
            "should never have sent soldiers to that valley",
            "no",
            "No soldier has ever been to that valley.",
        ]
        assert distill.without(texts, held_out) == texts[-1:]

    def test_the_teachers_logits_are_kept_and_in_order(self, tiny: Path, tmp_path: Path):
        texts = [row["text"] for row in corpus.load("validation")[:40]]
        first = distill.teacher_logits(tiny, texts, tmp_path)
        model, tokenizer = load_model(str(tiny))
        model.eval()
        one = model(**tokenizer(texts[7], return_tensors="pt")).logits.detach().numpy()[0]
        np.testing.assert_allclose(first[7], one, atol=0.1)  # where the machine can, in 16 bits
        kept = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
        assert np.array_equal(distill.teacher_logits(tiny, texts, tmp_path), first)
        assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == kept


class TestExport:
    def test_the_temperature_that_fits_is_found(self):
        random = np.random.default_rng(1)
        true = random.normal(size=(4000, 3)) * 2
        p = np.exp(true) / np.exp(true).sum(1, keepdims=True)
        labels = np.array([random.choice(3, p=row) for row in p])
        assert export.fit_temperature(true * 3, labels) == pytest.approx(3, rel=0.1)

    @pytest.mark.parametrize("architecture", ["mpnet", "bert"])
    def test_a_folder_that_both_backends_read(self, architecture: str, tiny: Path, tmp_path: Path):
        base = tiny
        if architecture == "bert":
            base = tmp_path / "bert"
            tokenizer = AutoTokenizer.from_pretrained(tiny)
            config = BertConfig(vocab_size=len(tokenizer), num_labels=3, pad_token_id=1, **SIZES)
            BertForSequenceClassification(config).save_pretrained(base)
            tokenizer.save_pretrained(base)
        record = export.export(base, tmp_path / "out")
        assert record["layers"] == 4
        onnx = StanceClassifier.from_pretrained(tmp_path / "out")
        torch_ = StanceClassifier.from_pretrained(tmp_path / "out", backend="torch", device="cpu")
        texts = ["Send them.", "Bring the last of our soldiers home before the winter comes, I beg you.", "x"]
        np.testing.assert_allclose(onnx.predict_proba(texts), torch_.predict_proba(texts), atol=1e-4)
        # The weights are in one place only, and the graph finds them there after a move.
        assert (tmp_path / "out" / "model.onnx").stat().st_size < 1_000_000
        shutil.move(tmp_path / "out", tmp_path / "moved")
        moved = StanceClassifier.from_pretrained(tmp_path / "moved")
        assert np.array_equal(moved.predict_proba(texts), onnx.predict_proba(texts))


class TestBaseWeights:
    def test_a_folder_or_hub_id_is_passed_on(self, tiny: Path):
        assert base_weights.resolve(str(tiny)) == str(tiny)
        assert base_weights.resolve("someone/model") == "someone/model"

    def test_weights_with_another_hash_are_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("STANCELIB_CACHE", str(tmp_path))
        folder = tmp_path / "base" / "minilm"
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(b"something else")
        with pytest.raises(SystemExit, match="expected 53aa5117"):
            base_weights.fetch("minilm")

    @pytest.mark.skipif(
        "STANCELIB_TEST_DOWNLOAD" not in os.environ, reason="downloads 80 MB; set STANCELIB_TEST_DOWNLOAD"
    )
    def test_weights_are_fetched_and_verified(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("STANCELIB_CACHE", str(tmp_path))
        assert sorted(path.name for path in base_weights.fetch("minilm").iterdir()) == sorted(base_weights.FILES)
