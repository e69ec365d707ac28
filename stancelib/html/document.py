"""A document to look at: its text shaded by stance, and beside it who holds what, with the sentences that say so."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from stancelib.document import Document, Evidence, HolderStance, Sentence
from stancelib.html import graphics
from stancelib.html.markup import LOOKS, asset, clean, escape, level, look, page, plural, signed, unseen
from stancelib.labels import LABELS
from stancelib.prediction import ABSTAINED

NOTE = (
    "Coded by a machine: a statistical model labelled the sentences and found the holders, and rules joined their "
    "mentions. The confidences are its own. It errs, so read the evidence before you rely on it."
)
_COUNTED = {"support": "for", "oppose": "against", "mixed": "on both sides", "neutral": "undecided"}
_SENTENCE = {"support": "Supports", "oppose": "Opposes", "neutral": "Takes no position", ABSTAINED: "Unsure"}
_BLANK_LINE = re.compile(r"(\n[^\S\n]*\n\s*)")
_NEW_LINE = re.compile(r"(\n\s*)")
_ENDED = re.compile(r"[.!?…:;,\"”’»)\]]$")
_HEADING = 80  # the longest paragraph without a full stop that is set as a heading


def document_page(document: Document, title: str | None) -> str:
    """One self-contained HTML page of ``document``, headed ``title``."""
    view = _View(document, "", title)
    name = title or "Untitled text"
    date = f" · {escape(document.date)}" if document.date else ""
    body = (
        '<a class="skip" href="#text">Skip to the text</a>\n<main class="frame">\n'
        f'<header><p class="kicker">Who holds what{date}</p>\n<h1>{escape(name)}</h1>\n{view.summary()}</header>\n'
        f'<div class="columns">\n<section class="map" aria-label="Stance map">\n{view.stance_map("h2")}</section>\n'
        f'<section class="reading" id="text" aria-label="Text">\n{view.legend()}\n{view.article()}\n</section>\n'
        f'</div>\n<footer class="note">{NOTE}</footer>\n</main>'
    )
    return page(f"{name} · stance map", body, view.highlights())


def document_fragment(document: Document) -> str:
    """The same for a notebook: HTML to put into a page, with its own styles, no script and ids that don't clash.

    It has no headings, which notebooks would list among the reader's own.
    """
    # A notebook keeps what earlier sessions put out: neither a counter nor a hash of the text would be unique.
    view = _View(document, f"st{secrets.token_hex(4)}-", document.title)
    title = f'<div class="title">{escape(document.title)}</div>\n' if document.title else ""
    return (
        f'<div class="stancelib"><style>{asset("page.css")}{view.highlights()}</style>\n<div class="frame">\n'
        f'{title}{view.summary()}\n<div class="columns">\n<div class="map">{view.stance_map("div")}</div>\n'
        f'<div class="reading">\n{view.legend()}\n'
        f'<div class="window" role="region" aria-label="Text" tabindex="0">{view.article()}</div>\n</div>\n</div>\n'
        f'<div class="note">{NOTE}</div>\n</div></div>'
    )


@dataclass(frozen=True, slots=True)
class _Placed:
    """A sentence and where it is shown: within its own offsets, but never on top of the one before."""

    index: int
    sentence: Sentence
    start: int
    end: int


class _View:
    """The parts of a page about one document.

    Args:
        document: what to show.
        prefix: what all ids begin with.
        title: the name above the text, which is not to be repeated as plain text.
    """

    def __init__(self, document: Document, prefix: str, title: str | None) -> None:
        self.document = document
        self.prefix = prefix
        self.title = clean(title or "").strip()
        self.text = clean(document.text)
        self.holders = [*document.holders, *([document.author] if document.author else [])]
        # Sentence and offsets of a mention -> the number of its holder, from 1.
        self.mentions = {
            (evidence.sentence, evidence.start, evidence.end): number
            for number, holder in enumerate(self.holders, 1)
            for evidence in holder.evidence
        }

    def summary(self) -> str:
        """How the holders stand to each other in a sentence, a scale and a ribbon."""
        balance, sentences = self.document.balance, self.document.sentences
        numbers = {stance: getattr(balance, stance) for stance in LOOKS}
        total = sum(numbers.values())
        parts = [look(stance, f"{number} {_COUNTED[stance]}") for stance, number in numbers.items() if number]
        told = (
            f"{total} {'takes' if total == 1 else 'take'} a position on the deployment: {', '.join(parts)}."
            if total
            else "Nobody in this text takes a position on the deployment."
        )
        figures = []
        if balance.score is not None and balance.low is not None and balance.high is not None:
            figures.append(
                f'<div class="figure">{graphics.scale(balance)}<div class="ends" aria-hidden="true">'
                "<span>all against</span><span>all for</span></div>"
                f'<p class="caption"><b>Balance {signed(balance.score)}</b> (95 % interval {signed(balance.low)} to '
                f"{signed(balance.high)}): those for less those against, each by its confidence, as a share.</p></div>"
            )
        if sentences:
            labels = [sentence.prediction.label for sentence in sentences]
            counts = [f"{labels.count('support')} support", f"{labels.count('oppose')} oppose"]
            counts += [f"{labels.count('neutral')} take no position"]
            counts += [f"{labels.count(None)} unsure"] if None in labels else []
            figures.append(
                f'<div class="figure">{graphics.ribbon(sentences, self.prefix)}<p class="caption">'
                f"<b>{plural(len(sentences), 'sentence')}</b>, one bar each, in order: {', '.join(counts)}. "
                "A longer bar is a surer one.</p></div>"
            )
        return f'<p class="standfirst">{told}</p>\n<div class="figures">{"".join(figures)}</div>\n'

    def stance_map(self, heading: str) -> str:
        """Holders grouped by stance; each opens to its evidence. ``heading`` is the element of the groups' names."""
        author = self.document.author
        groups = []
        for stance in LOOKS:
            members = [
                (number, holder)
                for number, holder in enumerate(self.holders, 1)
                if holder.stance == stance and holder is not author
            ]
            if members:
                title = look(stance, f'{LOOKS[stance].noun} <span class="count">{len(members)}</span>')
                groups.append(self._group(heading, title, members))
        if author is not None:
            groups.append(self._group(heading, "The text’s own voice", [(len(self.holders), author)]))
        return "\n".join(groups) or '<p class="caption">Nobody to list.</p>\n'

    def _group(self, heading: str, title: str, members: list[tuple[int, HolderStance]]) -> str:
        items = "\n".join(f"<li>{self._holder(number, holder)}</li>" for number, holder in members)
        return f'<{heading} class="group">{title}</{heading}>\n<ul class="holders">\n{items}\n</ul>\n'

    def _holder(self, number: int, holder: HolderStance) -> str:
        evidence = "\n".join(map(self._evidence, holder.evidence))
        others = [alias for alias in holder.aliases if alias != holder.name]
        also = ", ".join(f"<q>{escape(alias)}</q>" for alias in others)
        return (
            f'<details class="holder {holder.stance}" id="{self.prefix}h{number}"><summary>'
            f'<span class="name">{_name(holder)}</span> <span class="sure">{unseen(", confidence ")}'
            f"{graphics.meter(holder.confidence)} {holder.confidence:.2f}{unseen(', ')}</span> "
            f'<span class="about">{_about(holder)}</span> '
            f'<span class="times">{plural(holder.sentence_count, "sentence")}</span></summary>\n'
            f'<ol class="evidence">\n{evidence}\n</ol>\n{f"<p class=also>Named {also}</p>" if also else ""}</details>'
        )

    def _evidence(self, evidence: Evidence) -> str:
        known = 0 <= evidence.sentence < len(self.document.sentences)
        start = evidence.start - self.document.sentences[evidence.sentence].start if known else 0
        end = start + evidence.end - evidence.start
        quote = clean(evidence.text)
        if 0 <= start < end <= len(quote):
            words = f"{escape(quote[:start])}<b>{escape(quote[start:end])}</b>{escape(quote[end:])}"
        else:
            words = escape(quote)
        said = f"{look(evidence.stance, unseen(LOOKS[evidence.stance].verb))} <span class=words>{words}</span>"
        link = f'<a href="#{self.prefix}s{evidence.sentence + 1}">{said}</a>' if known else said
        return f'<li>{link} <span class="figure-small">{evidence.confidence:.2f}</span></li>'

    def legend(self) -> str:
        """What shades and lines mean."""
        labels = {sentence.prediction.label for sentence in self.document.sentences}
        shades = "".join(f'<mark class="s {label} c3">{_SENTENCE[label].lower()}</mark> ' for label in LABELS[:2])
        shades += '<span class="s unsure">model unsure</span> ' if None in labels else ""
        lines = " ".join(f'<span class="h {label}">{LOOKS[label].verb}</span>' for label in LABELS)
        return (
            f'<div class="legend"><p><b>Sentence</b> {shades}<span>{graphics.swatches()} from under '
            f"0.60 to over 0.90 sure</span></p><p><b>Holder</b> {lines}</p></div>"
        )

    def article(self) -> str:
        """The text, whole and in order; what shades it never changes its characters."""
        wrapped = " wrapped" if any("\n" in clean(s.text) for s in self.document.sentences) else ""
        return f'<div class="article{wrapped}">{"".join(self._paragraphs())}</div>'

    def highlights(self) -> str:
        """CSS that lights up, in the text, the mentions of a holder that is open in the map (on paper all are open)."""
        selectors = [
            f".stancelib:has(#{self.prefix}h{number}[open]) .{self.prefix}h{number}"
            for number in range(1, len(self.holders) + 1)
        ]
        lit = "outline:2px solid var(--hue);outline-offset:1px"
        return f"@media screen{{{','.join(selectors)}{{{lit}}}}}" if selectors else ""

    def _placed(self) -> Iterator[_Placed]:
        shown, length = 0, len(self.text)
        order = sorted(enumerate(self.document.sentences), key=lambda pair: (pair[1].start, pair[1].end))
        for index, sentence in order:
            start = min(max(sentence.start, shown), length)
            shown = min(max(sentence.end, start), length)
            yield _Placed(index, sentence, start, shown)

    def _paragraphs(self) -> Iterator[str]:
        """Paragraphs as HTML, and the white space between them.

        They end at blank lines between sentences; in a text that has none, at every line end between sentences.
        """
        breaks = _BLANK_LINE if _BLANK_LINE.search(self.text) else _NEW_LINE
        paragraph: list[str] = []
        start = at = 0
        for placed in [*self._placed(), None]:
            gap = self.text[at : placed.start if placed else len(self.text)]
            for part, piece in enumerate(breaks.split(gap)):
                if part % 2:
                    yield self._paragraph(paragraph, self.text[start:at])
                    yield escape(piece)
                    paragraph = []
                    start = at + len(piece)
                elif piece.isspace() and not paragraph:
                    yield escape(piece)
                    start = at + len(piece)
                elif piece:
                    paragraph.append(escape(piece))
                at += len(piece)
            if placed:
                paragraph.append(self._sentence(placed))
                at = placed.end
        yield self._paragraph(paragraph, self.text[start:])

    def _paragraph(self, content: list[str], text: str) -> str:
        plain = text.strip()
        if not plain:
            return "".join(content)
        heading = "\n" not in plain and len(plain) <= _HEADING and not _ENDED.search(plain)
        return f"<p{' class=heading' if heading or plain == self.title else ''}>{''.join(content)}</p>"

    def _sentence(self, placed: _Placed) -> str:
        prediction = placed.sentence.prediction
        told = [f"{_SENTENCE[prediction.label or ABSTAINED]}, {prediction.confidence:.2f}"]
        told += ["longer than the model reads: only its beginning counted"] if prediction.truncated else []
        classes = [f"s {prediction.label or 'unsure'} {level(prediction.confidence)}"]
        pieces, at = [], placed.start
        for holder in sorted(placed.sentence.holders, key=lambda holder: (holder.start, holder.end)):
            number = self.mentions.get((placed.index, holder.start, holder.end))
            name = _plain_name(self.holders[number - 1]) if number else holder.text
            what = f"{name} {LOOKS[holder.stance].verb}, {holder.confidence:.2f}"
            # The author is no words of the text, and spans that cross make no sound markup: both are only told of.
            if holder.start < at or not holder.start < holder.end <= placed.end:
                told.append(what)
                classes += [f"{self.prefix}h{number}"] if number else []
                continue
            pieces.append(escape(self.text[at : holder.start]))
            words, at = escape(self.text[holder.start : holder.end]), holder.end
            seen = f'class="h {holder.stance}{f" {self.prefix}h{number}" if number else ""}" title="{escape(what)}"'
            pieces.append(
                f'<a href="#{self.prefix}h{number}" {seen}>{words}</a>' if number else f"<u {seen}>{words}</u>"
            )
        pieces.append(escape(self.text[at : placed.end]))
        tag = "mark" if prediction.label in ("support", "oppose") else "span"
        return (
            f'<{tag} class="{" ".join(classes)}" id="{self.prefix}s{placed.index + 1}" '
            f'title="{escape("; ".join(told))}">{"".join(pieces)}</{tag}>'
        )


def _plain_name(holder: HolderStance) -> str:
    return holder.name or "The author"


def _name(holder: HolderStance) -> str:
    """As HTML; a pronoun that may mean several in quotation marks."""
    name = escape(_plain_name(holder))
    return f"<q>{name}</q>" if holder.kind == "unsure" else name


def _about(holder: HolderStance) -> str:
    """Title and country as HTML, if they say more than the name; the stance of the author, who is in no group."""
    if not holder.name:
        return look(holder.stance, LOOKS[holder.stance].verb)
    if holder.kind == "unsure":
        return "whom it means is not plain"
    known = [holder.title or "", holder.country or ""]
    words = ", ".join(word for word in known if word and word != holder.name)
    return escape(words[:1].upper() + words[1:])
