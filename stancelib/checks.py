"""What is wrong with labelled data, said before anything is trained or measured on them, and what can be used of them.

A finding is an *error* if no model can be made of the data as they are, a *warning* if rows are better left out or
looked at, a *note* if it is good to know. `usable` gives the data without what is better left out.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
import re
import textwrap
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stancelib.data import LabelledData, LeftOut, label_order
from stancelib.duplicates import nearest, normalised, shingles
from stancelib.errors import InputError, MissingExtraError

Severity: TypeAlias = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
Splits: TypeAlias = Mapping[str, LabelledData]

FEW = 10  # rows of a class from which little can be learnt
SHOWN = 3  # places of a finding in the report
WIDTH = 100  # of the report, in characters
MOST_CLASSES = 12  # that the report has a line for


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    Attributes:
        kind: what it is about, one word: ``"duplicates"``, ``"overlap"``, ``"lengths"``, …
        severity: see the module.
        message: what is wrong, and how often.
        what_to_do: what becomes of it by default, and what to do.
        places: where, such as ``"coded.csv, line 12"`` or ``"coded.csv, line 12 = line 40"``.
    """

    kind: str
    severity: Severity
    message: str
    what_to_do: str
    places: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long the texts of a split are; ``cut`` of them are longer than the model reads (None if it is not known)."""

    unit: Literal["tokens", "words"]
    median: int
    p95: int
    longest: int
    cut: int | None


@dataclass(frozen=True)
class DataReport:
    """What `check` found; ``print(report)`` shows it on one screen.

    Attributes:
        rows: of each split, those that were read.
        left_out: of each split, how many rows reading left out.
        classes: of each split, how many rows each label has, in the order of `label_order`.
        lengths: of each split that has rows.
        languages: of each split, ISO 639 code -> number of texts that are surely not English.
        findings: errors first.
        to_leave_out: of each split, index -> why `usable` leaves that row out.
    """

    rows: dict[str, int]
    left_out: dict[str, int]
    classes: dict[str, dict[str, int]]
    lengths: dict[str, Lengths]
    languages: dict[str, dict[str, int]]
    findings: list[Finding]
    to_leave_out: dict[str, dict[int, str]]

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings and notes may be there."""
        return not any(finding.severity == "error" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; of the rows to leave out, their number in each split."""
        values = dataclasses.asdict(self)
        values["to_leave_out"] = {split: len(rows) for split, rows in self.to_leave_out.items()}
        return {"ok": self.ok, **values}

    def __str__(self) -> str:
        return "\n".join([*_overview(self), "", *_summary(self), *_shown(self.findings)])


def check(
    splits: Splits,
    *,
    encode: Callable[[list[str]], Sequence[int]] | None = None,
    max_tokens: int | None = None,
    near_duplicate: float | None = 0.9,
) -> DataReport:
    """Look at labelled data: missing rows, classes, duplicates, overlap of the splits, lengths, languages.

    The splits ``train`` and ``validation`` may be mended by `usable`. Any other split is held out: it stays as it was
    given, so that figures compare with those of others.

    Args:
        splits: name -> data, as from `stancelib.data.read_splits`.
        encode: texts -> the number of tokens of each, special ones included. Without, words are counted.
        max_tokens: what the model reads of a text.
        near_duplicate: the similarity from which two texts are nearly the same, see `near_duplicates`; None to not look
            for them.

    Raises:
        InputError: no splits, or ``near_duplicate`` is not in (0, 1].
        MissingExtraError: near-duplicates are looked for without scipy.
    """
    if not splits:
        raise InputError("there are no splits to check; expected a mapping such as {'train': read_labelled(path)}")
    if near_duplicate is not None and not 0 < near_duplicate <= 1:
        raise InputError(f"near_duplicate={near_duplicate} is not above 0 and at most 1")
    keys = {name: [normalised(text) for text in data.texts] for name, data in splits.items()}
    near = None if near_duplicate is None else _Nearness(keys, near_duplicate)
    out: dict[str, dict[int, str]] = {name: {} for name in splits}
    order = label_order(label for data in splits.values() for label in data.labels)
    counts = {name: Counter(data.labels) for name, data in splits.items()}
    lengths = {name: _lengths(data.texts, encode, max_tokens) for name, data in splits.items() if len(data)}
    foreign, languages_note = _foreign(splits)
    findings = [
        *_left_out(splits),
        *_classes(counts),
        *_alike_labels(counts),
        # What overlaps goes first: a row is left out for one reason, and this one weighs most.
        *_overlaps(splits, keys, near, out),
        *_groups(splits),
        *_duplicates(splits, keys, out),
        *_near(splits, keys, near),
        *_cut(splits, lengths, max_tokens),
        *_languages(splits, foreign),
        *languages_note,
    ]
    return DataReport(
        rows={name: len(data) for name, data in splits.items()},
        left_out={name: len(data.left_out) for name, data in splits.items()},
        classes={name: {label: count[label] for label in order} for name, count in counts.items()},
        lengths={name: found for name, (found, _) in lengths.items()},
        languages={name: dict(Counter(found.values()).most_common()) for name, found in foreign.items()},
        findings=sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)),
        to_leave_out=out,
    )


def usable(splits: Splits, report: DataReport) -> tuple[dict[str, LabelledData], list[LeftOut]]:
    """What can be used of the data, and what is left out.

    Of ``train`` and ``validation``, exact duplicates are kept once, texts with two labels are left out, and so are
    texts that also stand (or nearly so) in a split that is held out; of ``train``, those that stand in ``validation``.

    Args:
        splits: the data that were checked.
        report: what `check` says of them.

    Returns:
        The splits, where ``left_out`` of each has what reading left out and what this does; and all of these in one
        list, as for `stancelib.data.write_left_out`.

    Raises:
        InputError: the report is of other data.
    """
    if report.rows != {name: len(data) for name, data in splits.items()}:
        raise InputError("the report is of other data: the numbers of rows differ; check these splits first")
    kept: dict[str, LabelledData] = {}
    for name, data in splits.items():
        reasons = report.to_leave_out[name]
        left_out = [LeftOut(data.places[i], reason, data.cells[i]) for i, reason in sorted(reasons.items())]
        rest = data.select(i for i in range(len(data)) if i not in reasons)
        kept[name] = dataclasses.replace(rest, left_out=[*data.left_out, *left_out])
    return kept, [row for data in kept.values() for row in data.left_out]


# The checks; each yields its findings, and those that leave rows out write the reasons into ``out``.


def _left_out(splits: Splits) -> Iterator[Finding]:
    rows = {name: data.left_out for name, data in splits.items() if data.left_out}
    if rows:
        reasons = Counter(row.reason for left_out in rows.values() for row in left_out)
        shown = "; ".join(
            f"{count:,} × {textwrap.shorten(why, 60, placeholder='…')}" for why, count in reasons.most_common(3)
        )
        yield Finding(
            "unusable",
            "warning",
            f"{_rows(reasons.total())} can't be used ({_by_split({n: len(r) for n, r in rows.items()})}): {shown}"
            f"{'; …' if len(reasons) > 3 else ''}",
            "they are left out; mend them in the source if they matter",
            [f"{row.place}: {row.reason}" for left_out in rows.values() for row in left_out],
        )


def _classes(counts: Mapping[str, Counter[str]]) -> Iterator[Finding]:
    for name, count in counts.items():
        if len(count) > max(20, count.total() // 3):
            yield Finding(
                "classes",
                "error",
                f"{name} has {len(count):,} different labels in {_rows(count.total())}",
                "is this the label column? Name it, or join labels with a label map",
            )
    train = counts.get("train", Counter())
    if len(train) == 1:
        yield Finding(
            "classes",
            "error",
            f"train has one class only, {next(iter(train))!r}",
            "add rows of another class; nothing can be told apart with one",
        )
    few = {label: count for label, count in train.items() if count < FEW}
    if few and len(train) <= max(20, train.total() // 3):
        yield Finding(
            "classes",
            "warning",
            f"train has fewer than {FEW} rows of {_counted(few)}",
            "code more of them, or join them to another class with a label map; they will hardly be learnt",
        )
    for name, count in counts.items():
        unknown = {label: number for label, number in count.items() if label not in train}
        if train and unknown and name != "train":
            yield Finding(
                "classes",
                "error",
                f"{name} has classes that train has not: {_counted(unknown)}; train has {_listed(train)}",
                "bring both to the same names with a label map, or leave those rows out",
            )


_LIKE_MISSING = frozenset(
    {"nan", "na", "n/a", "#n/a", "null", "none given", "missing", "?", "-", "--", ".", "99", "999"}
)


def _alike_labels(counts: Mapping[str, Counter[str]]) -> Iterator[Finding]:
    total: Counter[str] = sum(counts.values(), Counter())
    pairs = []
    by_size = [label for label, _ in total.most_common()]
    for position, rare in enumerate(by_size):
        for common in by_size[:position]:
            slip = len(rare) > 3 and total[rare] * 10 <= total[common] and not rare[-1].isdigit()
            ratio = difflib.SequenceMatcher(None, rare, common).ratio() if slip else 0.0
            if rare.casefold() == common.casefold() or ratio >= 0.85:
                pairs.append(f"{rare!r} ({total[rare]:,}) and {common!r} ({total[common]:,})")
                break
        if position > 200:  # no labels at all, which `_classes` says
            return
    if pairs:
        yield Finding(
            "labels",
            "warning",
            f"labels that may be one: {'; '.join(pairs[:SHOWN])}{'; …' if len(pairs) > SHOWN else ''}",
            "they count as different classes; join them with a label map if they are one",
        )
    missing = {label: count for label, count in total.items() if label.casefold() in _LIKE_MISSING}
    if missing:
        yield Finding(
            "labels",
            "warning",
            f"labels that look like a missing value: {_counted(missing)}",
            "they count as classes; to leave those rows out, give a label map of the other labels",
        )


def _mendable(name: str) -> bool:
    return name in ("train", "validation")


class _Nearness:
    """The nearest texts of any two splits, whose shingles are made once."""

    def __init__(self, keys: Mapping[str, list[str]], threshold: float) -> None:
        self._keys, self._threshold = keys, threshold
        self._sets = shingles([key for of_split in keys.values() for key in of_split])
        ends = np.cumsum([len(of_split) for of_split in keys.values()])
        self._starts = {name: int(end) - len(keys[name]) for name, end in zip(keys, ends, strict=True)}

    def __call__(self, name: str, other: str | None = None) -> dict[str, tuple[int, float]]:
        """Key of a text of ``name`` -> index and similarity of the nearest in ``other``, or earlier in ``name``.

        Texts with the same key are not looked at.
        """
        keys, theirs = self._keys[name], self._keys[other or name]
        mine = _first_of_each(keys, but=frozenset(theirs if other else ()))
        among = _first_of_each(theirs) if other else mine
        found = nearest(
            self._sets,
            np.array(mine, np.int64) + self._starts[name],
            np.array(among, np.int64) + self._starts[other] if other else None,
            self._threshold,
        )
        return {keys[mine[index]]: (among[at], similarity) for index, at, similarity in found}


def _first_of_each(keys: Sequence[str], but: frozenset[str] = frozenset()) -> list[int]:
    """The index at which each key stands first."""
    first: dict[str, int] = {}
    for index, key in enumerate(keys):
        first.setdefault(key, index)
    return [index for key, index in first.items() if key not in but]


def _overlaps(
    splits: Splits, keys: Mapping[str, list[str]], nearness: _Nearness | None, out: dict[str, dict[int, str]]
) -> Iterator[Finding]:
    names = sorted(splits, key=lambda name: {"train": 0, "validation": 1}.get(name, 2))
    for position, name in enumerate(names):
        for other in names[position + 1 :]:
            yield from _overlap(splits, keys, name, other, nearness, out[name])


def _overlap(
    splits: Splits,
    keys: Mapping[str, list[str]],
    name: str,
    other: str,
    nearness: _Nearness | None,
    out: dict[int, str],
) -> Iterator[Finding]:
    """Rows of the split ``name`` that also stand in ``other``."""
    data, held_out = splits[name], splits[other]
    where = {keys[other][index]: index for index in _first_of_each(keys[other])}
    same = {index: where[key] for index, key in enumerate(keys[name]) if key in where}
    what_to_do = (
        f"those rows of {name} are left out" if _mendable(name) else "both splits are held out and stay as they are"
    )
    if same:
        differ = sum(data.labels[index] != held_out.labels[at] for index, at in same.items())
        yield Finding(
            "overlap",
            "warning" if _mendable(name) else "note",
            f"{_rows(len(same))} of {name} {_stand(len(same))} in {other} too"
            + (f", {differ:,} of them with another label" if differ else ""),
            what_to_do,
            [_together([data.places[index], held_out.places[at]], "=") for index, at in same.items()],
        )
    alike = nearness(name, other) if nearness else {}
    near = {index: alike[key] for index, key in enumerate(keys[name]) if key in alike}
    if near:
        yield Finding(
            "overlap",
            "warning" if _mendable(name) else "note",
            f"{_rows(len(near))} of {name} {_stand(len(near))} in {other} in nearly the same words",
            what_to_do,
            [
                _together([data.places[index], held_out.places[at]], "≈") + f" ({similarity:.2f})"
                for index, (at, similarity) in near.items()
            ],
        )
    if _mendable(name):
        for index, at in same.items():
            out.setdefault(index, f"the same text as {held_out.places[at]} ({other})")
        for index, (at, similarity) in near.items():
            out.setdefault(
                index, f"nearly the same text as {held_out.places[at]} ({other}; similarity {similarity:.2f})"
            )


def _groups(splits: Splits) -> Iterator[Finding]:
    names = list(splits)
    for position, name in enumerate(names):
        for other in names[position + 1 :]:
            mine, theirs = splits[name].groups, splits[other].groups
            shared = sorted(set(mine or ()) & set(theirs or ()))
            if mine is not None and shared:
                yield Finding(
                    "groups",
                    "warning",
                    f"{len(shared):,} {'groups stand' if len(shared) > 1 else 'group stands'} in both {name} and "
                    f"{other}: {_listed(shared)}",
                    "nothing is left out; figures will be better than on groups that the model has not seen",
                    [splits[name].places[mine.index(group)] for group in shared[:SHOWN]],
                )


def _duplicates(splits: Splits, keys: Mapping[str, list[str]], out: dict[str, dict[int, str]]) -> Iterator[Finding]:
    repeated: dict[str, list[list[int]]] = {}
    torn: dict[str, list[list[int]]] = {}
    for name, data in splits.items():
        together = defaultdict(list)
        for index, key in enumerate(keys[name]):
            together[key].append(index)
        for indices in together.values():
            if len(indices) > 1:
                one = len({data.labels[index] for index in indices}) == 1
                (repeated if one else torn).setdefault(name, []).append(indices)
                if _mendable(name):
                    for index in indices[one:]:
                        labels = ", ".join(dict.fromkeys(data.labels[i] for i in indices))
                        why = "the same text as" if one else f"a text with several labels ({labels}), as is"
                        out[name].setdefault(
                            index, f"{why} {data.places[indices[0] if index != indices[0] else indices[1]]}"
                        )
    if torn:
        number = sum(map(len, torn.values()))
        yield Finding(
            "conflicts",
            "warning",
            f"{number:,} {'texts have' if number > 1 else 'text has'} more than one label "
            f"({_by_split({name: sum(map(len, groups)) for name, groups in torn.items()}, 'rows')})",
            f"decide on one label; {_fate(torn, 'until then all of these rows are left out')}",
            [
                _together([f"{splits[name].places[i]} ({splits[name].labels[i]})" for i in indices], "≠")
                for name, groups in torn.items()
                for indices in groups
            ],
        )
    if repeated:
        number = sum(map(len, repeated.values()))
        yield Finding(
            "duplicates",
            "warning",
            f"{number:,} {'texts stand' if number > 1 else 'text stands'} more than once, with one label "
            f"({_by_split({name: sum(map(len, groups)) for name, groups in repeated.items()}, 'rows')})",
            _fate(repeated, "the first of each is kept"),
            [
                _together([splits[name].places[i] for i in indices], "=")
                for name, groups in repeated.items()
                for indices in groups
            ],
        )


def _fate(found: Iterable[str], mended: str) -> str:
    held_out = [name for name in found if not _mendable(name)]
    stays = f"{' and '.join(held_out)} {'stay' if len(held_out) > 1 else 'stays'} as given"
    return "; ".join([*([mended] if any(map(_mendable, found)) else []), *([stays] if held_out else [])])


def _near(splits: Splits, keys: Mapping[str, list[str]], nearness: _Nearness | None) -> Iterator[Finding]:
    places: list[str] = []
    numbers = {}
    for name, data in splits.items():
        found = nearness(name) if nearness else {}
        if found:
            numbers[name] = len(found)
        first = {keys[name][index]: index for index in _first_of_each(keys[name])}
        for key, (other, similarity) in found.items():
            pair = _together([data.places[other], data.places[first[key]]], "≈")
            places.append(f"{pair} ({similarity:.2f})")
    if numbers:
        number = sum(numbers.values())
        yield Finding(
            "near-duplicates",
            "note",
            f"{number:,} {'texts are' if number > 1 else 'text is'} nearly the same as an earlier one "
            f"({_by_split(numbers)})",
            "they are kept; if you split the data yourself, keep them together (a group column), or the test repeats "
            "what was trained on",
            places,
        )


def _lengths(
    texts: list[str], encode: Callable[[list[str]], Sequence[int]] | None, max_tokens: int | None
) -> tuple[Lengths, NDArray[np.int64]]:
    if encode is None:
        counts = np.fromiter((len(text.split()) for text in texts), np.int64, len(texts))
    else:
        parts = (encode(texts[start : start + 1024]) for start in range(0, len(texts), 1024))
        counts = np.fromiter((count for part in parts for count in part), np.int64, len(texts))
    cut = None if encode is None or max_tokens is None else int((counts > max_tokens).sum())
    median, p95 = (round(float(value)) for value in np.percentile(counts, [50, 95]))
    return Lengths("words" if encode is None else "tokens", median, p95, int(counts.max()), cut), counts


def _cut(
    splits: Splits, lengths: Mapping[str, tuple[Lengths, NDArray[np.int64]]], max_tokens: int | None
) -> Iterator[Finding]:
    cut = {name: found.cut for name, (found, _) in lengths.items() if found.cut}
    if cut and max_tokens is not None:
        number, rows = sum(cut.values()), sum(len(splits[name]) for name in lengths)
        yield Finding(
            "lengths",
            "warning" if number > 0.05 * rows else "note",
            f"{number:,} of {_rows(rows)} ({number / rows:.1%}) are longer than {max_tokens} tokens ({_by_split(cut)})",
            "only their beginning counts; if the stance often comes later, split such texts into sentences",
            [
                f"{splits[name].places[i]} ({lengths[name][1][i]:,} tokens)"
                for name in cut
                for i in np.argsort(-lengths[name][1], kind="stable")[: cut[name]]
            ],
        )


# Two of these make a text English for sure and spare the slower look; they are common in no other large language.
_ENGLISH = frozenset(
    ("the", "and", "that", "with", "this", "from", "they", "not", "would", "should", "which", "their", "our", "been")
)
_WORD = re.compile(r"[a-z]+")
_READ = 300  # characters of a text that tell its language
# Of 13,437 English texts (our corpus and real sentences), none is below; of 26 short ones in 19 other languages, all
# but three are. A text without features has the same probability for each of 140 languages, hence the second bound.
_ENGLISH_BELOW, _OTHER_FROM = 0.01, 0.1


def _foreign(splits: Splits) -> tuple[dict[str, dict[int, str]], list[Finding]]:
    """Of each split, index -> language of the texts that are surely not English; and a note if that is not known."""
    unsure = {name: [i for i, text in enumerate(data.texts) if not _english(text)] for name, data in splits.items()}
    if not any(unsure.values()):
        return {name: {} for name in splits}, []
    identify = _identifier()
    if identify is None:
        note = "the languages of the texts were not looked at: py3langid is not installed"
        return {}, [Finding("languages", "note", note, 'pip install "stancelib[train]", if texts may not be English')]
    found: dict[str, dict[int, str]] = {}
    for name, indices in unsure.items():
        languages = ((index, identify(splits[name].texts[index][:_READ])) for index in indices)
        found[name] = {index: language for index, language in languages if language is not None}
    return found, []


def _english(text: str) -> bool:
    """Whether ``text`` is English at a glance, or has too few words to be told from it."""
    words = _WORD.findall(text[:_READ].lower())
    return len(_ENGLISH.intersection(words)) > 1 or (len(words) < 3 and text.isascii())


@functools.cache
def _identifier() -> Callable[[str], str | None] | None:
    """Tells the language of a text that is surely not English (None: it may be), by langid (Lui & Baldwin 2012)."""
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        return None
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

    def identify(text: str) -> str | None:
        ranked = identifier.rank(text)
        language, probability = ranked[0]
        return language if dict(ranked)["en"] < _ENGLISH_BELOW and probability >= _OTHER_FROM else None

    return identify


def _languages(splits: Splits, foreign: Mapping[str, Mapping[int, str]]) -> Iterator[Finding]:
    number = sum(map(len, foreign.values()))
    if number:
        languages = Counter(language for found in foreign.values() for language in found.values())
        yield Finding(
            "languages",
            "warning",
            f"{number:,} {'texts are' if number > 1 else 'text is'} not English: "
            + ", ".join(f"{count:,} {language}" for language, count in languages.most_common(5))
            + ("; …" if len(languages) > 5 else ""),
            "they are kept; our models read English alone: leave them out, or translate them, or start from a "
            "multilingual --base",
            [
                f"{splits[name].places[i]} ({language})"
                for name, found in foreign.items()
                for i, language in found.items()
            ],
        )


# Labels that a model doubts.


@dataclass(frozen=True, slots=True)
class SuspiciousLabel:
    """A row whose label is probably wrong, the label that is likelier, and the quality of its own, from 0 to 1."""

    index: int
    place: str
    text: str
    label: str
    likely: str
    quality: float


def suspicious_labels(
    data: LabelledData, probabilities: ArrayLike, labels: Sequence[str] | None = None
) -> list[SuspiciousLabel]:
    """Rows whose label is probably wrong, the worst first, by confident learning (Northcutt et al. 2021; cleanlab).

    Args:
        data: the rows.
        probabilities: shape (n rows, n labels), each row from a model that was not trained on it (out of fold).
        labels: the order of the columns, by default `label_order` of the data's labels.

    Raises:
        InputError: the shapes do not fit, a label has no column, or the probabilities are no probabilities.
        MissingExtraError: cleanlab is not installed.
    """
    order = tuple(labels) if labels is not None else label_order(data.labels)
    matrix = np.asarray(probabilities, dtype=np.float64)
    if matrix.shape != (len(data), len(order)):
        raise InputError(
            f"probabilities have the shape {matrix.shape}; expected {(len(data), len(order))}: rows, labels"
        )
    if not len(data):
        return []
    if not (np.isfinite(matrix).all() and (matrix >= 0).all() and np.allclose(matrix.sum(axis=1), 1, atol=0.01)):
        raise InputError("probabilities must be finite, not below 0, and sum to 1 in each row")
    unknown = sorted(set(data.labels) - set(order))
    if unknown:
        raise InputError(f"no column holds the probability of {_listed(unknown)}; the columns are {_listed(order)}")
    try:
        from cleanlab.filter import find_label_issues
        from cleanlab.rank import get_label_quality_scores
    except ImportError:
        raise MissingExtraError("looking for suspicious labels", "cleanlab", "train") from None
    # cleanlab takes no column of a class that no row has.
    present = [column for column, label in enumerate(order) if label in set(data.labels)]
    if len(present) < 2:
        return []
    matrix = matrix[:, present] + 1e-12
    matrix /= matrix.sum(axis=1, keepdims=True)
    names = [order[column] for column in present]
    given = np.array([names.index(label) for label in data.labels])
    quality = get_label_quality_scores(given, matrix)
    issues = find_label_issues(given, matrix, return_indices_ranked_by="self_confidence", n_jobs=1)
    return [
        SuspiciousLabel(
            int(i), data.places[i], data.texts[i], data.labels[i], names[int(matrix[i].argmax())], float(quality[i])
        )
        for i in issues
    ]


def suspicious_finding(found: Sequence[SuspiciousLabel], rows: int) -> Finding:
    """What `suspicious_labels` found among so many ``rows``, as a finding for a report."""
    return Finding(
        "suspicious",
        "warning" if found else "note",
        f"{len(found):,} of {_rows(rows)} ({len(found) / max(rows, 1):.1%}) have a label that is probably wrong",
        "they are kept; look at them, the worst first" if found else "nothing to do",
        [f"{row.place} ({row.label}, likelier {row.likely}): {textwrap.shorten(row.text, 60)}" for row in found],
    )


# How things are said.


def _rows(number: int) -> str:
    return f"{number:,} row{'s' if number != 1 else ''}"


def _stand(number: int) -> str:
    return "stand" if number != 1 else "stands"


def _by_split(numbers: Mapping[str, int], unit: str = "") -> str:
    return ", ".join(f"{number:,}{unit and ' ' + unit} in {name}" for name, number in numbers.items())


def _counted(labels: Mapping[str, int]) -> str:
    shown = [f"{label!r} ({count:,})" for label, count in sorted(labels.items(), key=lambda item: -item[1])]
    return ", ".join(shown[:5]) + (f" and {len(shown) - 5:,} more" if len(shown) > 5 else "")


def _listed(names: Iterable[str]) -> str:
    shown = [repr(name) for name in names]
    return ", ".join(shown[:5]) + (f" and {len(shown) - 5:,} more" if len(shown) > 5 else "")


def _together(places: Sequence[str], sign: str) -> str:
    """Places of one source, named once: ``coded.csv, line 12 = line 40``."""
    source, comma, _ = places[0].rpartition(", ")
    rest = [place.removeprefix(source + comma) for place in places[1:4]] if comma else list(places[1:4])
    return f" {sign} ".join([places[0], *rest, *["…"][: len(places) > 4]])


def _overview(report: DataReport) -> list[str]:
    """A table, a split a column."""
    names = list(report.rows)
    labels = sorted({label for counts in report.classes.values() for label in counts}, key=_position(report))
    shown = labels
    if len(labels) > MOST_CLASSES:
        largest = sorted(labels, key=lambda label: -sum(counts[label] for counts in report.classes.values()))
        shown = [label for label in labels if label in set(largest[: MOST_CLASSES - 1])]
    table = [("", names), ("rows", [f"{report.rows[name]:,}" for name in names])]
    if any(report.left_out.values()):
        table.append(("can't be used", [f"{report.left_out[name]:,}" for name in names]))
    for label in shown:
        table.append(
            (f"  {textwrap.shorten(label, 28, placeholder='…')}", [_share(report, name, [label]) for name in names])
        )
    if len(shown) < len(labels):
        others = [label for label in labels if label not in shown]
        table.append((f"  {len(others):,} more labels", [_share(report, name, others) for name in names]))
    if report.lengths:
        unit = next(iter(report.lengths.values())).unit
        lengths = [report.lengths.get(name) for name in names]
        table.append((f"{unit}: median", [f"{found.median:,}" if found else "" for found in lengths]))
        table.append(("  95 % have at most", [f"{found.p95:,}" if found else "" for found in lengths]))
        table.append(("  longest", [f"{found.longest:,}" if found else "" for found in lengths]))
        if any(found is not None and found.cut is not None for found in lengths):
            table.append(
                ("  will be cut", [f"{found.cut:,}" if found and found.cut is not None else "" for found in lengths])
            )
    first = max(len(title) for title, _ in table)
    widths = [max(len(cells[column]) for _, cells in table) for column in range(len(names))]
    return [
        "  ".join(
            [title.ljust(first), *(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))]
        ).rstrip()
        for title, cells in table
    ]


def _position(report: DataReport) -> Callable[[str], int]:
    order = list(dict.fromkeys(label for counts in report.classes.values() for label in counts))
    return order.index


def _share(report: DataReport, name: str, labels: Sequence[str]) -> str:
    number = sum(report.classes[name][label] for label in labels)
    return f"{number:,} {math.floor(100 * number / max(report.rows[name], 1) + 0.5):3d}%"


def _summary(report: DataReport) -> list[str]:
    counts = Counter(finding.severity for finding in report.findings)
    if not counts:
        return ["Nothing was found wrong."]
    said = [f"{counts[kind]} {kind}{'s' if counts[kind] > 1 else ''}" for kind in SEVERITIES if counts[kind]]
    number = sum(map(len, report.to_leave_out.values()))
    return [", ".join(said) + (f"; {_rows(number)} that were read are better left out" if number else "")]


def _shown(findings: Sequence[Finding]) -> Iterator[str]:
    for finding in findings:
        margin = " " * 9
        yield from textwrap.wrap(
            finding.message, WIDTH, initial_indent=finding.severity.ljust(9), subsequent_indent=margin
        )
        yield from textwrap.wrap(
            finding.what_to_do, WIDTH, initial_indent=f"{margin}→ ", subsequent_indent=f"{margin}  "
        )
        if finding.places:
            places = [textwrap.shorten(place, WIDTH - 11, placeholder="…") for place in finding.places[:SHOWN]]
            more = [f"and {len(finding.places) - SHOWN:,} more"] if len(finding.places) > SHOWN else []
            yield from textwrap.wrap(
                "; ".join([*places, *more]), WIDTH, initial_indent=f"{margin}· ", subsequent_indent=f"{margin}  "
            )
