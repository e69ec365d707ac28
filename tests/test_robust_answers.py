"""The answer for a text is the same alone, in any company and order, in each backend, thread, process and run."""

import json
import os
import random
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY, python
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from small_model import small_model

from stancelib import StanceClassifier

TOLERANCE = 1e-3
SENTENCES = [
    json.loads(line)["text"]
    for line in (REPOSITORY / "seeds/test.jsonl").read_text(encoding="utf-8").splitlines()[:400]
]
STRANGE = [
    "a",
    "." * 3000,
    "No troops! " * 400,
    "🪖🚫🇺🇦",
    "\x00 soldiers \x00",
    "\ud800 lone \udfff",
    "士兵不得派往海外",
]
POOL = SENTENCES + STRANGE


@pytest.fixture(scope="module")
def small() -> StanceClassifier:
    return StanceClassifier.from_pretrained(small_model())


class Alone:
    """What a text gets by itself, asked once."""

    def __init__(self, classifier: StanceClassifier) -> None:
        self.classifier, self.known = classifier, {}

    def __call__(self, text: str) -> NDArray[np.float32]:
        if text not in self.known:
            self.known[text] = self.classifier.predict_proba(text)[0]
        return self.known[text]

    def check(self, texts: list[str], how: str) -> None:
        """Classify ``texts`` together and compare each of them."""
        if how == "predict_proba":
            rows = self.classifier.predict_proba(texts)
        else:
            found = self.classifier.predict(texts) if how == "predict" else list(self.classifier.stream(iter(texts)))
            assert [prediction.text for prediction in found] == texts
            rows = np.array([[*prediction.probabilities.values()] for prediction in found])
        alone = np.array([self(text) for text in texts])
        np.testing.assert_allclose(rows, alone, atol=TOLERANCE)
        assert (rows.argmax(axis=1) == alone.argmax(axis=1)).all()


@pytest.fixture(scope="module")
def alone(small: StanceClassifier) -> Alone:
    return Alone(small)


@settings(max_examples=1000, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.lists(
        st.sampled_from(POOL) | st.text(min_size=1).filter(lambda text: text.isprintable() and text.strip()),
        max_size=12,
    ),
    st.sampled_from(["predict", "predict_proba", "stream"]),
)
def test_company_and_order_do_not_matter(alone: Alone, texts: list[str], how: str):
    alone.check(texts or [SENTENCES[0]], how)


def test_nor_do_they_for_the_shipped_model(clf: StanceClassifier):
    """As many mixtures as a quarter of a minute holds, up to 300."""
    random_, alone, end = random.Random(1), Alone(clf), time.monotonic() + 15
    for number in range(300):
        alone.check(
            random_.choices(POOL[:60], k=random_.randint(1, 8)), ("predict", "predict_proba", "stream")[number % 3]
        )
        if time.monotonic() > end and number >= 5:
            break


def test_texts_of_every_length_share_a_batch(small: StanceClassifier):
    words = [
        "Norda",
        "rules",
        "out",
        "soldiers",
        "on",
        "the",
        "ground",
        "and",
        "the",
        "minister",
        "said",
        "so",
        "again",
        ".",
    ] * 30
    texts = [" ".join(words[:count]) for count in range(1, 300)]
    Alone(small).check(random.Random(2).sample(texts, len(texts)), "predict_proba")


def test_both_backends_agree(small: StanceClassifier):
    other = StanceClassifier.from_pretrained(small_model(), backend="torch", device="cpu")
    ours, theirs = small.predict_proba(POOL), other.predict_proba(POOL)
    np.testing.assert_allclose(ours, theirs, atol=TOLERANCE)
    assert (ours.argmax(axis=1) == theirs.argmax(axis=1)).all()
    for one, another in zip(small.predict(POOL), other.predict(POOL), strict=True):
        assert [(h.text, h.stance) for h in one.holders] == [(h.text, h.stance) for h in another.holders]


RUN = """
import json, os, sys
from stancelib import StanceClassifier
if sys.argv[2] == "one core" and hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
texts = json.load(sys.stdin)
print(json.dumps(StanceClassifier.from_pretrained(sys.argv[1]).predict_proba(texts).tolist()))
"""


@pytest.mark.parametrize("cores", ["all cores", "one core"])
def test_another_run_gives_the_same(small: StanceClassifier, cores: str):
    texts = POOL[:100]
    ran = python("-c", RUN, str(small_model()), cores, input=json.dumps(texts))
    assert ran.returncode == 0, ran.stderr
    theirs, ours = np.array(json.loads(ran.stdout)), small.predict_proba(texts)
    np.testing.assert_allclose(theirs, ours, atol=TOLERANCE)
    assert (theirs.argmax(axis=1) == ours.argmax(axis=1)).all()


def test_sixteen_threads_at_once(small: StanceClassifier):
    """Each with texts of its own, in a batch of its own size, several times over."""
    shares = [POOL[number::16] for number in range(16)]
    expected = [small.predict(share) for share in shares]
    found: dict[int, list] = {}
    start = threading.Barrier(16)

    def work(number: int) -> None:
        start.wait()
        found[number] = [small.predict(shares[number]) for _ in range(3)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(found) == 16
    for number, rounds in found.items():
        for answers in rounds:
            for one, other in zip(answers, expected[number], strict=True):
                assert (one.text, one.label, one.holders and one.holders[0].text) == (
                    other.text,
                    other.label,
                    other.holders and other.holders[0].text,
                )
                assert list(one.probabilities.values()) == pytest.approx([*other.probabilities.values()], abs=TOLERANCE)


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
FORK = """
import json, os, sys, warnings
from stancelib import StanceClassifier
texts = json.load(sys.stdin)
classifier = StanceClassifier.from_pretrained(None if sys.argv[1] == "base" else sys.argv[1])
before = classifier.predict_proba(texts).tolist()
read, write = os.pipe()
child = os.fork()
if child == 0:
    with open(write, "w") as pipe:
        json.dump(classifier.predict_proba(texts).tolist(), pipe)
    os._exit(0)
os.close(write)
with open(read) as pipe:
    print(json.dumps([before, json.load(pipe), classifier.predict_proba(texts).tolist()]))
assert os.waitpid(child, 0)[1] == 0
"""


@needs_fork
@pytest.mark.parametrize("model", ["small", "base"])
def test_a_fork_after_the_first_prediction_does_not_hang(model: str):
    """Threads of ONNX Runtime and of the tokenizer do not survive a fork; the child must do without them."""
    texts = SENTENCES[: 200 if model == "small" else 8]
    ran = python("-c", FORK, str(small_model()) if model == "small" else "base", input=json.dumps(texts))
    assert ran.returncode == 0, ran.stderr
    before, child, after = map(np.array, json.loads(ran.stdout))
    np.testing.assert_allclose(child, before, atol=TOLERANCE)
    np.testing.assert_allclose(after, before, atol=TOLERANCE)


POOLED = """
import json, multiprocessing, sys
from stancelib import StanceClassifier

classifier = StanceClassifier.from_pretrained(sys.argv[1])

def labels(texts):
    return [prediction.label for prediction in classifier.predict(texts)]

if __name__ == "__main__":
    texts = json.load(sys.stdin)
    labels(texts)
    with multiprocessing.get_context("fork").Pool(3) as pool:
        parts = pool.map_async(labels, [texts[:40], texts[40:50], texts[50:]]).get(200)
    print(json.dumps(sum(parts, [])))
"""


@needs_fork
def test_a_pool_of_forked_workers(small: StanceClassifier, tmp_path: Path):
    texts = SENTENCES[:100]
    script = tmp_path / "pooled.py"
    script.write_text(POOLED)
    ran = python(str(script), str(small_model()), input=json.dumps(texts))
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == [prediction.label for prediction in small.predict(texts)]
