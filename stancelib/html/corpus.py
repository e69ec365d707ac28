"""A corpus to look at: when which stances were taken, by whom in which document, and how each document stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from stancelib.corpus import Period, period_of
from stancelib.document import Document, HolderStance, Stance
from stancelib.html import graphics
from stancelib.html.document import NOTE
from stancelib.html.graphics import Column
from stancelib.html.markup import LOOKS, escape, level, look, page, plural, signed

# What a reader can take in, and a browser lay out; the tables of `stancelib.corpus` have everything.
MATRIX_HOLDERS, MATRIX_DOCUMENTS, LISTED = 50, 50, 1000
# The time axis has days if it is no longer than this, else months if it is no longer than that, else years.
DAYS, MONTHS = 62, 60


@dataclass(frozen=True, slots=True)
class _Entry:
    """A document, its number on the page, its name, and the date that was given for it, if it is one."""

    number: int
    document: Document
    name: str
    date: str | None


def corpus_page(
    documents: Sequence[Document], dates: Sequence[str | None] | None = None, title: str | None = None
) -> str:
    """One self-contained HTML page about many documents.

    Args:
        documents: shown in the order of their dates, those without one last; in their own order if none has one.
        dates: one for each document, ISO (``2024-05-17``, ``2024-05``, ``2024``); their own if None.
        title: the page's heading.

    Raises:
        ValueError: ``dates`` has another length than ``documents``.
    """
    told = [document.date for document in documents] if dates is None else dates
    days = [when.strip() if when and period_of(when, "year") else None for when in told]
    order = sorted(zip(documents, days, strict=True), key=lambda pair: pair[1] or "~")
    entries = [
        _Entry(number, document, document.title or f"Document {number}", when)
        for number, (document, when) in enumerate(order, 1)
    ]
    name = title or plural(len(entries), "document")
    body = (
        f'<main class="frame">\n<header><p class="kicker">Who holds what, document by document</p>\n'
        f"<h1>{escape(name)}</h1>\n{_summary(entries)}</header>\n{_timeline(entries)}{_matrix(entries)}{_table(entries)}"
        f'<footer class="note">{NOTE}</footer>\n</main>'
    )
    return page(f"{name} · stance map", body)


def _summary(entries: Sequence[_Entry]) -> str:
    counts = _counts([holder.stance for entry in entries for holder in entry.document.holders])
    names = {_key(holder) for entry in entries for holder in entry.document.holders if holder.kind != "unsure"}
    total = counts.total()
    if not total:
        return f'<p class="standfirst">{plural(len(entries), "document")}, and nobody takes a position in them.</p>'
    sentences = sum(len(entry.document) for entry in entries)
    parts = [
        look(stance, f"{LOOKS[stance].noun.lower()} {counts[stance]:,} ({100 * counts[stance] / total:.0f} %)")
        for stance in LOOKS
        if counts[stance]
    ]
    return (
        f'<p class="standfirst">In {plural(len(entries), "document")} of {plural(sentences, "sentence")}, '
        f"{plural(len(names), 'holder')} take{'s' if len(names) == 1 else ''} {plural(total, 'position')}.</p>\n"
        f'<div class="overall">{graphics.shares(counts)}<p>{" ".join(parts)}</p></div>'
    )


def _timeline(entries: Sequence[_Entry]) -> str:
    """The section about time; ``""`` where no document has a date and somebody's position."""
    dated = [(entry.date, entry.document) for entry in entries if entry.date and entry.document.holders]
    if not dated:
        return ""
    period = _period([when for when, _ in dated])
    counts: dict[int, Counter[Stance]] = {}
    for when, document in dated:
        place = _place(period_of(when, period) or when, period)
        counts.setdefault(place, _counts([])).update(holder.stance for holder in document.holders)
    first, last = min(counts), max(counts)
    length = last - first + 1
    columns = [Column(place - first, _period_name(place, period), counts[place]) for place in sorted(counts)]
    named = range(length) if length <= 6 else sorted({round(step * (length - 1) / 3) for step in range(4)})
    ticks = [(place, _period_name(first + place, period)) for place in named]
    rows = "\n".join(
        f'<tr><th scope="row">{column.name}</th>{"".join(f"<td>{column.counts[stance]}</td>" for stance in LOOKS)}</tr>'
        for column in columns
    )
    head = "".join(f'<th scope="col">{LOOKS[stance].noun}</th>' for stance in LOOKS)
    undated = sum(entry.date is None for entry in entries)
    left_out = f" Left out: {plural(undated, 'document')} without a date that could be read." if undated else ""
    return (
        f'<section aria-labelledby="time"><h2 id="time">Positions by {period}</h2>\n'
        f'<p class="caption">How many holders take each stance, counted once a document.{left_out}</p>\n'
        f"{graphics.timeline(columns, length, ticks)}\n<details class=numbers><summary>The figures</summary>\n"
        f'<div class="scroll" role="region" aria-label="Positions by {period}" tabindex="0"><table class="plain">\n'
        f'<thead><tr><th scope="col">{period.capitalize()}</th>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table>'
        "</div></details></section>\n"
    )


def _period(days: Sequence[str]) -> Period:
    """The finest period that suits all of the dates, short and long ones, and keeps the axis short."""
    finer: tuple[tuple[Period, int], ...] = (("day", DAYS), ("month", MONTHS))
    for period, most in finer:
        names = [period_of(when, period) for when in days]
        places = [_place(name, period) for name in names if name is not None]
        if len(places) == len(days) and max(places) - min(places) < most:
            return period
    return "year"


def _place(name: str, period: Period) -> int:
    """The number of a period, in steps of one, from its name."""
    if period == "day":
        return date.fromisoformat(name).toordinal()
    if period == "month":
        year, month = name.split("-")
        return int(year) * 12 + int(month) - 1
    return int(name)


def _period_name(place: int, period: Period) -> str:
    if period == "day":
        return str(date.fromordinal(place))
    return f"{place // 12}-{place % 12 + 1:02}" if period == "month" else str(place)


def _matrix(entries: Sequence[_Entry]) -> str:
    """The table of holders and documents; ``""`` where nobody holds anything."""
    rows: dict[tuple[str, str], dict[int, HolderStance]] = {}
    for entry in entries:
        # "he" in one document and "he" in the next are not one.
        for holder in (holder for holder in entry.document.holders if holder.kind != "unsure"):
            rows.setdefault(_key(holder), {}).setdefault(entry.number, holder)
    frequent = sorted(rows.values(), key=lambda row: -len(row))[:MATRIX_HOLDERS]
    authors = {entry.number: entry.document.author for entry in entries if entry.document.author is not None}
    held = Counter(number for row in (*frequent, authors) for number in row)
    chosen = {number for number, _ in held.most_common(MATRIX_DOCUMENTS)}
    shown = [entry for entry in entries if entry.number in chosen]
    if not shown:
        return ""
    cut = []
    if len(rows) > len(frequent):
        cut.append(f"{len(frequent)} of {plural(len(rows), 'holder')}, those in the most documents")
    if len(entries) > len(shown):
        cut.append(f"{len(shown)} of {plural(len(entries), 'document')}, those with the most of them")
    head = "".join(
        f'<th scope="col"><a href="#d{entry.number}" title="{escape(entry.name)}">{entry.number}</a></th>'
        if entry.number <= LISTED
        else f'<th scope="col" title="{escape(entry.name)}">{entry.number}</th>'
        for entry in shown
    )
    lines = [_row(_about(next(iter(row.values()))), row, shown) for row in frequent]
    if authors:
        lines.append(_row("<i>The documents’ own voice</i>", authors, shown))
    legend = " ".join(
        f'<span><span class="cell {stance} c3">{LOOKS[stance].letter}</span> {LOOKS[stance].noun.lower()}</span>'
        for stance in LOOKS
    )
    body = "\n".join(lines)
    shown_only = f"Shown: {', and '.join(cut)}. " if cut else ""
    return (
        '<section aria-labelledby="who"><h2 id="who">Who holds what where</h2>\n'
        f'<p class="caption">{shown_only}The numbers at the head are those of the list below; a paler field is a less '
        f'sure one.</p>\n<p class="legend cells">{legend}</p>\n'
        '<div class="scroll" role="region" aria-labelledby="who" tabindex="0"><table class="matrix">\n'
        f'<thead><tr><th scope="col">Holder</th>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'
        "</section>\n"
    )


def _row(name: str, held: dict[int, HolderStance], shown: Sequence[_Entry]) -> str:
    """``name`` is HTML."""
    cells = []
    for entry in shown:
        holder = held.get(entry.number)
        if holder is None:
            cells.append("<td></td>")
            continue
        told = f"{LOOKS[holder.stance].verb}, {holder.confidence:.2f}, {plural(holder.sentence_count, 'sentence')}"
        cells.append(
            f'<td><abbr class="cell {holder.stance} {level(holder.confidence)}" title="{told}">'
            f"{LOOKS[holder.stance].letter}</abbr></td>"
        )
    return f'<tr><th scope="row">{name}</th>{"".join(cells)}</tr>'


def _table(entries: Sequence[_Entry]) -> str:
    head = "".join(f'<th scope="col">{look(stance, LOOKS[stance].noun)}</th>' for stance in LOOKS)
    rows = []
    for entry in entries[:LISTED]:
        balance, author = entry.document.balance, entry.document.author
        counts = "".join(f"<td>{getattr(balance, stance) or '·'}</td>" for stance in LOOKS)
        figure = "–"
        if balance.score is not None and balance.low is not None and balance.high is not None:
            figure = (
                f"<b>{signed(balance.score)}</b> <small>({signed(balance.low)} to {signed(balance.high)})</small>"
                f"{graphics.scale(balance)}"
            )
        when = f"<time>{escape(entry.date)}</time> " if entry.date else ""
        own = look(author.stance, LOOKS[author.stance].verb) if author else "–"
        rows.append(
            f'<tr id="d{entry.number}"><td>{entry.number}</td><th scope="row">{when}<span class="name">'
            f'{escape(entry.name)}</span></th><td class="balance">{figure}</td>{counts}<td>{own}</td>'
            f"<td>{len(entry.document):,}</td></tr>"
        )
    cut = f'<p class="caption">The first {LISTED:,} of {len(entries):,}.</p>\n' if len(entries) > LISTED else ""
    body = "\n".join(rows)
    return (
        f'<section aria-labelledby="list"><h2 id="list">The documents</h2>\n{cut}'
        '<div class="scroll" role="region" aria-labelledby="list" tabindex="0"><table class="plain documents">\n'
        '<thead><tr><th scope="col">No.</th><th scope="col">Document</th><th scope="col">Balance (95 %), from all '
        f'against to all for</th>{head}<th scope="col">Own voice</th><th scope="col">Sentences</th></tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div></section>\n"
    )


def _about(holder: HolderStance) -> str:
    country = holder.country if holder.country and holder.country != holder.name else None
    aside = f' <small class="about">{escape(country)}</small>' if country else ""
    return f'<span class="name">{escape(holder.name)}</span>{aside}'


def _key(holder: HolderStance) -> tuple[str, str]:
    """What makes holders of two documents one: kind and name."""
    return holder.kind, holder.name.casefold()


def _counts(stances: Sequence[Stance]) -> Counter[Stance]:
    return Counter(stances)
