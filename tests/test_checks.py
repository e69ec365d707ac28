"""What is wrong with labelled data: each fault is found, with its place, and what can be used is used."""

import csv
import itertools
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stancelib import InputError, MissingExtraError
from stancelib.checks import (
    DataReport,
    Finding,
    _foreign,
    check,
    suspicious_finding,
    suspicious_labels,
    usable,
)
from stancelib.data import LabelledData, read_labelled, read_splits, write_left_out
from stancelib.duplicates import near_duplicates, normalised

NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
PLACES = ("Norda", "Sudria", "Westmark", "Ostland", "Midway")
CLEAN = [
    {"text": f"They would not send {number} of the brigades to {place} {'' if i % 2 else 'after'} all.", "label": label}
    for i, (number, place) in enumerate(itertools.product(NUMBERS, PLACES))
    for label in [("support", "oppose", "neutral")[i % 3]]
]
LONG = (
    "The government of Norda said on Monday that it would send two more brigades to Sudria before the end of the year, "
    "although the parliament has not voted on that deployment."
)


def data(*rows: tuple[str, str], name: str = "coded.csv") -> LabelledData:
    texts, labels = [text for text, _ in rows], [label for _, label in rows]
    places = [f"{name}, line {number}" for number in range(2, len(rows) + 2)]
    return LabelledData(name, texts, labels, None, places, [{"text": text, "label": label} for text, label in rows])


def clean(name: str = "train.csv", part: slice = slice(0, 45)) -> list[tuple[str, str]]:
    return [(row["text"], row["label"]) for row in CLEAN[part]]


def kinds(report: DataReport) -> dict[str, Finding]:
    assert len({finding.kind for finding in report.findings}) == len(report.findings)
    return {finding.kind: finding for finding in report.findings}


def test_clean_data():
    report = check(
        {"train": data(*clean()), "test": data(*clean(part=slice(45, 60)), name="test.csv")}, near_duplicate=None
    )
    assert report.findings == []
    assert report.ok
    assert report.rows == {"train": 45, "test": 15}
    assert report.classes["train"] == {"support": 15, "oppose": 15, "neutral": 15}
    assert list(report.classes["train"]) == ["support", "oppose", "neutral"]
    assert "Nothing was found wrong." in str(report)


def test_rows_that_reading_left_out(tmp_path: Path):
    path = tmp_path / "coded.csv"
    path.write_text("text,label\nA.,x\n,x\nB.,\nC.,\nD.,y\n")
    report = check(read_splits(path))
    finding = kinds(report)["unusable"]
    assert finding.severity == "warning"
    assert finding.message == "3 rows can't be used (3 in train): 2 × no label; 1 × a blank text"
    assert finding.places[0] == f"{path}, line 3: a blank text"


def test_duplicates_are_kept_once():
    rows = [*clean(), ("Send them now!", "support"), ("send  THEM, now", "support"), ("“Send them now”…", "support")]
    splits = {"train": data(*rows)}
    report = check(splits)
    finding = kinds(report)["duplicates"]
    assert finding.message == "1 text stands more than once, with one label (3 rows in train)"
    assert finding.places == ["coded.csv, line 47 = line 48 = line 49"]
    assert report.to_leave_out == {
        "train": {46: "the same text as coded.csv, line 47", 47: "the same text as coded.csv, line 47"}
    }
    kept, left_out = usable(splits, report)
    assert kept["train"].texts == [text for text, _ in rows[:46]]
    assert [row.place for row in left_out] == ["coded.csv, line 48", "coded.csv, line 49"]
    assert check(kept).to_leave_out == {"train": {}}


def test_texts_with_two_labels_are_left_out():
    rows = [*clean(), ("Send them now!", "support"), ("send them now", "oppose")]
    splits = {"train": data(*rows)}
    report = check(splits)
    finding = kinds(report)["conflicts"]
    assert finding.message == "1 text has more than one label (2 rows in train)"
    assert finding.places == ["coded.csv, line 47 (support) ≠ line 48 (oppose)"]
    kept, left_out = usable(splits, report)
    assert len(kept["train"]) == 45
    assert left_out[0].reason == "a text with several labels (support, oppose), as is coded.csv, line 48"
    assert left_out[1].reason == "a text with several labels (support, oppose), as is coded.csv, line 47"


def test_train_rows_that_are_tested_on_are_left_out_of_train():
    train = data(*clean(), ("Bring them home.", "oppose"), (LONG, "support"), name="train.csv")
    test = data(
        ("Other words.", "neutral"),
        ("BRING them home", "support"),
        (LONG.replace("two", "2"), "oppose"),
        name="test.csv",
    )
    report = check({"train": train, "test": test})
    same, near = [finding for finding in report.findings if finding.kind == "overlap"]
    assert same.message == "1 row of train stands in test too, 1 of them with another label"
    assert same.places == ["train.csv, line 47 = test.csv, line 3"]
    assert near.message == "1 row of train stands in test in nearly the same words"
    assert near.places[0].startswith("train.csv, line 48 ≈ test.csv, line 4 (0.9")
    kept, left_out = usable({"train": train, "test": test}, report)
    assert kept["test"].texts == test.texts
    assert kept["train"].texts == train.texts[:45]
    assert left_out[0].reason == "the same text as test.csv, line 3 (test)"


def test_what_is_held_out_stays_as_given():
    test = data(("A b c.", "x"), ("a b c", "x"), ("D e f.", "x"), ("d e f", "y"))
    report = check({"test": test, "ours": data(("a b c", "y"))})
    assert usable({"test": test, "ours": data(("a b c", "y"))}, report)[0]["test"].texts == test.texts
    assert "test stays as given" in kinds(report)["duplicates"].what_to_do
    assert kinds(report)["overlap"].severity == "note"


def test_validation_goes_before_train_and_test_before_both():
    def once(name: str) -> LabelledData:
        return data(("Bring them all home now.", "oppose"), (f"Only in {name}, this one.", "support"), name=name)

    splits = {name: once(name) for name in ("train", "validation", "test")}
    kept, left_out = usable(splits, check(splits))
    assert [len(part) for part in kept.values()] == [1, 1, 2]
    assert [row.place for row in left_out] == ["train, line 2", "validation, line 2"]


@pytest.mark.parametrize(
    ("rows", "severity", "message"),
    [
        ([(f"Text {n} is.", "support") for n in NUMBERS], "error", "one class only, 'support'"),
        ([*clean(), ("A b c d.", "rare")], "warning", "fewer than 10 rows of 'rare' (1)"),
        (
            [(text, f"{number} points") for number, (text, _) in enumerate(clean())],
            "error",
            "different labels in 45 rows",
        ),
    ],
)
def test_classes(rows: list[tuple[str, str]], severity: str, message: str):
    report = check({"train": data(*rows)}, near_duplicate=None)
    finding = kinds(report)["classes"]
    assert finding.severity == severity
    assert message in finding.message
    assert report.ok == (severity != "error")


def test_classes_that_train_has_not():
    report = check({"train": data(*clean()), "test": data(("Quite other words.", "Favor"), name="test.csv")})
    assert not report.ok
    assert "test has classes that train has not: 'Favor' (1)" in kinds(report)["classes"].message


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["Favor"] * 12 + ["favor"] * 11, "'favor' (11) and 'Favor' (12)"),
        (["against"] * 20 + ["agianst"], "'agianst' (1) and 'against' (20)"),
        (["1"] * 20 + ["11"], None),
        (["pro"] * 20 + ["con"] * 10, None),
        (["pro"] * 20 + ["N/A"] * 10, "look like a missing value: 'N/A' (10)"),
    ],
)
def test_labels_that_may_be_slips(labels: list[str], message: str | None):
    words = (" ".join(pair) for pair in itertools.product(NUMBERS, NUMBERS))
    report = check({"train": data(*zip(words, labels, strict=False))}, near_duplicate=None)
    found = [finding.message for finding in report.findings if finding.kind == "labels"]
    assert (len(found) == 1 and message in found[0]) if message else found == []


def test_groups_on_both_sides():
    rows = [{"text": f"{a} {b} of them.", "label": b, "speaker": a} for a in NUMBERS for b in ("support", "oppose")]
    parts = {"train": rows[:15], "test": rows[15:]}
    report = check(read_splits(parts, group_column="speaker"), near_duplicate=None)
    finding = kinds(report)["groups"]
    assert "1 group stands in both train and test: 'eight'" in finding.message
    assert finding.places == ["train[14]"]


def test_lengths():
    rows = [("a b c", "support"), ("a b", "oppose"), ("a b c d e f g", "support")]

    def count(texts: list[str]) -> list[int]:
        return [len(text.split()) + 2 for text in texts]

    report = check({"train": data(*rows)}, encode=count, max_tokens=5)
    found = report.lengths["train"]
    assert (found.unit, found.median, found.longest, found.cut) == ("tokens", 5, 9, 1)
    finding = kinds(report)["lengths"]
    assert finding.message == "1 of 3 rows (33.3%) are longer than 5 tokens (1 in train)"
    assert finding.severity == "warning"
    assert finding.places == ["coded.csv, line 4 (9 tokens)"]
    assert check({"train": data(*rows)}).lengths["train"].unit == "words"


# Languages

FOREIGN = {
    "de": "Bundeskanzler Scholz hat die Entsendung von Bodentruppen in die Ukraine ausgeschlossen.",
    "fr": "Emmanuel Macron n'exclut pas l'envoi de troupes au sol en Ukraine, a-t-il déclaré lundi soir.",
    "es": "No enviaremos a nuestros soldados.",
    "pl": "To by było szaleństwo, nie wyślemy żołnierzy na Ukrainę.",
    "da": "Vi vil have fred for alle, og vi sender ikke soldater til Ukraine.",
    "ja": "軍隊を派遣しない。",
}


def test_texts_that_are_not_english():
    texts = [
        *FOREIGN.values(),
        "Troops out",
        "No!",
        "OK 👍",
        "#NoWar",
        "2014",
        "Niamey asks Germans to go before August",
    ]
    found, notes = _foreign({"train": data(*[(text, "x") for text in texts])})
    assert found == {"train": dict(enumerate(FOREIGN))}
    assert notes == []
    report = check({"train": data(*clean(), (FOREIGN["de"], "oppose"))})
    assert kinds(report)["languages"].message == "1 text is not English: 1 de"
    assert kinds(report)["languages"].places == ["coded.csv, line 47 (de)"]
    assert report.languages == {"train": {"de": 1}}
    assert report.to_leave_out == {"train": {}}


def test_real_english_is_taken_for_english():
    lines = (Path(__file__).parent.parent / "seeds" / "validation.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines[::4]]
    assert _foreign({"train": data(*[(text, "x") for text in texts])}) == ({"train": {}}, [])


def test_without_the_language_library(monkeypatch: pytest.MonkeyPatch):
    from stancelib import checks

    checks._identifier.cache_clear()
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    try:
        report = check({"train": data(*clean(), (FOREIGN["de"], "oppose"))})
    finally:
        checks._identifier.cache_clear()
    assert kinds(report)["languages"].severity == "note"
    assert "stancelib[train]" in kinds(report)["languages"].what_to_do


# The same text


def test_normalised():
    assert normalised("“Don’t SEND\n them!!” https://t.co/x1 😀") == normalised("don't send them") == "don t send them"
    assert normalised("40,000") != normalised("40,001")
    assert normalised("!?") == "!?"  # nothing else in it
    assert normalised("कि") != normalised("की")


@given(st.text())
def test_normalising_twice_changes_nothing(text: str):
    once = normalised(text)
    assert normalised(once) == once
    assert bool(once) == bool(text.split())


def jaccard(a: str, b: str) -> float:
    sets = [
        {padded[i : i + 4] for i in range(len(padded) - 3)}
        for padded in (f" {normalised(text)} ".ljust(4) for text in (a, b))
    ]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


SENTENCES = st.lists(st.sampled_from([*NUMBERS[:6], "Norda", "troops"]), min_size=1, max_size=12).map(" ".join)


@settings(max_examples=50)
@given(st.lists(SENTENCES, max_size=12), st.lists(SENTENCES, max_size=6), st.sampled_from([0.3, 0.6, 0.9, 1.0]))
def test_near_duplicates_are_those_that_comparing_all_finds(texts: list[str], others: list[str], threshold: float):
    def expected(pairs: list[tuple[int, int, float]]) -> dict[int, float]:
        best: dict[int, float] = {}
        for i, _, similarity in pairs:
            if similarity >= threshold - 1e-9:
                best[i] = max(best.get(i, 0.0), similarity)
        return best

    found = near_duplicates(texts, others, threshold)
    every = [(i, j, jaccard(a, b)) for i, a in enumerate(texts) for j, b in enumerate(others)]
    assert {i: similarity for i, _, similarity in found} == pytest.approx(expected(every))
    assert all(jaccard(texts[i], others[j]) == pytest.approx(similarity) for i, j, similarity in found)
    earlier = [(i, j, jaccard(texts[i], texts[j])) for i in range(len(texts)) for j in range(i)]
    own = near_duplicates(texts, threshold=threshold)
    assert {i: similarity for i, _, similarity in own} == pytest.approx(expected(earlier))
    assert all(j < i for i, j, _ in own)


def test_large_families_of_similar_texts():
    family = [f"{LONG} {LONG[::-1]} x{number}" for number in range(400)]
    found = near_duplicates(["Something else, altogether.", *family])
    assert [i for i, _, _ in found] == list(range(2, 401))


def test_near_duplicates_in_parts(monkeypatch: pytest.MonkeyPatch):
    texts = [text for text, _ in clean()]
    whole = near_duplicates(texts, threshold=0.7)
    assert whole
    monkeypatch.setattr("stancelib.duplicates._CHUNK", 100)
    assert near_duplicates(texts, threshold=0.7) == whole
    monkeypatch.setattr("stancelib.duplicates._MOST_SHINGLES", 1500)  # a sample of them: an estimate
    assert near_duplicates([LONG, "Other words."], [LONG.upper()]) == [(0, 0, 1.0)]


def test_near_duplicates_of_one_split_are_kept():
    splits = {"train": data(*clean(), (LONG, "support"), (LONG.replace("two", "2"), "support"))}
    report = check(splits, near_duplicate=0.9)
    finding = next(finding for finding in report.findings if finding.kind == "near-duplicates")
    assert any(place.startswith("coded.csv, line 47 ≈ line 48 (0.9") for place in finding.places)
    assert len(usable(splits, report)[0]["train"]) == 47


@settings(max_examples=40)
@given(
    st.lists(st.tuples(SENTENCES, st.sampled_from("xy")), max_size=15),
    st.lists(st.tuples(SENTENCES, st.sampled_from("xy")), max_size=8),
)
def test_what_can_be_used_has_no_more_to_leave_out(train: list[tuple[str, str]], test: list[tuple[str, str]]):
    splits = {"train": data(*train), "test": data(*test, name="test.csv")}
    report = check(splits)
    kept, left_out = usable(splits, report)
    assert len(kept["train"]) + len(left_out) == len(train)
    assert kept["test"].texts == splits["test"].texts
    texts = [normalised(text) for text in kept["train"].texts]
    assert len(set(texts)) == len(texts)
    assert not set(texts) & {normalised(text) for text, _ in test}
    assert not any(check(kept).to_leave_out.values())
    # A text whose rows agree, and that is not near one in the test, is lost to nothing.
    labels: dict[str, set[str]] = {}
    for text, label in train:
        labels.setdefault(normalised(text), set()).add(label)
    near = {normalised(train[i][0]) for i, _, _ in near_duplicates([t for t, _ in train], [t for t, _ in test])}
    assert set(texts) == {text for text, of_text in labels.items() if len(of_text) == 1 and text not in near}


# The report


def test_the_report_fits_on_a_screen(tmp_path: Path):
    rows = [
        *clean(),
        *[("Send them now!", "support")] * 30,
        *[(f"Bring {number} home.", label) for number in NUMBERS for label in ("oppose", "neutral")],
        *[(FOREIGN["de"] + str(number), "oppos") for number in range(5)],
        (LONG * 20, "N/A"),
    ]
    train = data(*rows)
    splits = {"train": train, "validation": train.select(range(40)), "test": train.select(range(20, 60))}
    report = check(splits, encode=lambda texts: [len(text.split()) for text in texts], max_tokens=256)
    shown = str(report)
    assert len(shown.splitlines()) <= 14 + 4 * len(report.findings)
    assert max(map(len, shown.splitlines())) <= 100
    assert shown.count("·") <= len(report.findings)
    assert "and 9 more" in " ".join(shown.split())
    assert [f.severity for f in report.findings] == sorted(
        (f.severity for f in report.findings), key=["error", "warning", "note"].index
    )
    assert json.loads(json.dumps(report.to_dict()))["rows"] == report.rows
    assert report.to_dict()["ok"] is report.ok
    kept, left_out = usable(splits, report)
    write_left_out(left_out, path := tmp_path / "left_out.csv")
    with path.open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == len(left_out) == sum(map(len, report.to_leave_out.values()))
    assert sum(map(len, kept.values())) + len(left_out) == sum(map(len, splits.values()))


def test_many_classes_are_shown_in_few_lines():
    labels = [f"class {n}" for n in range(20)]
    words = [" ".join(words) for words in itertools.product(NUMBERS, NUMBERS)]
    report = check({"train": data(*zip(words, itertools.cycle(labels), strict=False))}, near_duplicate=None)
    assert "9 more labels" in str(report)


def test_what_check_and_usable_refuse():
    splits = {"train": data(*clean())}
    with pytest.raises(InputError, match="no splits"):
        check({})
    with pytest.raises(InputError, match="near_duplicate=0"):
        check(splits, near_duplicate=0)
    report = check(splits, near_duplicate=None)
    with pytest.raises(InputError, match="other data"):
        usable({"train": splits["train"].select([0])}, report)


def test_what_reading_left_out_stays_in_the_list():
    rows = [{"text": "A b.", "label": "x"}, {"text": None, "label": "x"}, {"text": "a b", "label": "x"}]
    splits = {"train": read_labelled(rows)}
    kept, left_out = usable(splits, check(splits))
    assert [(row.place, row.reason) for row in left_out] == [
        ("rows[1]", "None (a missing text)"),
        ("rows[2]", "the same text as rows[0]"),
    ]
    assert kept["train"].left_out == left_out


def test_without_scipy(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(MissingExtraError, match=r"stancelib\[eval\]"):
        check({"train": data(*clean())})
    assert check({"train": data(*clean())}, near_duplicate=None).ok


# Suspicious labels


def test_suspicious_labels():
    generator = np.random.default_rng(1)
    labels = [("support", "oppose")[i % 2] for i in range(60)]
    wrong = {7, 20}
    rows = [
        (f"Text {i}.", ("support", "oppose")[(i + 1) % 2] if i in wrong else label) for i, label in enumerate(labels)
    ]
    sure = generator.uniform(0.8, 0.95, 60)
    sure[[*wrong]] = 0.99
    columns = [np.where(np.array(labels) == name, sure, 1 - sure) for name in ("support", "oppose")]
    probabilities = np.column_stack([*columns, np.zeros(60)])  # the third class has no rows
    found = suspicious_labels(data(*rows), probabilities)
    assert {row.index for row in found} == wrong
    assert Counter(row.likely for row in found) == {"support": 1, "oppose": 1}
    assert all(0 <= row.quality < 0.5 for row in found)
    finding = suspicious_finding(found, 60)
    assert "2 of 60 rows (3.3%)" in finding.message
    assert finding.places[0].startswith(f"{found[0].place} ({found[0].label}, likelier {found[0].likely}): Text")


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        (np.full((2, 2), 0.5), None, r"shape \(2, 2\); expected \(2, 3\)"),
        (np.full((2, 3), 0.5), None, "sum to 1"),
        (np.full((2, 3), np.nan), None, "finite"),
        (np.full((2, 2), 0.5), ("support", "neutral"), "no column .* 'oppose'"),
    ],
)
def test_probabilities_that_do_not_fit(probabilities: np.ndarray, labels: tuple[str, ...] | None, message: str):
    with pytest.raises(InputError, match=message):
        suspicious_labels(data(("A.", "support"), ("B.", "oppose")), probabilities, labels)


def test_without_cleanlab(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    with pytest.raises(MissingExtraError, match="cleanlab"):
        suspicious_labels(data(("A.", "support")), [[1, 0, 0]])
