"""Which mentions mean the same holder: rules that can be read, in the order in which they are tried.

1. The author's own positions, *I* and *we* belong to whoever is speaking: the name before the colon of a transcript or
   on a line of its own, the signature of a letter, the one person named beside a quotation, the last one named before
   a quotation that goes on; else the text's author.
2. *he*, *she*: the one person named before it in the sentence; else the one, or the subject, of the last sentence that
   names any, two sentences back at most, or whomever its own *he* or *she* means. *it*, *they*: the one country or
   group with a position in this sentence or the one before. Two candidates: unsure.
3. A country, its capital, its government and its people ("the Danes") are one.
4. A person's name: by surname, if given names don't differ. Two persons of one surname: a bare surname is unsure.
5. A title without a name ("the Czech president"): the one person who bears it. Two: unsure.
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
_NAME_WORD = rf"(?:(?:al|el)[\-'’])?[{_UPPER}][\w'’\-]*\.?"
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
        self.names = _full_names(people)
        self.offices: dict[str, list[frozenset[str]]] = {}
        for named in people:
            for bearer in self._bearers(named.person) if named.person.title else []:
                self.offices.setdefault(fold(bearer.name), []).append(role(named.person.title or ""))
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
            who = self._speaker(self.spans[sentence], holder.start)
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

    def _speaker(self, span: tuple[int, int], position: int) -> str | None:
        """Who speaks at ``position`` of the sentence ``span``, if it is not the text's author."""
        for start, end, who in self.turns:
            if start <= position < end:
                return who
        if not self._is_quoted(position):
            return None
        beside = [who.person for who in self._named(*span) if not self._is_quoted(who.start)]
        if len(self._different(beside)) == 1:
            return beside[0].name
        previous = self.paragraphs[max(0, bisect_right(self.paragraphs, position) - 2)]
        named = [(who.start, who.person.name) for who in self._named(previous, span[0])]
        pronouns = SPEAKER_PRONOUNS | ROLE_PRONOUNS | GROUP_PRONOUNS
        named += [
            (holder.start, holder.text)
            for _, holder in self.found
            if previous <= holder.start < span[0]
            and not holder.is_author
            and strip_mention(holder.text).lower() not in pronouns
        ]
        # Those whom the quotation names don't say it.
        named = [(start, who) for start, who in named if not self._is_quoted(start)] or named
        return max(named)[1] if named else None

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
        reach, index = _LOOKS_BACK, sentence
        while index >= 0 and reach:
            start, end = self.spans[index]
            near = [
                named
                for named in self._named(start, min(end, holder.start))
                if not other_gender & self._honorifics(named.person)
            ]
            if len(self._different([named.person for named in near])) == 1:
                return self._person(near[0].person)
            if near:
                # Of several, the subject: nothing but its title stands before it.
                lead = self.text[start : near[0].start].strip(" \"“'‘")
                if index < sentence and (not lead or role(lead)):
                    return self._person(near[0].person)
                return _alone(holder.text, holder.start)
            # A pronoun there, whom nobody is named beside, passes the question on.
            reach -= 0 if index < sentence and _PRONOUN.search(self.text, start, end) else 1
            index -= 1
        # A holder of one word that may be a bare surname ("Macron"): the pronoun says that it is.
        bare = {
            key
            for key, (where, other) in zip(self.keys, self.found, strict=False)
            if sentence - where < _LOOKS_BACK and other.end <= holder.start and _may_be_surname(other.text)
        }
        if len(bare) == 1 and self.groups[next(iter(bare))].kind in ("group", "person"):
            (key,) = bare
            self.groups[key].kind = "person"
            return self._known(key)
        return _alone(holder.text, holder.start)

    def _honorifics(self, someone: Person) -> set[str]:
        """What the titles say of the person's gender, wherever they stand."""
        bearers = [someone, *self._bearers(someone)]
        return {word.strip(".").lower() for bearer in bearers if bearer.title for word in bearer.title.split()}

    def _different(self, people: list[Person]) -> set[Key]:
        return {self._person(someone)[0] for someone in people}

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
            return self._person(someone)
        plain = strip_mention(mention)
        # A bare surname, or a bare first name, of somebody whom the text names in full.
        bearers = self._bearers(Person(plain, None, None)) if plain[:1].isupper() or "-" in plain else []
        if bearers:
            return self._person(bearers[0]) if len(bearers) == 1 else _alone(plain, position)
        if role(mention) and not is_indefinite(mention):
            bearers = self._in_office(mention)
            if len(bearers) == 1:
                return self._person(bearers[0])
            if bearers:
                return _alone(mention, position)
        return self._group(mention, position)

    def _person(self, someone: Person) -> tuple[Key, Group]:
        match = self._bearers(someone)
        known = match[0] if len(match) == 1 else someone
        title = better_title(someone.title, known.title)
        return ("person", fold(known.name)), Group(known.name, "person", title, someone.country or known.country)

    def _bearers(self, someone: Person) -> list[Person]:
        """The persons in the text who may be meant, by surname, or by a first name that stands alone ("Xi")."""
        found = [other for other in self.names.get(someone.surname, []) if _compatible(someone, other)]
        return found or _by_first_name(someone, self.names)

    def _in_office(self, mention: str) -> list[Person]:
        """The persons one of whose titles has all the words; of the same country, if the mention gives one."""
        wanted, nation = role(mention), country_in(mention)
        return [
            someone
            for bearers in self.names.values()
            for someone in bearers
            if nation in (None, someone.country)
            and any(
                wanted <= office and not (office - wanted) & _ANOTHER_OFFICE
                for office in self.offices.get(fold(someone.name), [])
            )
        ]

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
        long = self.short.get(words[0].replace(".", "")) if len(words) == 1 else None
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
            yield match["short"].replace(".", ""), re.sub(r"^The\s+", "", match["long"])


def _may_be_surname(mention: str) -> bool:
    """Whether a holder of one capitalised word could be a person of whom the text has the surname only."""
    return bool(_SURNAME.fullmatch(mention)) and not mention.isupper() and country(mention) is None


def _compatible(one: Person, other: Person) -> bool:
    """Whether two names with one surname can mean one person: a missing first name, or an initial, fits any."""
    if not one.given or not other.given:
        return True
    # "Taylor Greene" and "Marjorie Taylor Greene"
    if fold(f" {one.name}").endswith(fold(f" {other.name}")) or fold(f" {other.name}").endswith(fold(f" {one.name}")):
        return True
    a, b = one.given[0].strip("."), other.given[0].strip(".")
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
        lead = " ".join(text[max(start, low - 60) : low].split(" ")[-5:])
        last = lead.split()[-1] if lead[-1:].isspace() else ""
        someone = person((lead if role(last) else "") + words)
        if someone is None or (
            someone.title is None and re.search(r"\b(?:at|in|near|into|outside)\s+$", text[max(start, low - 20) : low])
        ):
            continue  # "beside the airfield at La Aurora"
        after = _AFTER.match(text, low + len(words), end)
        if someone.title is None and after and role(after["title"]) and not person(after["title"].strip()):
            title = re.sub(r"^(?:the|a|an|his|her|its|who)\s+", "", after["title"])
            someone = Person(someone.name, title, someone.country or country_in(title))
        yield _Named(low, low + len(words), someone)


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
