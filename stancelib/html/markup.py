"""What all pages share: untrusted text made safe, the looks of the stances, and the frame of a page."""

from __future__ import annotations

import html
import re
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files

from stancelib.document import Stance

REPLACEMENT = "\ufffd"
# What HTML can't carry or no reader sees: controls, lone surrogates, noncharacters.
_UNFIT = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF))
    + "]"
)
_LINE_END = re.compile("\r(?!\n)|[\x0b\x0c\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Look:
    """How a stance is shown: a mark and a letter, for those who don't see its colour, and its words."""

    mark: str
    letter: str
    noun: str
    verb: str


LOOKS: dict[Stance, Look] = {
    "support": Look("▲", "S", "Support", "supports"),
    "oppose": Look("▼", "O", "Oppose", "opposes"),
    "mixed": Look("◆", "M", "Both sides", "takes both sides"),
    "neutral": Look("○", "U", "Undecided", "is undecided"),
}
"""The stances in the order in which pages show them. Their names are also CSS classes."""


def clean(text: str) -> str:
    """``text`` as a page can show it, character by character, so that offsets stay right.

    Every line end becomes a line feed (``"\\r\\n"`` a blank and one), and what HTML can't carry becomes U+FFFD.
    """
    return _UNFIT.sub(REPLACEMENT, _LINE_END.sub("\n", text).replace("\r", " "))


def escape(text: str) -> str:
    """``text`` as HTML, for the content of an element or an attribute in quotes: never markup."""
    return html.escape(clean(text))


def look(stance: Stance, words: str = "") -> str:
    """The mark of a stance in its colour, and ``words`` (HTML) in that colour after it."""
    words = f" {words}" if words else ""
    return (
        f'<span class="look {stance}"><span class="mark" aria-hidden="true">{LOOKS[stance].mark}</span>{words}</span>'
    )


def unseen(words: str) -> str:
    """Words (HTML) for screen readers alone."""
    return f'<span class="unseen">{words}</span>'


def level(confidence: float) -> str:
    """The CSS class of a confidence, in the four steps of the legend."""
    return f"c{1 + (confidence >= 0.6) + (confidence >= 0.75) + (confidence >= 0.9)}"


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def signed(number: float) -> str:
    """With its sign, and a true minus: ``−0.25``."""
    return f"{round(number, 2) + 0.0:+.2f}".replace("-", "−")


def asset(name: str) -> str:
    """A file beside this module."""
    return (files("stancelib.html") / name).read_text(encoding="utf-8")


def page(title: str, body: str, style: str = "") -> str:
    """A whole HTML file.

    Args:
        title: plain text.
        body: HTML.
        style: CSS of this page alone.

    The policy lets the style and the script run that were put in here, by their hashes, and nothing else: even markup
    that got through would run nothing and fetch nothing.
    """
    style, script = asset("page.css") + style, asset("page.js")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src {_source(style)}; \
script-src {_source(script)}; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{escape(title)}</title>
<style>{style}</style>
</head>
<body class="stancelib page">
{body}
<script>{script}</script>
</body>
</html>
"""


def _source(content: str) -> str:
    return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"
