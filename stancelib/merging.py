"""Which mentions mean the same holder: rules that can be read, in the order in which they are tried.

1. The author's own positions, *I* and *we* belong to whoever is speaking: the name before the colon of a transcript or
   on a line of its own, the signature of a letter, the one person named beside a quotation, the last one named before
   a quotation that goes on; else the text's author.
2. *he*, *she*: the one person named before it in the sentence; else the one, or the subject, of the last sentence that
   names any, two sentences back at most, or whomever its own *he* or *she* means; "Mr" is no *she*. *it*, *they*, *its
   government*: the one country or group with a position in this sentence or the one before. Two candidates: unsure.
3. A country, its capital, its government and its people ("the Danes") are one.
4. A person's name: by surname, if given names don't differ. Two persons of one surname: a bare surname is unsure.
5. A title without a name ("the Czech president"): the one person who bears it, or whose name opens the next sentence
   without any. Two: unsure.
6. Anything else by its words, without articles and country ("the Polish Sejm", "the Sejm"); a party and its members
   ("the Communists"); a short form and the long one. A noun alone ("the party", "the council"): the one named before
   whose head it is.

Where a rule is unsure, the mention stays by itself.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias

from stancelib.holders import Holder
from stancelib.names import (
    FEMALE_PRONOUNS,
    GROUP_PRONOUNS,
    OFFICES,
    ROLE_PRONOUNS,
    SPEAKER_PRONOUNS,
    Person,
    better_title,
    country,
    country_in,
    fold,
    is_indefinite,
    person,
    role,
    strip_mention,
)

AUTHOR = "author"
UNSURE = "unsure"
_UPPER = "".join(letter for letter in map(chr, range(0x250)) if letter.isupper())
_NAME_WORD = rf"(?:(?:al|el)[\-'’])?[{_UPPER}](?:\.[{_UPPER}])*[\w'’\-]*\.?"
_CAPITALS = re.compile(
    rf"{_NAME_WORD}(?:\s+(?:(?:van|von|der|den|de|del|della|di|da|dos|du|la|le|al|bin|ibn|ben|ter|ten|zu)\s+)*{_NAME_WORD})*"
)
_SURNAME = re.compile(rf"(?:(?:al|el)[\-'’])?[{_UPPER}][\w'’\-]+")
_SPEAKER = rf"[{_UPPER}][\w .,()/'’–\-]{{0,100}}?"
# "Mr. Doug Petrasko (Battle River, CPC): I have one question."
_TURN = re.compile(rf"^[ \t]*(?P<who>{_SPEAKER}):[ \t]+(?=\S)", re.M)
# "Shri Bimal Chakladar (Burdwan)" on a line of its own
_TURN_LINE = re.compile(rf"^[ \t]*(?P<who>{_SPEAKER}\([^()\n]+\))[ \t\r]*$", re.M)
# "Yours, etc., NOEL TIERNEY (Comdt, retired), Athlone"
_SIGNED = re.compile(
    r"\b(?:Yours|Is mise|Sincerely|Respectfully|Best regards|Kind regards)\b(?:,? (?:etc|sincerely|faithfully|truly))?"
    rf"[.,\s–—\-]+(?P<who>[{_UPPER}][\w .'’\-]{{1,60}}?)(?=\s*[,(\n]|\.?\s*$)"
)
_BRACKETS = re.compile(r"\s*\([^)]*\)")
_NO_SPEAKERS = {"Q", "QUESTION", "BREAKING", "UPDATE", "CORRECTION", "NOTE", "ANALYSIS", "OPINION", "LIVE", "WATCH"}
_ANSWERS = {"A", "ANSWER"}
_AFTER = re.compile(
    r"\s*,\s+(?P<title>(?:(?:the|a|an|his|her|its|who)\s+)?(?:[^,.;:()\"“”]|(?<=[A-Z])\.){3,70})(?=[,.;:])"
)
# What stands before "former president " in "… with the backing of former president Ana Lima".
_LEAD = re.compile(
    r"(?:^|\s)(?:the|an?|his|her|its|their|our|by|with|that|and|to|from|of|for|as|said|says|told)\s|[.,;:!?…“”\"]\s",
    re.I,
)
_DETERMINER = re.compile(r"\b(?:(?:the|an?|his|her|its|their|who)\s+|(?=[A-Z][\w\-]*['’]s\s))", re.I)
_SAID = re.compile(
    r"\b(?:said|says|added|adds|argued|argues|asked|asks|replied|warned|insisted)\s+(?:[\w.\-]+\s+){0,4}$"
)
_ITS_GOVERNMENT = re.compile(r"(?:its|their) (?:own )?(?:government|cabinet|leaders|authorities)", re.I)
_THE = re.compile(r"\b[Tt]he\b(?=(?P<words>(?:\s+[\w\-'’.]+){1,4}))")
# fmt: off
# Words that may open a sentence with a capital and are no part of the name that follows.
_OPENERS = frozenset("""
a after again all also although an and another any are as asked at because before both but by can could dear despite did
do does earlier even every except few finally first for from had has have he her here his how however i if in is it its
last later let like many may meanwhile more most mr my neither never no nor not nothing now of on once one only or other
our over perhaps recently said second she should since so some still such than that the their then there these they
third this those though through thus today together tomorrow tonight two under unlike until was we were what when where
whether which while who why will with without would yes yesterday yet you your
""".split())  # noqa: SIM905
# What describes a group before its name, and is no part of it.
_DESCRIBES = frozenset("""
alliance anti-war bloc centre-left centre-right charity coalition conservative far-left far-right governing green
group influential largest left-wing liberal local main major militia minority movement nationalist newspaper opposition
pacifist parliamentary party populist powerful pro-european pro-russian regional right-wing ruling small smaller
socialist think-tank union watchdog
""".split())  # noqa: SIM905
_MEN = frozenset("""
mr sir lord king prince herr monsieur shri señor chairman congressman spokesman pope
""".split())  # noqa: SIM905
_WOMEN = frozenset("""
mrs ms mme mlle lady dame baroness madam queen princess frau shrimati smt señora chairwoman congresswoman spokeswoman
""".split())  # noqa: SIM905
# fmt: on
# What makes an office another one than the bare word's: the vice president is not the president.
_ANOTHER_OFFICE = {"vice", "deputy", "former", "prime", "secretary", "assistant", "shadow"}
_LOOKS_BACK = 3  # sentences that a pronoun looks back over, its own included
_PRONOUNS = SPEAKER_PRONOUNS | ROLE_PRONOUNS | GROUP_PRONOUNS
_QUOTED_BACK = 10  # sentences that a quotation is followed back
_PRONOUN = re.compile(r"\b(?:he|she)\b", re.I)
Key: TypeAlias = tuple[str, str]


@dataclass
class Group:
    """Mentions of one holder: ``members`` are indices of what was merged."""

    name: str
    kind: str  # "person", "country", "group", "author" or "unsure"
    title: str | None = None
    country: str | None = None
    members: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class _Named:
    """A place where the text names a person, holder or not."""

    start: int
    end: int
    person: Person
    place: str | None = None  # the country in whose capital or land the sentence says that the person is


def merge(text: str, spans: Sequence[tuple[int, int]], found: Sequence[tuple[int, Holder]]) -> list[Group]:
    """Groups of holders in the order of their first mention.

    Args:
        text: the document.
        spans: its sentences.
        found: (index of the sentence, holder with offsets into ``text``; an author's are both the sentence's start).
    """
    if not found:
        return []
    merger = _Merger(text, spans, found)
    for index, (sentence, holder) in enumerate(found):
        merger.add(index, sentence, holder)
    return list(merger.groups.values())


class _Merger:
    def __init__(self, text: str, spans: Sequence[tuple[int, int]], found: Sequence[tuple[int, Holder]]) -> None:
        self.text, self.spans, self.found = text, spans, found
        self.groups: dict[Key, Group] = {}
        self.keys: list[Key] = []  # of each of ``found`` so far
        self.paragraphs = [0, *(match.end() for match in re.finditer(r"\n[ \t\r]*\n\s*", text))]
        self.short = dict(_short_forms(text))
        people = _people(text, spans)
        held = [_Named(one.start, one.end, who) for _, one in found for who in [person(one.text)] if who]
        self.names = _full_names([*people, *held])
        self.offices: dict[str, list[frozenset[str]]] = {}
        for named in (*people, *held):
            bearers = self._bearers(named.person)
            if named.person.title and len(bearers) == 1:
                self.offices.setdefault(fold(bearers[0].name), []).append(role(named.person.title))
        self.places = {(fold(who.name), named.place) for named in people for who in self._bearers(named.person)}
        self._introduce()
        self.people = sorted([*people, *self._role_mentions()], key=lambda named: named.start)
        self.starts = [named.start for named in self.people]
        self.turns = self._turns()

    def add(self, index: int, sentence: int, holder: Holder) -> None:
        key, group = self._resolve(sentence, holder)
        kept = self.groups.setdefault(key, group)
        kept.title, kept.country = better_title(kept.title, group.title), kept.country or group.country
        kept.members.append(index)
        self.keys.append(key)

    def _resolve(self, sentence: int, holder: Holder) -> tuple[Key, Group]:
        plain = strip_mention(holder.text)
        # "us" is a pronoun and "US" a country.
        pronoun = "" if plain.isupper() and len(plain) > 1 else plain.lower()
        if _ITS_GOVERNMENT.fullmatch(holder.text.strip()):
            pronoun = "its"
        if holder.is_author or pronoun in SPEAKER_PRONOUNS:
            who = self._speaker(sentence, holder.start)
            if who is None:
                return (AUTHOR, ""), Group("", AUTHOR)
            key, group = self._by_name(who, holder.start)
            if group.kind == "group" and _may_be_surname(who.title()):
                group.kind = "person"  # "SMITH: …"
            return key, group
        if pronoun in ROLE_PRONOUNS:
            return self._by_pronoun(sentence, holder, pronoun)
        if pronoun in GROUP_PRONOUNS:
            recent = {
                key
                for key, (where, other) in zip(self.keys, self.found, strict=False)
                if sentence - where < 2 and other.end <= holder.start and self.groups[key].kind in ("country", "group")
            }
            return self._known(recent.pop()) if len(recent) == 1 else _alone(holder.text, holder.start)
        return self._by_name(holder.text, holder.start)

    def _known(self, key: Key) -> tuple[Key, Group]:
        return key, self.groups[key]

    # 1. --- who speaks

    def _speaker(self, sentence: int, position: int) -> str | None:
        """Who speaks at ``position`` in a sentence, if it is not the text's author."""
        for start, end, who in self.turns:
            if start <= position < end:
                return who
        if not self._is_quoted(position):
            return None
        span = self.spans[sentence]
        paragraph = self.paragraphs[bisect_right(self.paragraphs, position) - 1]
        # Beside it, or beside what is quoted before it.
        for index in range(sentence, max(-1, sentence - _QUOTED_BACK), -1):
            start = self.spans[index][0]
            if index < sentence and (start < paragraph or not self._is_quoted(start)):
                break
            beside = self._said_by(index)
            if beside is not None:
                return beside
        previous = self.paragraphs[max(0, bisect_right(self.paragraphs, position) - 2)]
        named = [(who.start, who.person.name) for who in self._named(previous, span[0])]
        named += [
            (holder.start, holder.text)
            for _, holder in self.found
            if previous <= holder.start < span[0]
            and not holder.is_author
            and strip_mention(holder.text).lower() not in _PRONOUNS
        ]
        # Those whom the quotation names don't say it.
        named = [(start, who) for start, who in named if not self._is_quoted(start)] or named
        return max(named)[1] if named else None

    def _said_by(self, sentence: int) -> str | None:
        """Whom a sentence names, outside of quotations, as the one who says them."""
        span = self.spans[sentence]
        beside = [who for who in self._named(*span) if not self._is_quoted(who.start)]
        said = [who for who in beside if _SAID.search(self.text[max(span[0], who.start - 60) : who.start])]
        opening = [who for who in beside[:1] if not self.text[span[0] : who.start].strip()]
        for speakers in (beside, said, opening):
            if self._are_one(speakers):
                return speakers[0].person.name
        pronoun = next((m for m in _PRONOUN.finditer(self.text, *span) if not self._is_quoted(m.start())), None)
        if pronoun is not None:
            key, group = self._by_pronoun(
                sentence, Holder(pronoun[0], "neutral", 0.0, *pronoun.span()), pronoun[0].lower()
            )
            return group.name if key[0] == "person" else None
        return None

    def _is_quoted(self, position: int) -> bool:
        """Whether what starts there is quoted: it opens with a mark, or a mark before it is still open."""
        if self.text[position : position + 1] in ('"', "“", "«", "„", "‘"):
            return True
        before = self.text[self.paragraphs[bisect_right(self.paragraphs, position) - 1] : position]
        return before.count("“") > before.count("”") or before.count('"') % 2 == 1

    def _turns(self) -> list[tuple[int, int, str | None]]:
        """Start, end and speaker of the turns of a transcript, or of letters; empty unless there are two or more."""
        for pattern in (_TURN, _TURN_LINE):
            marks = [(match.start("who"), match["who"].strip()) for match in pattern.finditer(self.text)]
            marks = [(start, who) for start, who in marks if self._is_speaker(who)]
            if len(marks) > 1:
                bounds = [*(start for start, _ in marks), len(self.text)]
                return [
                    (start, end, self._called(who))
                    for (start, end), (_, who) in zip(pairwise(bounds), marks, strict=True)
                ]
        signed = [(match.end(), match["who"]) for match in _SIGNED.finditer(self.text)]
        signed = [(end, who) for end, who in signed if who.isupper() or person(who)]
        if len(signed) < 2:
            return []
        return [(start, end, who) for start, (end, who) in zip([0, *(end for end, _ in signed)], signed, strict=False)]

    def _is_speaker(self, who: str) -> bool:
        plain = _BRACKETS.sub("", who)
        last = fold(plain.split()[-1]) if plain else ""
        short = len(plain.split()) <= 8
        return short and bool(person(plain) or role(plain) or plain.isupper() or last in self.names)

    def _called(self, who: str) -> str | None:
        """The speaker's name: that in brackets behind an office; whom the text is about for "A"; nobody for "Q"."""
        bare = who.upper().strip(". ")
        if bare in _NO_SPEAKERS:
            return None
        if bare in _ANSWERS:
            return self.people[0].person.name if self.people else None
        inside = re.search(r"\(([^)]*)\)", who)
        outside = _BRACKETS.sub("", who)
        return inside[1] if inside and not person(outside) and person(inside[1]) else outside

    # 2. --- pronouns

    def _by_pronoun(self, sentence: int, holder: Holder, pronoun: str) -> tuple[Key, Group]:
        """Whom *he* or *she* means, if it is plain."""
        other_gender = _MEN if pronoun in FEMALE_PRONOUNS else _WOMEN
        reach, index, bare = _LOOKS_BACK, sentence, set[Key]()
        while index >= 0 and reach:
            start, end = self.spans[index]
            near = [
                named
                for named in self._named(start, min(end, holder.start))
                if not other_gender & self._honorifics(named.person)
            ]
            if near:
                alone = self._are_one(near)
                # Of several in a sentence before, the subject: nothing but its title stands before it.
                lead = self.text[start : near[0].start].strip(" \"“'‘")
                if not bare and (alone or (index < sentence and (not lead or role(lead)))):
                    return self._person(near[0].person, near[0].start)
                return _alone(holder.text, holder.start)
            bare = bare or self._bare_holders(index, holder.start)
            # A pronoun there, whom nobody is named beside, passes the question on.
            reach -= 0 if index < sentence and _PRONOUN.search(self.text, start, end) else 1
            index -= 1
        # A bare word is a surname, if the text names no persons in full.
        if len(bare) != 1 or self._named(0, holder.start):
            return _alone(holder.text, holder.start)
        (key,) = bare
        self.groups[key].kind = "person"  # as the pronoun says
        return self._known(key)

    def _bare_holders(self, sentence: int, position: int) -> set[Key]:
        """Holders in a sentence before ``position`` that may be persons of whom the text has the surname only."""
        return {
            key
            for key, (where, holder) in zip(self.keys, self.found, strict=False)
            if where == sentence
            and holder.end <= position
            and self.groups[key].kind in ("group", "person")
            and _may_be_surname(holder.text)
        }

    def _honorifics(self, someone: Person) -> set[str]:
        """What the titles say of the person's gender, wherever they stand."""
        bearers = [someone, *self._bearers(someone)]
        return {word.strip(".").lower() for bearer in bearers if bearer.title for word in bearer.title.split()}

    def _are_one(self, named: list[_Named]) -> bool:
        return len({self._person(who.person, who.start)[0] for who in named}) == 1

    def _named(self, start: int, end: int) -> list[_Named]:
        """Whom the text names from ``start`` to ``end``."""
        return [
            who
            for who in self.people[bisect_left(self.starts, start) : bisect_left(self.starts, end)]
            if who.end <= end
        ]

    # 3. to 6. --- names

    def _by_name(self, mention: str, position: int) -> tuple[Key, Group]:
        nation = country(mention)
        if nation is not None:
            return ("country", nation), Group(nation, "country", None, nation)
        someone = person(mention)
        if someone is not None:
            return self._person(someone, position)
        plain = strip_mention(mention)
        # A bare surname, or a bare first name, of somebody whom the text names in full.
        bearers = self._bearers(Person(plain, None, None)) if plain[:1].isupper() or "-" in plain else []
        if bearers:
            return self._person(bearers[0], position) if len(bearers) == 1 else _alone(plain, position)
        if role(mention) and not is_indefinite(mention):
            bearers = self._in_office(mention)
            if len(bearers) == 1:
                key, group = self._person(bearers[0], position)
                group.country = group.country or country_in(mention)
                return key, group
            if bearers:
                return _alone(mention, position)
        return self._group(mention, position)

    def _person(self, someone: Person, position: int) -> tuple[Key, Group]:
        match = self._bearers(someone)
        if len(match) > 1 and someone.title:  # "Colonel Berg", where the text has a Major Berg too
            match = [other for other in match if role(someone.title) in self.offices.get(fold(other.name), [])] or match
        if len(match) > 1 and not someone.given:
            return _alone(someone.name, position)
        known = match[0] if len(match) == 1 else someone
        title = better_title(someone.title, known.title)
        return ("person", fold(known.name)), Group(known.name, "person", title, someone.country or known.country)

    def _bearers(self, someone: Person) -> list[Person]:
        """The persons in the text who may be meant, by surname, or by a first name that stands alone ("Xi")."""
        found = [other for other in self.names.get(someone.surname, []) if _compatible(someone, other)]
        return found or _by_first_name(someone, self.names)

    def _in_office(self, mention: str) -> list[Person]:
        """The persons one of whose titles has all the words, and who are of the country, if the mention gives one."""
        wanted, nation = role(mention), country_in(mention)
        return [
            someone
            for bearers in self.names.values()
            for someone in bearers
            if (nation in (None, someone.country) or self._is_of(someone, nation))
            and any(
                wanted <= office and not (office - wanted) & _ANOTHER_OFFICE
                for office in self.offices.get(fold(someone.name), [])
            )
        ]

    def _is_of(self, someone: Person, nation: str | None) -> bool:
        """Whether "In Prague, President Pavel" or the like makes a person of no given country one of ``nation``."""
        return someone.country is None and (fold(someone.name), nation) in self.places

    def _introduce(self) -> None:
        """Give a full name the title that a sentence before it has, as in "Norda's foreign minister wants troops there.
        Ada Berg believes …": where the name opens the sentence, has no title of its own, and takes the same stance."""
        for (sentence, one), (following, other) in pairwise(self.found):
            someone = person(other.text)
            if (
                following != sentence + 1
                or other.start != self.spans[following][0]
                or other.stance != one.stance
                or (someone is None or not someone.given)
                or (not role(one.text) or is_indefinite(one.text) or self._in_office(one.text))
            ):
                continue
            match = self._bearers(someone)
            if len(match) == 1 and match[0].title is None and match[0].country is None:
                title, bearers = strip_mention(one.text), self.names[match[0].surname]
                bearers[bearers.index(match[0])] = Person(match[0].name, title, country_in(title))
                self.offices[fold(match[0].name)] = [role(title)]

    def _role_mentions(self) -> Iterator[_Named]:
        """Where the text has a title with "the" that one person alone bears, and no name behind it."""
        for match in _THE.finditer(self.text):
            words = list(re.finditer(r"[\w\-'’.]+", self.text[match.end() : match.end("words")]))
            for word in reversed(words):
                if fold(re.sub(r"['’]s$", "", word.group()).strip(".")).split("-")[-1] not in OFFICES:
                    continue
                end = match.end() + word.end()
                bearers = self._in_office(self.text[match.start() : end])
                if len(bearers) == 1 and not re.match(rf"\s+[{_UPPER}]", self.text[end : end + 3]):
                    yield _Named(match.start(), end, bearers[0])
                    break

    def _group(self, mention: str, position: int) -> tuple[Key, Group]:
        plain = strip_mention(_BRACKETS.sub("", mention)) or strip_mention(mention)
        nation, words = country_in(mention), _group_words(mention)
        long = self.short.get(words[0].replace(".", "").upper()) if len(words) == 1 and plain[:1].isupper() else None
        words = _group_words(long) if long else words
        key = ("group", f"{_group_key(words)}|{nation or ''}")
        if key in self.groups:
            return self._known(key)
        known = [(other, group) for other, group in self.groups.items() if other[0] == "group"]
        same = [other for other, group in known if other[1].split("|")[0] == key[1].split("|")[0] and nation is None]
        if not same and len(words) == 1:
            # "the party", "the council"
            same = [
                other
                for other, group in known
                if _head(group.name) == fold(words[0]) != fold(group.name) and nation in (None, group.country)
            ]
        if not same:
            given = re.search(r"\(([A-Z][\w&.\-]{1,9})\)", mention)
            short = given[1] if given else plain.replace(".", "")
            same = [other for other, group in known if short in (_initials(group.name), group.name.replace(".", ""))]
            same += [other for other, group in known if group.name.replace(".", "") == _initials(" ".join(words))]
        if len(same) > 1:
            return _alone(plain, position)
        return self._known(same[0]) if same else (key, Group(plain, "group", None, nation))


def _alone(mention: str, position: int) -> tuple[Key, Group]:
    return (UNSURE, str(position)), Group(mention, UNSURE)


def _group_words(mention: str) -> list[str]:
    """The words of a group's name, without country and description: "the opposition Renamo party" -> Renamo, party."""
    words = strip_mention(_BRACKETS.sub("", mention)).split()
    for size in (3, 2, 1):
        if len(words) > size and country(" ".join(words[:size])):
            words = words[size:]
            break
    while len(words) > 1 and words[0] in _DESCRIBES and any(word[:1].isupper() for word in words[1:]):
        words = words[1:]
    return words or [mention]


def _group_key(words: list[str]) -> str:
    """By which groups are told apart: "Communist Party" and "Communists" are one."""
    folded = [fold(word) for word in words]
    if len(words) > 1 and folded[-1] in ("party", "movement") and words[0][:1].isupper():
        folded = [*folded[:-2], folded[-2].removesuffix("ic")]
    return " ".join([*folded[:-1], folded[-1].removesuffix("s")])


def _head(name: str) -> str:
    """The noun that a name is about: "transitional council in Port-au-Prince" -> council."""
    words = re.split(r"\s+(?:of|in|for|on|against|from)\s", name, maxsplit=1)[0].split()
    return fold(words[-1]) if words else ""


def _initials(name: str) -> str:
    letters = "".join(word[0] for word in re.split(r"[\s\-]+", name) if word[:1].isupper())
    return letters if len(letters) > 1 else "?"


def _short_forms(text: str) -> Iterator[tuple[str, str]]:
    """Short forms that the text explains: "the Social Democratic Party (SPD)" -> SPD, Social Democratic Party."""
    long = rf"[{_UPPER}][\w'’\-]*(?:\s+(?:(?:of|for|the|and|in|on)\s+){{0,2}}[{_UPPER}][\w'’\-]*){{1,6}}"
    for match in re.finditer(rf"(?P<long>{long})\s+\((?P<short>[A-Z][\w&.]{{0,7}}[A-Z])\)", text):
        if person(match["long"]) is None:
            yield match["short"].replace(".", "").upper(), re.sub(r"^The\s+", "", match["long"])


def _may_be_surname(mention: str) -> bool:
    """Whether a holder of one capitalised word could be a person of whom the text has the surname only."""
    is_name = _SURNAME.fullmatch(mention) and not mention.isupper() and mention.lower() not in _PRONOUNS
    return bool(is_name) and country(mention) is None


def _compatible(one: Person, other: Person) -> bool:
    """Whether two names with one surname can mean one person: a missing first name, or an initial, fits any."""
    if not one.given or not other.given:
        return True
    # "Taylor Greene" and "Marjorie Taylor Greene"
    if fold(f" {one.name}").endswith(fold(f" {other.name}")) or fold(f" {other.name}").endswith(fold(f" {one.name}")):
        return True
    a, b = (someone.given[0].replace(".", "") for someone in (one, other))
    return a == b or (min(len(a), len(b)) == 1 and a[:1] == b[:1])


def _by_first_name(someone: Person, names: dict[str, list[Person]]) -> list[Person]:
    """Those whose first name is all that is said: "President Xi", "Sir Keir"; but kings have no surname."""
    if someone.given or {"king", "queen", "pope"} & role(someone.title or ""):
        return []
    first = fold(someone.name)
    everybody = (other for bearers in names.values() for other in bearers)
    return [other for other in everybody if fold(other.name).startswith(first) and other.given[:1] == [first]]


def _people(text: str, spans: Sequence[tuple[int, int]]) -> list[_Named]:
    """Every mention of a person by name, in order; bare surnames too where the full name stands elsewhere."""
    found: list[_Named] = []
    for start, end in spans:
        if not _is_headline(text[start:end]):
            found += _people_in(text, start, end)
    surnames = {named.person.surname for named in found if named.person.given or named.person.title}
    taken = {place for named in found for place in range(named.start, named.end)}
    for match in _SURNAME.finditer(text):
        bare = Person(re.sub(r"['’]s?$", "", match.group()), None, None)
        if match.start() not in taken and bare.surname in surnames:
            found.append(_Named(match.start(), match.end(), bare))
    return sorted(found, key=lambda named: named.start)


def _people_in(text: str, start: int, end: int) -> Iterator[_Named]:
    for match in _CAPITALS.finditer(text, start, end):
        low, words = match.start(), match.group()
        while " " in words and words.split()[0].lower().strip(".,") in _OPENERS:
            cut = len(words) - len(words.split(None, 1)[1])
            low, words = low + cut, words[cut:]
        lead = text[max(start, low - 80) : low]
        office = _LEAD.split(lead)[-1]
        someone = person((office if role(office) else "") + words)
        if someone is None or (someone.title is None and re.search(r"\b(?:at|in|near|into|outside)\s+$", lead)):
            continue  # "beside the airfield at La Aurora"
        if someone.title is None:
            after = _AFTER.match(text, low + len(words), end)
            before = [lead[match.start() :] for match in _DETERMINER.finditer(lead)] if lead.endswith(", ") else []
            for title in (*([after["title"]] if after else []), *before):
                if role(title) and not person(title):
                    title = _DETERMINER.sub("", title.strip(" ,"), count=1) if _DETERMINER.match(title) else title
                    someone = Person(someone.name, title, someone.country or country_in(title))
                    break
        where = re.match(r"In ([^,]{3,30}),\s", text[start:low])
        place = country(where[1]) if where else None
        yield _Named(low, low + len(words), someone, place)


def _is_headline(sentence: str) -> bool:
    """Whether nearly all words have capitals, so that they tell no names."""
    words = [word for word in re.findall(r"[^\W\d_]+", sentence) if len(word) > 3]
    capitals = sum(word[0].isupper() for word in words)
    return len(words) > 3 and capitals >= 0.8 * len(words) and not sentence.endswith(".")


def _full_names(people: list[_Named]) -> dict[str, list[Person]]:
    """Surname -> the different persons who bear it, each with the fullest name and a title, if any."""
    names: dict[str, list[Person]] = {}
    for named in sorted(people, key=lambda named: -len(named.person.name.split())):
        someone = named.person
        match = [other for other in names.get(someone.surname, []) if _compatible(someone, other)]
        match = match or _by_first_name(someone, names)
        if not match:
            names.setdefault(someone.surname, []).append(someone)
        elif len(match) == 1:
            (other,) = match
            bearers = names[other.surname]
            title = better_title(other.title, someone.title)
            bearers[bearers.index(other)] = Person(other.name, title, other.country or someone.country)
    return names
