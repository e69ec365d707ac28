"""From a text to its sentences, as offsets into it.

sentencex finds where sentences end; what is ours is to keep headings, list items and lines without a full stop apart,
to read lines that were wrapped by hand as one, and some abbreviations of the news.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sentencex import get_sentence_boundaries

# A line shorter than this was not wrapped, it ended; before a capital, a wrapped line is longer still.
_WRAPPED, _WRAPPED_BEFORE_CAPITAL = 45, 60
_LIST_ITEM = re.compile(r"\s*(?:[-*•–—·▪]\s|\(?\d{1,2}[.)]\s|\(?[a-z][.)]\s)")
_LINE = re.compile(r"[^\r\n\u2028\u2029\x0b\x0c\x85]+")
_END = re.compile(r"[.!?…:;][\"'”’»)\]]*$")
_SURROGATE = re.compile("[\ud800-\udfff]")
_BLANK = re.compile(r"[^\S \t\r\n\u2028\u2029\x0b\x0c\x85]")
# Titles that stand before a name, and what else may be followed by a capital, after which sentencex sometimes ends a
# sentence.
_ABBREVIATION = re.compile(
    r"(?:^|\W)(?:Dr|Mr|Mrs|Ms|Prof|Rev|Hon|St|Gen|Maj|Brig|Lt|Col|Capt|Cmdr|Adm|Sgt|Sen|Rep|Gov|Pres|Amb|Pte|Cpl|Cllr"
    r"|Supt|No|vs|U\.S|U\.K|U\.N|[A-Z])\.$"
)
_ITEM_MARK = re.compile(r"\(?(?:\d{1,2}|[a-z])\.")
_HOUR = re.compile(r"\d [ap]\.m\.$")
_DAY = re.compile(r"\s*(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day\b")
# Words with which a sentence begins: "… from the U.S. They …", "… plan B. Then …".
_OPENS = re.compile(
    r"\s*[\"“‘(]?(?:The|A|An|He|She|It|They|We|I|You|This|That|These|Those|There|His|Her|Their|Its|Our|My|In|On|At|By|As"
    r"|For|From|With|If|When|While|After|Before|Since|But|And|Or|So|Yet|Then|Now|Not|No|What|Who|Why|How|Both|Some|Most)\s"
)
# Ends that sentencex does not see: before such words, after "…" too, and after "said no."
_UNSEEN = re.compile(
    rf"(?:(?:\b(?:U\.S|U\.K|U\.N|E\.U|D\.C)|(?<=[a-z,] )[A-Z])\.|(?<=\w)…)[\"”’)]*(?={_OPENS.pattern})"
    r"|(?<=[a-z] )no\.[\"”’)]*(?=\s+[\"“‘(]?[A-Z])"
)


def split(text: str) -> list[tuple[int, int]]:
    """Start and end of every sentence, heading and list item of ``text``, in characters and in order.

    None of them begins or ends in white space, and all that lies between them is white space.
    """
    # sentencex takes no lone surrogates, and panics at blanks of more than one byte.
    readable = text if text.isascii() else _BLANK.sub(" ", _SURROGATE.sub("\ufffd", text))
    found: list[tuple[int, int]] = []
    for start, end in _paragraphs(readable):
        pending: int | None = None
        for low, high in _pieces(readable, start, end):
            first = low if pending is None else pending
            if high < end and _goes_on(readable, first, high):
                pending = first
                continue
            found.append((first, high))
            pending = None
        if pending is not None:
            found.append((pending, end))
    return found


def _goes_on(text: str, start: int, end: int) -> bool:
    """Whether the sentence from ``start`` does not end at ``end``, after an abbreviation."""
    last, following = text[max(start, end - 12) : end], text[end : end + 12]
    if _ITEM_MARK.fullmatch(text[start:end]):
        return True
    if _ABBREVIATION.search(last):
        return not _OPENS.match(following)
    return bool(_HOUR.search(last) and _DAY.match(following))


def _pieces(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    paragraph = text[start:end]
    ends = {boundary["end_index"] for boundary in get_sentence_boundaries("en", paragraph)}
    ends |= {match.end() for match in _UNSEEN.finditer(paragraph)} | {len(paragraph)}
    low = 0
    for high in sorted(ends):
        span = _trimmed(text, start + low, start + high)
        if span[0] < span[1]:
            yield span
        low = high


def _paragraphs(text: str) -> Iterator[tuple[int, int]]:
    """Runs of lines that belong together."""
    start = last = end = -1  # of the run, of its last line, of both
    for line in _LINE.finditer(text):
        if not line.group().strip():
            continue
        goes_on = (
            end >= 0
            and re.fullmatch(r"\r\n|[\r\n\u2028\u2029\x0b\x0c\x85]", text[end : line.start()]) is not None
            and end - last > _least(line.group())
            and not _END.search(text[max(last, end - 40) : end].rstrip())
            and not _LIST_ITEM.match(line.group())
        )
        if end >= 0 and not goes_on:
            yield _trimmed(text, start, end)
        start, last, end = (start if goes_on else line.start()), line.start(), line.end()
    if end >= 0:
        yield _trimmed(text, start, end)


def _least(next_line: str) -> int:
    return _WRAPPED_BEFORE_CAPITAL if next_line.lstrip()[:1].isupper() else _WRAPPED


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end
