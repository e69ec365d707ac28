"""What the tests share: the shipped model, and the command line run in process or as a command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from stancelib import StanceClassifier, cli

# Neither the machine's speed nor its settings for colour decide whether a test passes.
settings.register_profile("stancelib", deadline=None)
settings.load_profile("stancelib")
for variable in ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS"):
    os.environ.pop(variable, None)
os.environ.update(NO_COLOR="1", COLUMNS="200", TERM="dumb", HF_HUB_OFFLINE="1")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def clf() -> StanceClassifier:
    return StanceClassifier.from_pretrained()


@dataclass
class Ran:
    code: int
    out: str
    err: str


@pytest.fixture
def stance(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """``stance("predict", "…")`` runs the command line in this process."""

    def run(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["stancelib", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        captured = capsys.readouterr()
        code = exit_.value.code
        return Ran(code if isinstance(code, int) else 0 if code is None else 1, captured.out, captured.err)

    return run


def python(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    """A new interpreter in the repository's environment."""
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=300, **options)
