"""Pages: all of the text is there and nothing of it is markup; links lead somewhere; nothing is fetched."""

import base64
import hashlib
import re
from collections.abc import Sequence
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stancelib.document import Balance, Document, Evidence, HolderStance, Sentence, balance, build
from stancelib.holders import Holder
from stancelib.html import corpus_page, document_fragment, document_page
from stancelib.html.corpus import LISTED, MATRIX_DOCUMENTS, MATRIX_HOLDERS
from stancelib.html.markup import clean, escape, signed
from stancelib.labels import LABELS, Label
from stancelib.prediction import Prediction

VOID = {"meta", "br", "rect", "line", "circle"}  # the SVG ones close themselves
TAGS = """html head title style script body main header footer section div p h1 h2 ul ol li details summary a b i u q
mark span svg text table thead tbody tr th td abbr time small"""
ATTRIBUTES = """class id title href lang charset name content http-equiv role tabindex scope x y x1 x2 y1 y2 cx cy r rx
width height text-anchor aria-hidden aria-label aria-labelledby"""
ATTACK = (
    '</style></script><script>alert(1)</script><img src=x onerror="alert(1)">" onload="x\' y=\'<!-- ]]> '
    "&lt;b&gt; \u2028 \u2029 \x00 \x1b \ud800 \u202e javascript:alert(1) https://example.org/"
)


class Page(HTMLParser):
    """What a browser makes of a page: tags with their attributes, texts by where they stand; fails on bad nesting."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, list[dict[str, str | None]], str]] = []
        self.comments: list[str] = []
        html.encode()  # fails on surrogates
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        inside = self.open[-1][0] if self.open else ""
        self.texts.append((inside, [attributes for _, attributes in self.open], data))

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def text_of(self, css_class: str) -> str:
        return "".join(
            data
            for _, around, data in self.texts
            if any(css_class in (attributes.get("class") or "").split() for attributes in around)
        )

    def raw(self, tag: str) -> list[str]:
        return [data for inside, _, data in self.texts if inside == tag]

    def values(self, attribute: str) -> list[str]:
        return [attributes[attribute] or "" for _, attributes in self.tags if attribute in attributes]


def check_safe(page: Page, script: bool = True) -> None:
    assert {tag for tag, _ in page.tags} <= VOID | set(TAGS.split())
    assert {name for _, attributes in page.tags for name in attributes} <= set(ATTRIBUTES.split())
    assert page.comments == []
    assert len(page.raw("script")) == (1 if script else 0)
    assert len(page.raw("style")) == 1
    assert not re.search(r"url\(|@import|https?:", "".join(page.raw("style") + page.raw("script")))
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert all(href[0] == "#" and href[1:] in ids for href in page.values("href"))


def prediction(text: str, label: Label | None, holders: Sequence[Holder] = (), confidence: float = 0.9) -> Prediction:
    return Prediction(label, confidence, dict.fromkeys(LABELS, 1 / 3), text, False, tuple(holders))


TEXT = (
    "Boots, but whose?\n\nPoland wants to send troops, but Germany refuses.  Spain has not decided.\n\n"
    "I would send them tomorrow. Berlin will not send anyone."
)


def document(title: str | None = "Boots, but whose?", date: str | None = None) -> Document:
    """Five sentences in three paragraphs, three countries and an author."""
    sentences: list[tuple[str, Label | None, list[tuple[str, Label]]]] = [
        ("Boots, but whose?", "neutral", []),
        (
            "Poland wants to send troops, but Germany refuses.",
            "support",
            [("Poland", "support"), ("Germany", "oppose")],
        ),
        ("Spain has not decided.", None, [("Spain", "neutral")]),
        ("I would send them tomorrow.", "support", [("", "support")]),
        ("Berlin will not send anyone.", "oppose", [("Berlin", "oppose")]),
    ]
    spans, predictions = [], []
    for words, label, named in sentences:
        start = TEXT.index(words)
        spans.append((start, start + len(words)))
        holders = [Holder(name, stance, 0.8, words.find(name), words.find(name) + len(name)) for name, stance in named]
        predictions.append(prediction(words, label, holders))
    return build(TEXT, spans, predictions, title, date)


def test_a_page_has_the_text_the_sentences_and_the_holders():
    shown = document()
    page = Page(document_page(shown, shown.title))
    check_safe(page)
    assert page.text_of("article") == TEXT
    assert {f"s{number}" for number in range(1, len(shown) + 1)} <= set(page.values("id"))
    assert page.raw("h1") == ["Boots, but whose?"]
    names = [holder.name for holder in shown.holders]
    assert all(name in page.text_of("name") for name in [*names, "The author"])
    assert page.text_of("evidence").count("refuses") == 2  # of Poland, and of Germany
    assert page.text_of("also").count("Berlin") == 1
    paragraphs = [attributes for tag, attributes in page.tags if tag == "p"]
    assert sum(attributes.get("class") == "heading" for attributes in paragraphs) == 1


def test_the_policy_lets_the_style_and_the_script_run_and_nothing_else():
    page = Page(document_page(document(), None))
    policy = next(
        attributes["content"]
        for _, attributes in page.tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256("".join(page.raw(tag)).encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_holders_are_marked_by_more_than_colour_and_lead_to_the_map():
    page = Page(document_page(document(), None))
    links = [attributes for tag, attributes in page.tags if tag == "a" and "h " in (attributes.get("class") or "")]
    assert [attributes["title"] for attributes in links] == [
        "Poland supports, 0.80",
        "Germany opposes, 0.80",
        "Spain is undecided, 0.80",
        "Germany opposes, 0.80",
    ]
    titles = [title for title in page.values("title") if "The author" in title]
    assert titles == ["Supports, 0.90; The author supports, 0.80"]


def test_a_fragment_has_no_script_no_headings_and_ids_of_its_own():
    shown = document()
    one, other = Page(document_fragment(shown)), Page(document_fragment(shown))
    for page in (one, other):
        check_safe(page, script=False)
        assert page.text_of("article") == TEXT
        assert not {"h1", "h2", "html", "body", "main"} & {tag for tag, _ in page.tags}
    assert not set(one.values("id")) & set(other.values("id"))
    assert shown._repr_html_().startswith('<div class="stancelib">')


def test_a_text_without_holders_and_one_without_anything():
    plain = build("Nothing here.", [(0, 13)], [prediction("Nothing here.", "neutral")], None)
    page = Page(document_page(plain, None))
    check_safe(page)
    assert "Nobody in this text" in page.text_of("standfirst")
    check_safe(Page(document_page(build("", [], [], None), None)))
    check_safe(Page(document_fragment(build(" \n ", [], [], None))), script=False)
    check_safe(Page(corpus_page([plain])))
    check_safe(Page(corpus_page([])))


def test_paragraphs_are_those_of_the_text():
    def paragraphs(text: str, *sentences: str) -> int:
        spans = [(text.index(words), text.index(words) + len(words)) for words in sentences]
        shown = build(text, spans, [prediction(words, "neutral") for words in sentences], None)
        html = document_page(shown, None)
        assert Page(html).text_of("article") == clean(text)
        return html[html.index('class="article') : html.index("<footer")].count("<p")

    assert paragraphs("One. Two.", "One.", "Two.") == 1
    assert paragraphs("\n\nOne.\n \nTwo.\n", "One.", "Two.") == 2
    assert paragraphs("One.\r\n\r\nTwo.", "One.", "Two.") == 2
    assert paragraphs("One.\nTwo.", "One.", "Two.") == 2  # no blank line anywhere
    assert paragraphs("One.\nTwo.\n\nThree.", "One.", "Two.", "Three.") == 2
    assert paragraphs("One\n\nand the same.", "One\n\nand the same.") == 1  # never within a sentence


def test_text_that_html_cannot_carry():
    assert escape("a\x00\ud800\x1b\ufffe") == "a\ufffd\ufffd\ufffd\ufffd"
    assert clean("a\r\nb\rc\u2028d\x0ce") == "a \nb\nc\nd\ne"
    assert len(clean(ATTACK)) == len(ATTACK)
    assert signed(-0.001) == "+0.00"
    assert signed(-0.25) == "−0.25"


def test_an_attack_from_every_side_stays_text():
    start, words = len(ATTACK), f"{ATTACK}{ATTACK}{ATTACK}"
    text = f"{ATTACK}{words}{ATTACK}"
    held = Holder(ATTACK, "oppose", 0.9, start, 2 * start)
    shown = build(text, [(start, 4 * start)], [prediction(words, "oppose", [held])], "")
    quoted = Evidence(0, ATTACK, 2 * start, 3 * start, "oppose", 0.9, words)
    unplaced = Evidence(7, ATTACK, 0, 1, "oppose", 0.9, ATTACK)
    evidence = (*shown.holders[0].evidence, quoted, unplaced)
    holder = HolderStance(ATTACK, "mixed", 0.9, evidence, "person", f"1{ATTACK}", f"2{ATTACK}", (ATTACK, f"{ATTACK}!"))
    attacked = Document(text, shown.sentences, (holder,), None, balance([holder]), ATTACK, f"2024-01-01{ATTACK}")
    for page in (
        Page(document_page(attacked, ATTACK)),
        Page(corpus_page([attacked, attacked], ["2024-01-01", f"2024-01-02{ATTACK}"], ATTACK)),
        Page(corpus_page([attacked])),
        Page(corpus_page([*[build("", [], [], None)] * LISTED, attacked], [None] * (LISTED + 1))),
    ):
        check_safe(page)
        assert clean(ATTACK) in page.text_of("name") or len(page.tags) > LISTED
    page = Page(document_page(attacked, ATTACK))
    assert page.text_of("article") == clean(text)
    check_safe(Page(document_fragment(attacked)), script=False)


snippets = st.sampled_from(["<b>", "</p>", "<!--", "&lt;", '"', "'", ">", "\r\n", "\n\n", "\u2028", "</script>", " a "])
anything = st.lists(st.characters(exclude_categories=[]) | snippets, max_size=12).map("".join)
stances = st.sampled_from(["support", "oppose", "neutral", "mixed"])
places = st.integers(-3, 60)
share = st.floats(0, 1)


@st.composite
def odd_documents(draw: st.DrawFn) -> Document:
    """Documents that no model makes: sentences and holders anywhere, crossing, empty, backwards, out of the text."""
    text = draw(anything)
    holder = st.builds(Holder, anything, st.sampled_from(LABELS), share, places, places)
    sentences = draw(
        st.lists(
            st.builds(
                lambda start, end, label, holders, confidence: Sentence(
                    text[start:end], start, end, prediction(text, label, (), confidence), tuple(holders)
                ),
                places,
                places,
                st.sampled_from([*LABELS, None]),
                st.lists(holder, max_size=3),
                share,
            ),
            max_size=5,
        )
    )
    told = [(index, found) for index, sentence in enumerate(sentences) for found in sentence.holders]
    known = [Evidence(i, h.text, h.start, h.end, h.stance, h.confidence, sentences[i].text) for i, h in told]
    evidence = st.builds(
        Evidence, st.integers(-2, 9), anything, places, places, st.sampled_from(LABELS), share, anything
    )
    evidence = st.one_of(evidence, st.sampled_from(known)) if known else evidence
    about = st.none() | anything
    kinds = st.sampled_from(["person", "country", "group", "unsure"])
    lists = st.lists(evidence, min_size=1, max_size=3).map(tuple)
    names = st.lists(anything, max_size=3).map(tuple)
    holders = draw(
        st.lists(st.builds(HolderStance, anything, stances, share, lists, kinds, about, about, names), max_size=4)
    )
    author = draw(st.none() | st.builds(HolderStance, st.just(""), stances, share, lists, st.just("author")))
    return Document(text, tuple(sentences), tuple(holders), author, balance(holders), draw(about), draw(about))


@settings(max_examples=60, deadline=None)
@given(odd_documents(), st.none() | anything)
def test_no_document_breaks_a_page(shown: Document, title: str | None):
    page = Page(document_page(shown, title))
    check_safe(page)
    assert page.text_of("article") == clean(shown.text)
    fragment = Page(document_fragment(shown))
    check_safe(fragment, script=False)
    assert fragment.text_of("article") == clean(shown.text)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(odd_documents(), st.none() | anything | st.dates().map(str)), max_size=4), st.none() | anything
)
def test_no_corpus_breaks_a_page(pairs: list[tuple[Document, str | None]], title: str | None):
    check_safe(Page(corpus_page([shown for shown, _ in pairs], [when for _, when in pairs], title)))
    check_safe(Page(corpus_page([shown for shown, _ in pairs])))


def test_a_corpus_has_the_matrix_the_timeline_and_the_list():
    documents = [document("May", "2024-05-02"), document("January", "2024-01"), document("Never", "soon")]
    page = Page(corpus_page(documents, title="Three <texts>"))
    check_safe(page)
    assert page.raw("h1") == ["Three <texts>"]
    # In order of date, those without one last; the header of the matrix leads to the list.
    assert re.findall("January|May|Never", page.text_of("documents")) == ["January", "May", "Never"]
    assert [href for href in page.values("href") if href.startswith("#d")] == ["#d1", "#d2", "#d3"]
    assert re.sub(r"\s", "", page.text_of("matrix")) == ("Holder123GermanyOOOPolandSSSSpainUUUThedocuments’ownvoiceSSS")
    assert "1 document without a date" in page.text_of("caption")
    assert re.findall(r"2024-\d\d", page.text_of("numbers")) == ["2024-01", "2024-05"]
    assert page.text_of("bars").startswith("111111")


@pytest.mark.parametrize(
    ("dates", "period", "names"),
    [
        (["2024-05-01", "2024-05-20"], "day", ["2024-05-01", "2024-05-20"]),
        (["2024-05-01", "2024-09-20T08:00"], "month", ["2024-05", "2024-09"]),
        (["2024-05-01", "2024"], "year", ["2024"]),
        (["0001-01-01", "9999-12-31"], "year", ["1", "9999"]),
    ],
)
def test_periods_suit_the_dates(dates: list[str], period: str, names: list[str]):
    page = Page(corpus_page([document(), document()], dates))
    assert page.text_of("plain").startswith(f"\n{period.capitalize()}Support")
    assert re.findall(r"(?m)^\d[\d-]*?(?=\d{4}$)", page.text_of("numbers")) == names


def test_without_dates_there_is_no_timeline():
    assert "timeline" not in Page(corpus_page([document()])).values("class")
    assert "timeline" not in Page(corpus_page([document(date="2024")], [None])).values("class")


def test_as_many_dates_as_documents():
    with pytest.raises(ValueError, match="argument 2"):
        corpus_page([document()], ["2024", "2025"])


def test_a_large_corpus_is_cut_and_says_so():
    holders = [HolderStance(f"Holder {n}", "support", 0.9, (), "person") for n in range(MATRIX_HOLDERS + 1)]
    one = Document("x", (), tuple(holders), None, Balance(1, 0, 0, 0, 1.0, 0.9, 1.0))
    page = Page(corpus_page([one] * (LISTED + 1)))
    check_safe(page)
    captions = page.text_of("caption")
    assert f"{MATRIX_HOLDERS} of {MATRIX_HOLDERS + 1} holders" in captions
    assert f"{MATRIX_DOCUMENTS} of {LISTED + 1:,} documents" in captions
    assert f"The first {LISTED:,} of {LISTED + 1:,}" in captions
