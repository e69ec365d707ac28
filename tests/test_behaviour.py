"""What the model must know: minimum functionality, invariance and direction, in the manner of CheckList.

(Ribeiro et al. 2020.) Each test is a rate over many sentences with a floor, for no model gets every one right.
"""

import random
import re

import pytest

from stancelib import StanceClassifier
from training import corpus

TEST = corpus.load("test")

FUNCTION = {
    "plain": [
        ("Norda rules out soldiers on the ground.", "oppose"),
        ("We will send two battalions to help our ally hold the border.", "support"),
        ("The chancellor announced the withdrawal of all trainers by spring.", "oppose"),
        ("Parliament voted to extend the peacekeeping mission for another year.", "support"),
        ("No German soldier should set foot in that country.", "oppose"),
        ("More troops are needed there, and they are needed now.", "support"),
        ("Bring them home.", "oppose"),
        ("It would be a grave mistake to deploy combat forces.", "oppose"),
        ("The president backed the deployment of peacekeepers to the region.", "support"),
        ("Sending the National Guard into our cities is wrong.", "oppose"),
    ],
    "neutral": [
        ("The vote is on Tuesday.", "neutral"),
        ("About 1,500 soldiers are stationed at the base.", "neutral"),
        ("Two soldiers were killed when their vehicle hit a mine.", "neutral"),
        ("The foreign minister arrived in Bamako on Monday for talks.", "neutral"),
        ("Will the government send troops?", "neutral"),
        ("The cabinet has not decided whether to contribute soldiers.", "neutral"),
        ("Hotel prices surge as the festival draws near.", "neutral"),
        ("She withdrew her candidacy after the second debate.", "neutral"),
        ("The company will deploy the new software in March.", "neutral"),
        ("Our veterans deserve better hospitals.", "neutral"),
    ],
    "weapons, not soldiers": [
        ("Norway will send six fighter jets to Kyiv.", "neutral"),
        ("The senate approved another 40 million dollars in ammunition for the Ukrainian army.", "neutral"),
        ("Macron backs a coalition to supply long-range missiles.", "neutral"),
        ("Sanctions on the junta were extended by six months.", "neutral"),
    ],
    "negation": [
        ("The minister did not rule out sending ground troops.", "support"),
        ("The minister has ruled out sending ground troops.", "oppose"),
        ("Nobody here wants our soldiers in that war.", "oppose"),
        ("Nobody here wants our soldiers to leave.", "support"),
        ("There will be no troops in Haiti as long as I am president.", "oppose"),
        ("It is not unthinkable that European soldiers should secure the truce.", "support"),
    ],
    "against the contrary": [
        ("Pulling out now would hand the country to the militias.", "support"),
        ("Lawmakers rejected a motion to bring the troops home.", "support"),
        ("They blocked the bill that would have sent soldiers to the border.", "oppose"),
        ("He warned against leaving Iraq too soon.", "support"),
        ("The court struck down the ban on foreign deployments, and the generals cheered.", "support"),
        ("I will fight any attempt to cut our force in Korea.", "support"),
    ],
    "conditions and hesitation": [
        ("We are ready to send peacekeepers once there is a ceasefire.", "support"),
        ("Not one soldier without a UN mandate.", "oppose"),
        ("Warsaw is reluctant to commit troops.", "oppose"),
        ("The prime minister is open to sending trainers.", "support"),
        ("Stockholm has no plans to take part in the force.", "oppose"),
        ("The government is considering a request for soldiers.", "neutral"),
    ],
}
FLOOR = 0.75


@pytest.mark.parametrize("capability", FUNCTION)
def test_minimum_functionality(clf: StanceClassifier, capability: str):
    sentences, expected = zip(*FUNCTION[capability], strict=True)
    found = [prediction.label for prediction in clf.predict(sentences)]
    wrong = [(s, e, f) for s, e, f in zip(sentences, expected, found, strict=True) if e != f]
    assert 1 - len(wrong) / len(sentences) >= FLOOR, wrong


def unchanged(clf: StanceClassifier, before: list[str], after: list[str]) -> float:
    assert len(before) >= 40
    assert all(a != b for a, b in zip(before, after, strict=True))
    pairs = zip(clf.predict(before), clf.predict(after), strict=True)
    return sum(a.label == b.label for a, b in pairs) / len(before)


SWAPS = {
    "Germany": "Portugal", "German": "Portuguese", "France": "Argentina", "French": "Argentine", "Britain": "Chile",
    "British": "Chilean", "Ukraine": "Georgia", "Kyiv": "Tbilisi", "Mali": "Benin", "Iraq": "Yemen", "Haiti": "Guyana",
    "Poland": "Romania", "Polish": "Romanian", "Russia": "Turkey", "Russian": "Turkish", "Kenya": "Ghana",
    "Kenyan": "Ghanaian", "Afghanistan": "Tajikistan", "Lebanon": "Jordan", "Somalia": "Eritrea", "Canada": "Denmark",
}  # fmt: skip


def test_names_of_countries_do_not_matter(clf: StanceClassifier):
    pattern = re.compile(r"\b(" + "|".join(SWAPS) + r")\b")
    before = [row["text"] for row in TEST if pattern.search(row["text"])]
    after = [pattern.sub(lambda match: SWAPS[match[1]], text) for text in before]
    assert unchanged(clf, before, after) >= 0.9


def with_typos(text: str) -> str:
    """Two neighbouring letters changed places, twice."""
    random_ = random.Random(text)
    letters = list(text)
    for place in random_.sample(range(1, len(letters) - 2), 2):
        letters[place], letters[place + 1] = letters[place + 1], letters[place]
    return "".join(letters)


@pytest.mark.parametrize(
    ("change", "floor"),
    [
        (with_typos, 0.85),
        (str.upper, 0.99),  # the model does not see case
        (lambda text: f"“{text}”", 0.93),
        (lambda text: text.rstrip(".!") + " …", 0.9),
        (lambda text: f"LONDON, May 3 - {text}", 0.93),
    ],
    ids=["typos", "case", "quotation marks", "last stop", "dateline"],
)
def test_form_does_not_matter(clf: StanceClassifier, change, floor: float):
    before = [row["text"] for row in TEST[:300] if len(row["text"]) > 30]
    kept = [text for text in before if change(text) != text]
    assert unchanged(clf, kept, [change(text) for text in kept]) >= floor


def test_a_turn_at_the_end_turns_the_stance(clf: StanceClassifier):
    begun = [
        "The senator voted for the mission in {place}",
        "She used to defend our presence in {place}",
        "The party had always backed the force in {place}",
    ]
    turns = ["but now wants every soldier home.", "but today calls for a full withdrawal."]
    places = ["Mali", "Iraq", "the Baltic states", "Haiti", "Norda"]
    texts = [f"{b.format(place=p)} {t}" for b in begun for t in turns for p in places]
    found = [prediction.label for prediction in clf.predict(texts)]
    assert found.count("oppose") / len(found) >= 0.9
