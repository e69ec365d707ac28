"""The inputs that fuzzing found worth keeping still end well or in a clear error; see docs/robustness.md."""

import pytest
from small_model import small_model

from benchmarks import fuzz

KEPT = sorted(path for path in fuzz.CORPUS.glob("*/*") if path.is_file())


@pytest.fixture(scope="module", autouse=True)
def _model() -> None:
    small_model()


@pytest.mark.parametrize("target", fuzz.TARGETS)
def test_the_seeds(target: str, monkeypatch: pytest.MonkeyPatch):
    for data in fuzz.seeds(target):
        fuzz.run_one(target, data)


@pytest.mark.parametrize("target", fuzz.TARGETS)
def test_the_kept_corpus(target: str):
    kept = [path for path in KEPT if path.parent.name == target]
    assert kept
    for path in kept:
        try:
            fuzz.run_one(target, path.read_bytes())
        except Exception as error:
            raise AssertionError(f"python -m benchmarks.fuzz {target} --one {path}") from error
