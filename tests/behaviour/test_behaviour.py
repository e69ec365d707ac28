"""What the model must know: a test for each capability and each change of the text (see `training.behaviour`)."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stancelib import Prediction, StanceClassifier
from stancelib.holders import Holder
from training import behaviour, corpus
from training.behaviour import FLOORS, HOLDERS, Failure, Outcome
from training.perturb import PERTURBATIONS


@pytest.fixture(scope="session")
def outcomes(clf: StanceClassifier) -> dict[str, Outcome]:
    return behaviour.examine(clf)


@pytest.mark.parametrize("name", [name for name in FLOORS if name not in PERTURBATIONS and name != HOLDERS])
def test_minimum_functionality(outcomes: dict[str, Outcome], name: str):
    assert outcomes[name].n >= 15
    assert outcomes[name].holds, f"\n{outcomes[name]}"


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_label_does_not_depend_on(outcomes: dict[str, Outcome], name: str):
    assert outcomes[name].n >= 50
    assert outcomes[name].holds, f"\n{outcomes[name]}"


def test_holders_are_found(outcomes: dict[str, Outcome]):
    assert HOLDERS in outcomes, "the shipped model has no holder head"
    assert outcomes[HOLDERS].n >= 100
    assert outcomes[HOLDERS].holds, f"\n{outcomes[HOLDERS]}"


def test_no_case_is_a_sentence_of_the_corpus():
    known = {corpus.normalise(row["text"]) for row in corpus.load_all()}
    assert [case["text"] for case in behaviour.load_cases() if corpus.normalise(case["text"]) in known] == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"capability": "telepathy"}, "no capability 'telepathy'"),
        ({"capability": "case"}, "no capability 'case'"),
        ({"label": "maybe"}, "label 'maybe' is none of"),
        ({"holders": [{"name": "Nobody", "stance": "oppose"}]}, "needs a name that stands in the text"),
        ({"register": "news"}, "the fields are"),
    ],
)
def test_a_broken_case_is_named(tmp_path: Path, change: dict[str, object], message: str):
    case = {"capability": "negation", "text": "Norda will not send soldiers.", "label": "oppose"}
    path = tmp_path / "cases.jsonl"
    path.write_text(json.dumps(case) + "\n" + json.dumps({**case, "text": "Norda never will.", **change}) + "\n")
    with pytest.raises(corpus.CorpusError, match=f"cases.jsonl, line 2: .*{message}"):
        behaviour.load_cases(path)


def test_a_text_that_comes_twice_is_named(tmp_path: Path):
    case = {"capability": "negation", "text": "Norda will not send soldiers.", "label": "oppose"}
    path = tmp_path / "cases.jsonl"
    path.write_text(f"{json.dumps(case)}\n{json.dumps({**case, 'text': 'Norda will not send soldiers'})}\n")
    with pytest.raises(corpus.CorpusError, match="line 2: repeats line 1"):
        behaviour.load_cases(path)


def test_an_outcome_tells_what_failed():
    outcome = Outcome("irony", "functionality", 4, (Failure("Oh, wonderful.", "oppose", "support"),))
    assert outcome.figures() == {"n": 4, "passed": 3, "rate": 0.75, "floor": FLOORS["irony"]}
    assert str(outcome).startswith("irony: 3 of 4 pass (75.0%")
    assert "oppose expected, support found: Oh, wonderful." in str(outcome)


class Stubborn:
    """A stand-in for a classifier, that opposes in short texts, and says that whatever comes first opposes in all."""

    checkpoint = SimpleNamespace(has_holders=True)

    def predict(self, texts: list[str]) -> list[Prediction]:
        return [
            Prediction(
                "oppose" if len(text) < 500 else "neutral",
                1.0,
                {"support": 0.0, "oppose": 1.0, "neutral": 0.0},
                text,
                holders=(Holder(text.split()[0], "oppose", 1.0, 0, len(text.split()[0])),),
            )
            for text in texts
        ]


def test_what_is_measured_of_a_known_answer():
    classifier = cast(Any, Stubborn())
    outcomes = behaviour.examine(classifier)
    assert list(outcomes) == list(FLOORS)
    assert outcomes["plain oppose"].rate == 1
    assert outcomes["plain support"].rate == outcomes["neutral facts"].rate == 0
    assert outcomes["two typos"].rate == 1
    failed = {failure.text for failure in outcomes[HOLDERS].failures}
    assert "Norda rules out soldiers on the ground." not in failed
    assert "Neither Oslo nor Helsinki will take part in the stabilisation force." in failed  # two holders, none found
    assert "Bring them home." in failed  # the author's own
    assert behaviour.measure(classifier)["irony"] == outcomes["irony"].figures()
