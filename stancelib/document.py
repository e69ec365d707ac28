"""Documents: sentences with offsets, and who holds what in the whole text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from stancelib.errors import MissingExtraError
from stancelib.holders import Holder
from stancelib.labels import LABELS, Label
from stancelib.merging import AUTHOR, Group, merge
from stancelib.names import country
from stancelib.prediction import Prediction

if TYPE_CHECKING:
    import pandas

Stance: TypeAlias = Literal["support", "oppose", "neutral", "mixed"]

# A holder is "mixed" if the weaker of support and oppose has at least this share of the evidence for the two.
MIXED = 0.35
_BETWEEN = re.compile(r"\s*[,;&]\s*(?:(?:and|or|nor)\s+)?|\s+(?:and|or|nor)\s+")
RESAMPLES = 2000
SEED = 1


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence, heading or list item of a document.

    Attributes:
        text: its words, ``document.text[start:end]``.
        start, end: offsets into the document, in characters.
        prediction: the stance that it conveys.
        holders: those of ``prediction``, with offsets into the *document*; the author's are both ``start``.
    """

    text: str
    start: int
    end: int
    prediction: Prediction = field(repr=False)
    holders: tuple[Holder, ...] = field(repr=False, default=())

    def __str__(self) -> str:
        return str(self.prediction)


@dataclass(frozen=True, slots=True)
class Evidence:
    """A sentence that gives a holder's position: its index, the words that name the holder there, and the stance."""

    sentence: int
    mention: str
    start: int
    end: int
    stance: Label
    confidence: float
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class HolderStance:
    """Where somebody stands in a document.

    Attributes:
        name: the fullest name that the text has; the country's for a government; ``""`` for the author.
        stance: ``"support"``, ``"oppose"``, ``"neutral"`` (explicitly undecided) or ``"mixed"`` (``evidence`` has both
            sides).
        confidence: the probability of ``stance``, 0 to 1, averaged over the evidence; of a mixed one, that of the
            weaker side.
        evidence: the sentences that give the position, in order.
        kind: ``"person"``, ``"country"``, ``"group"`` (party, institution, people …), ``"author"``, or ``"unsure"``: a
            pronoun, surname or title that may mean several.
        title, country: as the text gives them, else None.
        aliases: the words that name the holder, each once.
    """

    name: str
    stance: Stance
    confidence: float
    evidence: tuple[Evidence, ...] = field(repr=False)
    kind: str = "group"
    title: str | None = None
    country: str | None = None
    aliases: tuple[str, ...] = ()

    @property
    def sentence_count(self) -> int:
        """How many sentences the evidence is; one may name a holder twice."""
        return len({evidence.sentence for evidence in self.evidence})

    def __str__(self) -> str:
        count = f"{self.sentence_count} sentence{'s' if self.sentence_count > 1 else ''}"
        shown = max(self.evidence, key=lambda evidence: evidence.confidence).text
        shown = shown if len(shown) <= 60 else shown[:59] + "…"
        return f"{self.name or '(the author)'}  {self.stance}  {self.confidence:.2f}  {count}  “{shown}”"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Balance:
    """How a document's holders stand to each other.

    Attributes:
        support, oppose, neutral, mixed: how many holders take each stance.
        score: the mean over the holders of 1 (supports), -1 (opposes) or 0 (mixed, undecided), each times its
            confidence: from -1 (all surely oppose) to 1. None without holders.
        low, high: 95 % of the score, when each holder's stance is drawn by its probability and the holders are
            resampled (2,000 draws, seeded). None without holders.
    """

    support: int
    oppose: int
    neutral: int
    mixed: int
    score: float | None
    low: float | None
    high: float | None

    def __str__(self) -> str:
        counts = f"{self.support} support, {self.oppose} oppose, {self.neutral} undecided, {self.mixed} mixed"
        if self.score is None:
            return "nobody takes a position"
        return f"{counts}; balance {self.score:+.2f} ({self.low:+.2f} to {self.high:+.2f})"


@dataclass(frozen=True)
class Document:
    """A text read whole: make one with `stancelib.analyze`.

    Attributes:
        text: as it was passed in.
        sentences: in order; ``text[s.start:s.end] == s.text`` for each, and for each of its holders.
        holders: everybody but the author whose position the text gives, those with the most evidence first.
        author: the position that the text takes in its own voice, or None.
        balance: how the holders stand to each other.
        title, date: what the caller said that the text is called, and of when it is; or None.
    """

    text: str = field(repr=False)
    sentences: tuple[Sentence, ...] = field(repr=False)
    holders: tuple[HolderStance, ...]
    author: HolderStance | None
    balance: Balance
    title: str | None = None
    date: str | None = None

    def __str__(self) -> str:
        lines = [self.title] if self.title else []
        lines += [str(self.balance), *map(str, self.holders)]
        return "\n".join(lines + ([str(self.author)] if self.author else []))

    def __iter__(self) -> Iterator[Sentence]:
        return iter(self.sentences)

    def __len__(self) -> int:
        return len(self.sentences)

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain values, ready for JSON."""
        return asdict(self)

    def to_json(self) -> str:
        """All fields as one line of JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    def to_frame(self) -> pandas.DataFrame:
        """A pandas frame, a row a holder (name, stance, confidence, sentences, kind, title, country, evidence)."""
        return frame("to_frame", holder_rows(self), HOLDER_COLUMNS)

    def to_html(self) -> str:
        """One self-contained page: the text shaded by stance, the holders underlined, the stance map beside it."""
        from stancelib.html import document_page

        return document_page(self, self.title)

    def _repr_html_(self) -> str:
        from stancelib.html import document_fragment

        return document_fragment(self)


HOLDER_COLUMNS = ("holder", "stance", "confidence", "sentences", "kind", "title", "country", "aliases", "evidence")


def frame(asked: str, rows: Iterable[dict[str, Any]], columns: Iterable[str]) -> pandas.DataFrame:
    """Rows as a pandas frame; as its strings are UTF-8, lone surrogates become U+FFFD.

    Raises:
        MissingExtraError: pandas, which ``asked`` needs, is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise MissingExtraError(asked, "pandas", "frames") from None
    readable = [{name: _without_surrogates(value) for name, value in row.items()} for row in rows]
    return pandas.DataFrame(readable, columns=list(columns))


def _without_surrogates(value: Any) -> Any:
    if not isinstance(value, str) or value.isascii():
        return value
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def holder_rows(document: Document) -> list[dict[str, Any]]:
    """A row for each holder of ``document``, the author (``holder`` is ``""``) last; keys as in `HOLDER_COLUMNS`."""
    return [
        {
            "holder": holder.name,
            "stance": holder.stance,
            "confidence": round(holder.confidence, 4),
            "sentences": holder.sentence_count,
            "kind": holder.kind,
            "title": holder.title,
            "country": holder.country,
            "aliases": " | ".join(holder.aliases),
            "evidence": " | ".join(dict.fromkeys(evidence.text for evidence in holder.evidence)),
        }
        for holder in (*document.holders, *([document.author] if document.author else []))
    ]


def build(
    text: str,
    spans: Sequence[tuple[int, int]],
    predictions: Sequence[Prediction],
    title: str | None = None,
    date: str | None = None,
) -> Document:
    """The document of a text whose sentences, at ``spans``, have these predictions."""
    sentences = []
    for (start, end), prediction in zip(spans, predictions, strict=True):
        moved = tuple(
            replace(one, start=one.start + start, end=one.end + start)
            for holder in prediction.holders
            for one in _one_by_one(holder)
        )
        sentences.append(Sentence(text[start:end], start, end, prediction, moved))
    found = [(index, holder) for index, sentence in enumerate(sentences) for holder in sentence.holders]
    stances = [_stance(group, found, sentences) for group in merge(text, spans, found)]
    holders = sorted((stance for stance in stances if stance.kind != AUTHOR), key=lambda stance: -len(stance.evidence))
    author = next((stance for stance in stances if stance.kind == AUTHOR), None)
    return Document(text, tuple(sentences), tuple(holders), author, balance(holders), title, date)


def _one_by_one(holder: Holder) -> Iterator[Holder]:
    """A holder, or each of them where the words list countries (``Sweden, Spain and Italy``)."""
    words = [word for word in _BETWEEN.split(holder.text) if word]
    if len(words) < 2 or country(holder.text) or not all(map(country, words)):
        yield holder
        return
    position = 0
    for word in words:
        position = holder.text.index(word, position)
        start = holder.start + position
        yield replace(holder, text=word, start=start, end=start + len(word))
        position += len(word)


def _stance(group: Group, found: Sequence[tuple[int, Holder]], sentences: Sequence[Sentence]) -> HolderStance:
    evidence = tuple(
        Evidence(index, holder.text, holder.start, holder.end, holder.stance, holder.confidence, sentences[index].text)
        for index, holder in (found[member] for member in group.members)
    )
    weights = {label: sum(e.confidence for e in evidence if e.stance == label) for label in LABELS}
    sides: tuple[Label, Label] = (
        ("support", "oppose") if weights["support"] < weights["oppose"] else ("oppose", "support")
    )
    weaker, stronger = (weights[side] for side in sides)
    stance: Stance
    if weaker > 0 and weaker / (weaker + stronger) >= MIXED:
        side, stance = sides[0], "mixed"
    else:
        # Undecided only where no side is ever taken.
        side = stance = sides[1] if stronger else "neutral"
    told = [e.confidence for e in evidence if e.stance == side]
    return HolderStance(
        name=group.name,
        stance=stance,
        confidence=float(np.mean(told)),
        evidence=evidence,
        kind=group.kind,
        title=group.title,
        country=group.country,
        aliases=tuple(dict.fromkeys(e.mention for e in evidence if e.mention)),
    )


def balance(holders: Sequence[HolderStance]) -> Balance:
    """Counts, score and interval of a set of holders; see `Balance`."""
    counts = {stance: sum(holder.stance == stance for holder in holders) for stance in (*LABELS, "mixed")}
    if not holders:
        return Balance(**counts, score=None, low=None, high=None)
    sign = np.array([{"support": 1, "oppose": -1}.get(holder.stance, 0) for holder in holders])
    certain = np.array([holder.confidence for holder in holders])
    random = np.random.default_rng(SEED)
    drawn = random.integers(len(holders), size=(RESAMPLES, len(holders)))
    taken = random.random(drawn.shape) < certain[drawn]
    scores = (sign[drawn] * taken).mean(axis=1)
    low, high = np.percentile(scores, [2.5, 97.5])
    return Balance(**counts, score=float((sign * certain).mean()), low=float(low), high=float(high))
