"""Names of countries and persons, as news writes them.

Countries, their demonyms and capitals come from countryinfo; here are the few names for governments that it lacks, the
titles that stand before a person's name, and how a mention is taken apart.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache

# Houses and streets that stand for a government, and names that countryinfo lacks or has at length only.
_OTHER_NAMES = {
    "Argentina": ["Argentine", "Argentinian", "Casa Rosada"],
    "Austria": ["Ballhausplatz"],
    "Bosnia and Herzegovina": ["Bosnia", "Bosnia-Herzegovina"],
    "Burkina Faso": ["Burkina", "Burkinabe"],
    "China": ["Beijing", "PRC"],
    "Czech Republic": ["Czechia"],
    "Democratic Republic of the Congo": ["Democratic Republic of Congo", "DRC", "D.R.C.", "DR Congo", "Congo"],
    "Dominican Republic": ["Dominican"],
    "France": ["Elysee", "Elysee Palace", "Quai d'Orsay"],
    "Germany": ["Bundesregierung"],
    "India": ["Delhi"],
    "Iran": ["Teheran"],
    "Israel": ["Tel Aviv"],
    "Ivory Coast": ["Cote d'Ivoire", "Ivorian", "Abidjan"],
    "Kazakhstan": ["Astana", "Kazakh"],
    "Kosovo": ["Pristina", "Prishtina", "Kosovar"],
    "Moldova": ["Chisinau"],
    "Mongolia": ["Ulan Bator"],
    "Myanmar": ["Burma", "Burmese"],
    "Netherlands": ["The Hague", "Holland"],
    "North Korea": ["Pyongyang", "DPRK"],
    "Philippines": ["Philippine"],
    "Romania": ["Bucharest"],
    "Russia": ["Kremlin"],
    "Saudi Arabia": ["Saudi"],
    "South Korea": ["Seoul", "Blue House", "Republic of Korea"],
    "Spain": ["Moncloa"],
    "Switzerland": ["Bern", "Berne"],
    "Turkey": ["Türkiye", "Ankara", "Turkish"],
    "Ukraine": ["Kiev"],
    "United Arab Emirates": ["UAE"],
    "United Kingdom": [
        *("UK", "U.K.", "Britain", "Downing Street", "10 Downing Street", "No 10", "No. 10", "Number 10", "Whitehall"),
        "London",
    ],
    "United States": ["US", "U.S.", "USA", "U.S.A.", "America", "White House", "Washington"],
    "Vatican": ["Holy See"],
    "Yemen": ["Sanaa"],
}
# What "the Danes" are to "Danish"; most peoples have an s and no more.
_PEOPLES = {
    "Denmark": "Danes",
    "Finland": "Finns",
    "Poland": "Poles",
    "Serbia": "Serbs",
    "Croatia": "Croats",
    "Spain": "Spaniards",
    "Sweden": "Swedes",
    "Turkey": "Turks",
    "United Kingdom": "Britons",
}
_RENAMED = {"Republic of Macedonia": "North Macedonia", "Swaziland": "Eswatini", "Palestine, State of": "Palestine"}
# Common words, names of persons and of smaller places that would be taken for a country.
_NO_COUNTRY = {"jersey", "male", "mann", "stanley", "douglas", "hamilton", "victoria", "plymouth", "georgetown"}
# Dependencies whose demonym or capital is a country's own.
_RANKED_LAST = ("Territory", "Island", "Islands", "Mayotte", "Réunion", "Martinique", "Guadeloupe", "Saint", "Svalbard")
# Countries and capitals that are first names too: "Israel Katz", "Jordan Bardella".
_GIVEN = {
    "austin",
    "chad",
    "georgia",
    "india",
    "israel",
    "jordan",
    "london",
    "paris",
    "santiago",
    "sofia",
    "washington",
}

_GOVERNMENT = (
    r"(?:(?:federal|national|minority|majority|coalition|caretaker|transitional|transition|interim|provisional|ruling|"
    r"central|new|present|current|outgoing|incoming|elected|civilian|military|wartime|unity|labour|conservative|"
    r"liberal|socialist|(?:cent(?:re|er)|left|right)(?:-(?:left|right|wing))?) )*"
    r"(?:government|cabinet|administration|authorities|leadership)"
)
_DETERMINER = re.compile(
    r"^(?:the same|the|a|an|its|their|his|her|our|my|your|this|that|these|those|both|some|most|all|many|several)\s+",
    re.I,
)
_INDEFINITE = re.compile(
    r"^(?:an?|some|most|all|many|several|no|one|two|three|four|five|another|other|every|any|[\d,]+)\s+(?=[^\d])", re.I
)
_POSSESSIVE = re.compile(r"['’]s?$")
_REFLEXIVE = re.compile(r"\s+(?:him|her|it|them)sel(?:f|ves)$", re.I)
_BRACKETS = re.compile(r"\s*\([^)]*\)")

# fmt: off
OFFICES = frozenset("""
activist adm admiral adviser advisor amb ambassador analyst archbishop ayatollah baroness bishop brig brigadier capt
captain cdr chair chairman chairperson chairwoman chancellor chief cllr cmdr col colonel columnist comdt commander
commissioner congressman congresswoman corporal councillor councilman councilwoman cpl dame deputy diplomat director
dr economist emir emperor envoy farmer frau gen general gov governor head herr historian hon host imam journalist judge
king lady lawmaker lawyer leader legislator lieutenant lord lt madam maj major marshal mayor member mep minister
ministers mlle mme moderator monsieur monsignor mp mr mrs ms msgr nurse officer patriarch pm pope premier pres
president prince princess prof professor pte queen rabbi rep representative researcher rev reverend secretary sen
senator sergeant señor señora sgt sheikh sheriff shri shrimati sir smt soldier speaker spokesman spokesperson
spokeswoman student sultan taoiseach teacher treasurer tánaiste undersecretary veteran whip
""".split())  # noqa: SIM905
# What may stand before an office, and is none by itself.
_MODIFIERS = frozenset("""
acting affairs assistant crown defence defense ex finance foreign former home interior justice opposition outgoing
party presidential press prime ret retired state supreme vice
""".split())  # noqa: SIM905
TITLES = OFFICES | _MODIFIERS
# Titles that are surnames too: "Senator Angus King".
_SURNAMES = frozenset({"king", "major", "bishop", "prince", "judge", "pope", "farmer"})
# Words that make a run of capitals an institution, a place or a thing, not a person.
_INSTITUTION = frozenset("""
academy act administration affairs agency agreement airport alliance amnesty army article assembly association
authority bank base battalion bay bloc board bridge brigade bundestag bundeswehr bureau cabinet camp campaign
cape caucus center centre chamber charter church city clinic club coalition code college command commission committee
communists community company confederation conference congress conservatives contingent corps cortes council county
court daily defence delegation democrats department directorate district division duma eu europe europeans
exercise federation fianna fine fleet force forces fort forum foundation front fund gate government greens group guard
gulf herald hospital house hub igad industries initiative institute institution international island islands junta
kingdom knesset labour lake league left legion liberals lobby majority marines media ministry mission monday month
mount movement nations nato navy network news observer office operation opposition organisation organization pact
palace parliament parliamentarians party peninsula pentagon people platoon police port post press programme
progressives project province rally red regiment region report republic republicans resolution review rights riksdag
river road school sea secretariat security sejm senate senators service sinn socialists society square squadron
staff state states states' station strait street supreme synod taliban task telegraph television think-tank times title
tower town treaty tribune triple trust union unit united university valley veterans village war watch week west west's
worker workers year
january february march april june july august september october november december tuesday wednesday thursday friday
saturday sunday
""".split())  # noqa: SIM905
# What a run of capitals that is a place or a thing begins with.
_PLACE_AT_HEAD = frozenset("""
central east eastern el fort great greater high inner join joint la lake las los lower middle mount new no north
northern northwest northeast old outer port puerto saint san santa santo south southeast southern southwest st stop
the upper western
""".split())  # noqa: SIM905
_PARTICLES = frozenset("""
van von der den de del della di da dos du la le el al bin ibn ben ter ten zu y e af av ó
""".split())  # noqa: SIM905
# What may stand behind a name and is no part of it; the members of parliaments among them bear it as a title.
_SEAT = frozenset({"mp", "mep", "td", "msp", "mla", "mk"})
_SUFFIXES = _SEAT | {"jr", "sr", "kc", "qc", "obe", "cbe", "mbe", "phd"}
_LONG = {
    "adm": "admiral", "amb": "ambassador", "brig": "brigadier", "capt": "captain", "cllr": "councillor",
    "cmdr": "commander", "col": "colonel", "defense": "defence", "dr": "doctor", "gen": "general", "gov": "governor",
    "lt": "lieutenant", "maj": "major", "pm": "prime minister", "premier": "prime minister", "pres": "president",
    "prof": "professor", "rep": "representative", "ret": "retired", "rev": "reverend", "sen": "senator",
    "sgt": "sergeant", "ex": "former", "advisor": "adviser",
}
# Words that say how, not which: "the outgoing president" is the president.
_SOFT = frozenset("""
the a an of for in at and own same new current present outgoing incoming acting top visiting powerful s
""".split())  # noqa: SIM905
# Titles that address people, and tell nothing of their office.
_ADDRESS = frozenset("""
mr mrs ms mme mlle monsieur herr frau sir dame lord lady madam shri shrimati smt señor señora hon doctor
""".split())  # noqa: SIM905
# fmt: on
ROLE_PRONOUNS = frozenset({"he", "she", "him", "her", "his", "hers", "himself", "herself"})
FEMALE_PRONOUNS = frozenset({"she", "her", "hers", "herself"})
GROUP_PRONOUNS = frozenset({"it", "they", "them", "their", "its"})
SPEAKER_PRONOUNS = frozenset({"i", "we", "us", "me", "my", "our"})
# What follows a name in commas and has no name of its own: ", who took office in May,"
_CLAUSE = re.compile(r"(?:who|whose|whom|which|where|when|while|in|on|at|after|before|since|from|as|like)\s")
_PREPOSITIONS = {"of", "for", "in", "at", "from", "on", "with", "by", "to", "against"}
_WORD = re.compile(r"[\w'’.\-]+", re.UNICODE)
_ARABIC_ARTICLE = re.compile(r"^(?:al|el|ad|as|ash|an|ar|ul|bin|ibn)[\-'’](?=\w)", re.I)


@dataclass(frozen=True, slots=True)
class Person:
    """A mention of a person, taken apart."""

    name: str  # without titles: "Gabrielius Landsbergis", or "Landsbergis"
    title: str | None  # "Lithuanian Foreign Minister"
    country: str | None  # "Lithuania"

    @property
    def surname(self) -> str:
        """Folded, and without the Arabic article: what persons are looked up by."""
        return _surname_key(self.name)

    @property
    def given(self) -> list[str]:
        """First and middle names, folded."""
        words = fold(self.name).split()
        return words[: len(words) - len(surname(self.name).split())]


@lru_cache(1 << 14)
def fold(words: str) -> str:
    """Lower case, without accents and with straight apostrophes: how names are compared."""
    if words.isascii():
        return words.lower()
    straight = words.replace("’", "'").replace("‘", "'")
    letters = unicodedata.normalize("NFKD", straight)
    return "".join(letter for letter in letters if not unicodedata.combining(letter)).lower()


@cache
def _countries() -> dict[str, str]:
    """Folded name, demonym or capital -> the country's name."""
    from countryinfo import all_countries  # not needed to predict

    found: dict[str, str] = {}
    entries = sorted(
        (entry.info() for entry in all_countries()),
        key=lambda entry: any(word in entry["name"] for word in _RANKED_LAST),
    )
    for entry in entries:
        name = entry["name"]
        names = [name, *_listed(entry.get("capital")), *_listed(entry.get("demonym"))]
        names += [other for other in entry.get("altSpellings") or [] if len(other) > 3]
        for other in names:
            if other and fold(other.strip()) not in _NO_COUNTRY:
                found.setdefault(fold(other.strip()), _RENAMED.get(name, name))
    for name, others in _OTHER_NAMES.items():
        for other in (name, *others):
            found[fold(other)] = name
    return found


@cache
def _peoples() -> dict[str, str]:
    """What follows "the" where a people stands for its country ("Danes", "Germans") -> the country's name."""
    found = {f"{name}s": country for name, country in _countries().items() if name.endswith(("n", "i", "o", "k", "h"))}
    return found | {people.lower(): country for country, people in _PEOPLES.items()}


def _listed(value: str | list[str] | None) -> list[str]:
    return value.split(",") if isinstance(value, str) else value or []


def strip_mention(mention: str) -> str:
    """A mention without its determiner, possessive ending, quotation marks and doubled blanks."""
    mention = " ".join(mention.split()).strip("\"'“”‘’«».,;:()")
    mention = _REFLEXIVE.sub("", _POSSESSIVE.sub("", mention))
    return _DETERMINER.sub("", mention)


def is_indefinite(mention: str) -> bool:
    """Whether a mention means one of several: ``a minister``, ``some ministers``."""
    return bool(_INDEFINITE.match(mention.strip()))


def country(mention: str) -> str | None:
    """The country whose name, capital, government or people (with "the") ``mention`` is, else None.

    >>> country("Berlin"), country("the German government"), country("the Danes"), country("Germany's defence minister")
    ('Germany', 'Germany', 'Denmark', None)
    """
    plain = strip_mention(mention)
    if plain in ("us", "uk"):  # the pronoun
        return None
    names, folded = _countries(), fold(plain).rstrip(".")
    for candidate in (folded, f"{folded}.", f"the {folded}"):
        if candidate in names and not is_indefinite(mention):
            return names[candidate]
    if re.match(r"the\s", mention.strip(), re.I) and folded in _peoples():
        return _peoples()[folded]
    for pattern in (
        rf"(?:(?:new|outgoing|incoming) )?(?P<c>.+?)(?:'s|')? {_GOVERNMENT}",
        rf"{_GOVERNMENT} (?:in|of) (?P<c>.+)",
    ):
        match = re.fullmatch(pattern, folded)
        if match:
            return names.get(_DETERMINER.sub("", match["c"]))
    return None


def country_in(words: str) -> str | None:
    """The first country that is named, by name, demonym or capital, anywhere in ``words``."""
    return _part_country(words)[0]


def _part_country(words: str) -> tuple[str | None, list[str]]:
    """The first country named in ``words``, and the other words."""
    names = _countries()
    tokens = [_POSSESSIVE.sub("", token) for token in _WORD.findall(words)]
    for size in (3, 2, 1):
        for start in range(len(tokens) - size + 1):
            candidate = " ".join(tokens[start : start + size])
            for spelled in (fold(candidate), fold(candidate).rstrip(".")):
                if candidate[:1].isupper() and spelled in names:
                    return names[spelled], tokens[:start] + tokens[start + size :]
    return None, tokens


def person(mention: str) -> Person | None:
    """``mention`` taken apart, if it names a person: a title and a name, or two capitalised words and more.

    A single capitalised word is taken for a surname only if something before it is a title.

    >>> person("Lithuanian Foreign Minister Gabrielius Landsbergis")
    Person(name='Gabrielius Landsbergis', title='Lithuanian Foreign Minister', country='Lithuania')
    """
    mention = _BRACKETS.sub("", " ".join(mention.split()))
    # "Radek Nowak, the Polish foreign minister" and "the Polish foreign minister, Radek Nowak"
    parts = [part.strip() for part in mention.split(",") if part.strip()]
    parts = [piece for part in parts for piece in _of_place(part)]
    named = next(((part, run) for part in parts for run in [_name_run(part)] if run and not _CLAUSE.match(part)), None)
    if named is None:
        return None
    part, (first, last) = named
    tokens = part.split()
    before, after = " ".join(tokens[:first]), [token.strip(".") for token in tokens[last:]]
    name = _POSSESSIVE.sub("", " ".join(tokens[first:last]).strip("\"'“”‘’«».,;:"))
    rest = [before, *(other for other in parts if other is not part), *(s for s in after if s.lower() in _SEAT)]
    title = _DETERMINER.sub("", next((words for words in rest if role(words)), "")).strip() or None
    words = [fold(word).strip(".") for word in name.split()]
    if title is None and (
        is_indefinite(mention)
        or len(words) == 1
        or words[0] in _PLACE_AT_HEAD
        or (mention[:4].lower() == "the " and not re.search("['’]s ", part))
    ):
        return None
    # Of a title, a word such as "Staff" before the name is part.
    if any(word in _INSTITUTION for word in words) or country(name):
        return None
    return Person(name, title, country_in(" ".join(rest)))


def better_title(one: str | None, other: str | None) -> str | None:
    """The one of two titles that says more than "Mr", else the first."""
    given = [title for title in (one, other) if title]
    return next((title for title in given if role(title) - _ADDRESS), given[0] if given else None)


def _of_place(part: str) -> list[str]:
    """``President Alar Karis of Estonia`` -> the person, and what follows; other parts as they are."""
    for match in re.finditer(r"\s+(?:of|from|at)\s+", part):
        head, tail = part[: match.start()], part[match.end() :]
        run = _name_run(head)
        if run is not None and (run[1] - run[0] > 1 or role(" ".join(head.split()[: run[0]]))):
            return [head, tail]
        break
    return [part]


@lru_cache(1 << 12)
def _surname_key(name: str) -> str:
    return _ARABIC_ARTICLE.sub("", fold(surname(name)))


def surname(name: str) -> str:
    """The last word of a name, with its particles: ``van Houwelingen``."""
    words = name.split()
    start = len(words) - 1
    while start > 0 and words[start - 1].lower() in _PARTICLES:
        # "Ben" and "Al" at the head are first names.
        if start == 1 and words[0] in ("Al", "Ben", "E", "Y"):
            break
        start -= 1
    return " ".join(words[start:])


def _is_country(word: str) -> bool:
    return fold(word) in _countries() or fold(word) + "." in _countries()


def _is_title(word: str) -> bool:
    return any(part.strip(".,").lower() in TITLES for part in (word, *(word.split("-") if "-" in word else ())))


def _name_run(part: str) -> tuple[int, int] | None:
    """First token and one past the last of the person's name in ``part``: the last run of capitals but titles."""
    tokens = part.split()
    bare = [token.strip("\"'“”‘’«».,;:()") for token in tokens]
    titled = [_is_title(_POSSESSIVE.sub("", word)) for word in bare]
    end = len(tokens)
    while end > 1 and (bare[end - 1].lower() in _SUFFIXES or re.fullmatch("[IVX]{2,}", bare[end - 1])):
        end -= 1
    is_name: list[bool] = []
    for index, word in enumerate(bare):
        plain = _POSSESSIVE.sub("", word)
        capital = plain[:1].isupper() or bool(re.match(r"(?:d['’]|(?:al|el|ibn|bin)[\-'’])(?=[^\W\d_])", plain, re.I))
        if titled[index]:
            capital = capital and index == end - 1 and plain.lower() in _SURNAMES and any(is_name[-1:])
        capital = capital and (plain == word or index == end - 1)
        if capital and _is_country(plain):
            following = _POSSESSIVE.sub("", bare[index + 1]) if index + 1 < end else ""
            capital = fold(plain) in _GIVEN and following[:1].isupper()
            capital = capital and not (_is_title(following) or _is_country(following))
        if capital and fold(plain) in _INSTITUTION and any(titled[:index]):
            capital = False  # "Chief of Staff Susan Hale"
        is_name.append(capital)
    start = end
    while start and (is_name[start - 1] or (bare[start - 1].lower() in _PARTICLES and 1 < start < end)):
        start -= 1
    while start < end and not is_name[start] and bare[start].lower() not in _PARTICLES:
        start += 1
    # A verb or noun behind it makes it no name, nor is "Chicago" one in "the mayor of Chicago".
    if start == end or not is_name[end - 1] or (start and bare[start - 1].lower() in _PREPOSITIONS):
        return None
    return start, end


def role(mention: str) -> frozenset[str]:
    """The words of the office that a mention without a name gives, abbreviations at length, countries left out.

    Empty if it is no office: ``the foreign minister`` gives foreign and minister, ``the foreign ministry`` nothing.
    """
    plain = strip_mention(_BRACKETS.sub("", mention)).replace("-", " ")
    head = re.split(r"\s+(?:of|for|in|at|to|from|on|who|and|with)\s+", plain, maxsplit=1)[0].split()
    if not head or _POSSESSIVE.sub("", head[-1]).strip(".,").lower() not in OFFICES:
        return frozenset()
    words = [word.strip(".").lower() for word in _part_country(plain)[1]]
    return frozenset(" ".join(_LONG.get(word, word) for word in words if word not in _SOFT).split())
