"""Threads, forks and pickles: the answers are the same, and nothing waits for ever."""

import multiprocessing
import os
import pickle
import random
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY, python
from small_model import copied, small_model

from stancelib import ModelError, StanceClassifier

WORDS = ("Norda", "Sudria", "troops", "will", "never", "must", "send", "keep", "withdraw", "home", "now", "vote", "on")


def texts(count: int, seed: int = 1) -> list[str]:
    numbers = random.Random(seed)
    return [" ".join(numbers.choices(WORDS, k=numbers.randint(1, 30))) for _ in range(count)]


@pytest.fixture(scope="module")
def small() -> StanceClassifier:
    return StanceClassifier.from_pretrained(small_model(), threads=2)


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_sixteen_threads_at_once(backend: str):
    classifier = StanceClassifier.from_pretrained(small_model(), backend=backend)
    pieces = [texts(20, seed) for seed in range(16)]
    alone = [classifier.predict(piece) for piece in pieces]
    with ThreadPoolExecutor(16) as pool:
        for _ in range(3):
            assert list(pool.map(classifier.predict, pieces, timeout=120)) == alone


def test_sixteen_threads_load_the_default_model_once():
    # In a process of its own, where nobody has asked for it yet.
    script = """
        from concurrent.futures import ThreadPoolExecutor
        from stancelib import StanceClassifier, predict
        loads, load = [], StanceClassifier.from_pretrained
        StanceClassifier.from_pretrained = lambda: loads.append(1) or load()
        with ThreadPoolExecutor(16) as pool:
            found = set(pool.map(str, pool.map(predict, ["Norda rules out soldiers on the ground."] * 16)))
        print(len(loads), len(found))
    """
    ran = python("-c", textwrap.dedent(script), cwd=REPOSITORY)
    assert ran.stdout == "1 1\n", ran.stderr


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_number_of_threads_changes_no_answer(small: StanceClassifier, threads: int):
    written = texts(50)
    other = StanceClassifier.from_pretrained(small_model(), threads=threads)
    np.testing.assert_allclose(other.predict_proba(written), small.predict_proba(written), atol=1e-5)


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_a_number_of_threads_that_is_none(backend: str):
    with pytest.raises(ValueError, match="threads=0 must be 1 or more"):
        StanceClassifier.from_pretrained(small_model(), backend=backend, threads=0)


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


@needs_fork
def test_processes_that_are_forked_while_threads_predict(small: StanceClassifier):
    written = texts(30)
    alone = small.predict_proba(written).tolist()
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()

    def answer() -> None:
        answers.put(small.predict_proba(written).tolist() == alone)

    with ThreadPoolExecutor(2) as pool:
        busy = [pool.submit(small.predict, texts(100, seed)) for seed in range(20)]
        children = [context.Process(target=answer, daemon=True) for _ in range(3)]
        for child in children:
            child.start()
        for child in children:
            child.join(120)
        assert [child.exitcode for child in children] == [0, 0, 0]
        assert all(len(task.result(120)) == 100 for task in busy)
    assert [answers.get() for _ in children] == [True, True, True]


@needs_fork
@pytest.mark.parametrize("used", [True, False])
def test_a_forked_process_ends(used: bool):
    """By `sys.exit`, as the workers of a web server do, not as `multiprocessing` ends its own."""
    script = f"""
        import os, sys
        from stancelib import StanceClassifier
        classifier = StanceClassifier.from_pretrained({str(small_model())!r})
        before = classifier.predict("They must leave.")
        if (child := os.fork()) == 0:
            sys.exit(7 if not {used} or classifier.predict("They must leave.") == before else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    """
    ran = python("-c", textwrap.dedent(script), cwd=REPOSITORY)
    assert ran.stdout == "7\n", ran.stderr


class TestPickle:
    def test_it_holds_no_weights(self, small: StanceClassifier):
        stored = pickle.dumps(small)
        assert len(stored) < 1000
        assert pickle.loads(stored).predict(texts(5)) == small.predict(texts(5))

    def test_of_a_folder_that_is_named_from_here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        copied(tmp_path / "model")
        monkeypatch.chdir(tmp_path)
        stored = pickle.dumps(StanceClassifier.from_pretrained("model"))
        monkeypatch.chdir("/")
        assert pickle.loads(stored).checkpoint.folder == tmp_path / "model"

    def test_other_weights_at_the_same_place_are_refused(self, tmp_path: Path):
        from safetensors.torch import load_file, save_file

        weights = copied(tmp_path / "model") / "model.safetensors"
        stored = pickle.dumps(StanceClassifier.from_pretrained(tmp_path / "model"))
        tensors = load_file(weights)
        name = next(iter(tensors))
        save_file(tensors | {name: tensors[name] + 1}, weights, {"format": "pt"})
        with pytest.raises(ModelError, match="other weights than the model that was pickled"):
            pickle.loads(stored)
