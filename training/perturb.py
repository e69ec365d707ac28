"""Changes of a text that leave its stance as it was, for tests of invariance (Ribeiro et al. 2020).

Each takes a text and a `random.Random`, and gives back the text changed, or as it was where there is nothing to
change. `perturb` makes one by name, seeded by the text, so that it is the same on every machine.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from functools import cache
from types import MappingProxyType
from typing import Literal, TypeAlias

from countryinfo import all_countries

from stancelib.names import TITLES, country, person, surname

SEED = 1

Perturbation: TypeAlias = Callable[[str, random.Random], str]
Kind: TypeAlias = Literal["name", "adjective", "people", "capital"]


# --- countries -------------------------------------------------------------------------------------------------------

# Names in the news that countryinfo lacks, by what they are swapped for. Places of government (Kremlin, White House)
# stay as they are.
_MORE_FORMS: dict[str, dict[Kind, tuple[str, ...]]] = {
    "Afghanistan": {"people": ("Afghans",)},
    "Argentina": {"adjective": ("Argentine",), "people": ("Argentines",)},
    "Bosnia and Herzegovina": {"name": ("Bosnia",), "adjective": ("Bosnian",), "people": ("Bosnians",)},
    "Colombia": {"capital": ("Bogota",)},
    "Croatia": {"people": ("Croats",)},
    "Czech Republic": {"name": ("Czechia",), "people": ("Czechs",)},
    "Democratic Republic of the Congo": {
        "name": ("Democratic Republic of Congo", "DRC", "DR Congo", "Congo"),
        "adjective": ("Congolese",),
    },
    "Denmark": {"people": ("Danes",)},
    "Finland": {"people": ("Finns",)},
    "Iceland": {"adjective": ("Icelandic",), "people": ("Icelanders",)},
    "Ivory Coast": {"name": ("Côte d'Ivoire", "Côte d’Ivoire"), "capital": ("Abidjan",)},
    "Kazakhstan": {"adjective": ("Kazakh",), "people": ("Kazakhs",)},
    "Kosovo": {"name": ("Kosovo",), "adjective": ("Kosovar",), "people": ("Kosovars",), "capital": ("Pristina",)},
    "Moldova": {"capital": ("Chisinau",)},
    "Netherlands": {"capital": ("The Hague",)},
    "Poland": {"people": ("Poles",)},
    "Romania": {"capital": ("Bucharest",)},
    "Saudi Arabia": {"adjective": ("Saudi",), "people": ("Saudis",)},
    "Serbia": {"people": ("Serbs",)},
    "Slovenia": {"adjective": ("Slovenian",), "people": ("Slovenians",)},
    "South Korea": {"name": ("Korea",), "adjective": ("Korean",), "people": ("Koreans",)},
    "Spain": {"people": ("Spaniards",)},
    "Sweden": {"people": ("Swedes",)},
    "Tajikistan": {"adjective": ("Tajik",), "people": ("Tajiks",)},
    "Turkey": {"name": ("Türkiye",), "people": ("Turks",)},
    "Ukraine": {"capital": ("Kiev",)},
    "United Kingdom": {"name": ("UK", "U.K.", "Britain", "Great Britain"), "people": ("Britons", "Brits")},
    "United States": {"name": ("US", "U.S.", "USA", "U.S.A.", "America"), "capital": ("Washington",)},
    "Uzbekistan": {"adjective": ("Uzbek",), "people": ("Uzbeks",)},
}
# Capitals that are first names, surnames or streets at least as often.
_AMBIGUOUS = frozenset({
    "Douglas", "George Town", "Georgetown", "Hamilton", "Jamestown", "Kingston", "Nassau", "Plymouth", "Stanley",
    "The Valley", "Victoria",
})  # fmt: skip
# What is written with an article, which goes with it: "in the Netherlands", "in Ghana".
_WITH_ARTICLE = frozenset({
    "Bahamas", "Central African Republic", "Congo", "Czech Republic", "DRC", "Democratic Republic of Congo",
    "Democratic Republic of the Congo", "Dominican Republic", "Gambia", "Ivory Coast", "Maldives", "Netherlands",
    "Philippines", "U.K.", "U.S.", "U.S.A.", "UAE", "UK", "US", "USA", "United Arab Emirates", "United Kingdom",
    "United States",
})  # fmt: skip
# "US" and "UK" are adjectives before these.
_ATTRIBUTED = re.compile(
    r"[\s\-]+(?:air|ally|allies|ambassador|army|base|bases|battalion|battlegroup|brigade|broadcaster|coalition|combat"
    r"|commander|company|Congress|contingent|defen[cs]e|deployment|diplomats?|embassy|envoy|forces?|foreign|garrison"
    r"|general|government|ground|House|intelligence|intervention|invasion|lawmakers|led|Marines?|media|military"
    r"|mission|navy|Navy|Army|officers?|officials?|peacekeepers|personnel|policy|pres[ei]\w+|President|secretary"
    r"|Secretary|senators?|Senators?|Senate|service|soldiers?|special|State|support|taxpayers?|trainers|troops?"
    r"|voters|withdrawal|advis[eo]rs)\b"
)
# What countries are swapped for, by how their people are called: Kenyans, but the French. None of them needs "an"
# for a letter that is read as a consonant, nor an article of its own.
_PLAIN = (
    "Norway", "Ghana", "Chile", "Latvia", "Kenya", "Canada", "Romania", "Hungary", "Estonia", "Belgium", "Italy",
    "Germany", "Australia", "Indonesia", "Egypt", "Zambia", "Colombia", "Peru", "Mexico", "Brazil", "Tunisia",
    "Mongolia", "Malaysia", "Armenia",
)  # fmt: skip
_BARE = (
    "France", "Portugal", "Japan", "Vietnam", "Senegal", "Ireland", "Lebanon", "Nepal", "Togo", "Malta", "Switzerland",
)  # fmt: skip
_BARE_ENDING = re.compile(r"(?:ese|ish|(?<!cze)ch|ss)$")


def swap_countries(text: str, rng: random.Random) -> str:
    """Other countries for those that are named, with capital and people: "Kyiv's allies" -> "Nairobi's allies".

    Every country gets one other, that the text does not name; "a" and "an", and "the" before names that need it, are
    mended.
    """
    owners = {owner for match in _country_pattern().finditer(text) for owner, _ in [_forms()[match["form"]]]}
    free = {_PLAIN: [c for c in _PLAIN if c not in owners], _BARE: [c for c in _BARE if c not in owners]}
    partner: dict[str, str] = {}
    for owner in sorted(owners):
        pool = free[_BARE if _is_bare(owner) else _PLAIN]
        if pool:
            partner[owner] = pool.pop(rng.randrange(len(pool)))

    def replaced(match: re.Match[str]) -> str:
        form, article = match["form"], match["article"] or ""
        owner, kind = _forms()[form]
        if owner not in partner:
            return match[0]
        attributive = form in ("US", "U.S.", "UK", "U.K.") and (
            _ATTRIBUTED.match(text, match.end()) or article.strip().lower() in ("a", "an")
        )
        other = _written(partner[owner])["adjective" if attributive else kind]
        if article.strip().lower() == "the" and form in _WITH_ARTICLE and not attributive:
            article = ""
        elif article.strip().lower() in ("a", "an"):
            article = article[0] + ("n " if other[0] in "AEIO" else " ")
        if match["apostrophe"]:  # the Philippines' -> Ghana's
            other += match["apostrophe"] + ("" if other.endswith("s") else "s")
        stop = "." if form.endswith(".") and match.end() == len(text) else ""
        return article + other + stop

    return _country_pattern().sub(replaced, text)


@cache
def _forms() -> MappingProxyType[str, tuple[str, Kind]]:
    """Name, capital, adjective or people, as written -> the country, and which of these it is."""
    found: dict[str, tuple[str, Kind]] = {}
    for owner, kinds in _MORE_FORMS.items():
        for kind, forms in kinds.items():
            found.update((form, (owner, kind)) for form in forms)
    for entry in all_countries():
        info = entry.info()
        owner = info["name"]
        name = owner.removeprefix("The ")
        demonyms = (info.get("demonym") or "").split(",")
        candidates: list[tuple[str, Kind]] = [(name, "name"), *((demonym, "adjective") for demonym in demonyms)]
        if isinstance(info.get("capital"), str):
            candidates.append((info["capital"], "capital"))
        for form, kind in candidates:
            # "French" is France's and not Mayotte's.
            if form and form not in _AMBIGUOUS and country(form) == owner:
                found.setdefault(form, (owner, kind))
                if kind == "adjective" and not _BARE_ENDING.search(form):
                    found.setdefault(form + "s", (owner, "people"))
    return MappingProxyType(found)


@cache
def _country_pattern() -> re.Pattern[str]:
    forms = "|".join(re.escape(form) for form in sorted(_forms(), key=len, reverse=True))
    return re.compile(
        r"(?P<article>\b(?:[Tt]he|[Aa]n?) )?"
        r"(?<!\w)(?<!Latin )(?<!North )(?<!Northern )(?<!Central )(?<!New )(?<!Native )(?<!African )"
        rf"(?P<form>{forms})(?!\w)"
        r"(?P<apostrophe>(?<=s)['’](?= \w))?"
        r"(?! (?:Channel|Gulf|Ocean|Post|Sea|Straits?|Times)\b)"
    )


@cache
def _is_bare(owner: str) -> bool:
    """Whether the people are called by the bare adjective (the Dutch, the Sudanese)."""
    adjectives = [form for form, (whose, kind) in _forms().items() if whose == owner and kind == "adjective"]
    return any(_BARE_ENDING.search(form) for form in adjectives)


@cache
def _written(owner: str) -> MappingProxyType[Kind, str]:
    """How a country that others are swapped for is written."""
    by_kind: dict[Kind, str] = {"name": owner}
    for form, (whose, kind) in _forms().items():
        if whose == owner:
            by_kind.setdefault(kind, form)
    if owner in _BARE:
        by_kind["people"] = by_kind["adjective"]
    return MappingProxyType(by_kind)


# --- persons ---------------------------------------------------------------------------------------------------------

# Invented, of many origins.
_PEOPLE = (
    "Amara Diallo", "Anton Horvath", "Arjun Pillai", "Aroha Ngata", "Chidi Okonkwo", "Dmitri Sokolov", "Elena Markovic",
    "Grace Mutua", "Huong Tran", "Ingrid Solheim", "Kwame Boateng", "Leilani Kahale", "Marta Ferreira", "Mei Tanaka",
    "Nino Beridze", "Omar Benali", "Pierre Lacombe", "Rafael Quispe", "Rosa Villanueva", "Samir Khoury",
    "Siobhan Keane", "Sofia Lindgren", "Tomasz Wrona", "Yusuf Demirci",
)  # fmt: skip
# Titles after which a capital does not mean a person ("State Department", "Home Office").
_ROLES = TITLES - {
    "acting", "defence", "defense", "deputy", "ex", "finance", "foreign", "former", "home", "interior", "justice",
    "opposition", "outgoing", "party", "presidential", "prime", "ret", "retired", "state", "vice",
}  # fmt: skip
_PARTICLES = frozenset({"al", "bin", "de", "del", "den", "der", "di", "du", "ibn", "la", "le", "van", "von", "zu"})
_WORD = re.compile(r"[\w\-]+(?:['’](?!s\b)[\w\-]+)?\.?")
_NAME = re.compile(r"(?!I\b)(?:al-)?[^\W\d_a-zß-ÿ]")
_FULL_NAME = re.compile(
    r"(?<![\w\-])(?P<name>(?:[A-ZÀ-ÞŁŚŠŽČĐ][\w\-]+ (?:(?:van|von|de|al|bin) )?){1,2}[A-ZÀ-ÞŁŚŠŽČĐ][\w\-]+), "
    r"(?P<title>(?:the|an?|its|his|her|their|our|who was) [^,.;:]{4,60})"
)


def swap_persons(text: str, rng: random.Random) -> str:
    """Other names for the persons that stand with a title: "Senator Lena Ruud" -> "Senator Omar Benali".

    The same person gets the same name wherever the surname recurs.
    """
    found = list(dict.fromkeys(_persons(text)))
    full = {surname(name): name for name in found if " " in name}
    free = [name for name in _PEOPLE if surname(name) not in text]
    rng.shuffle(free)
    for last in dict.fromkeys(surname(name) for name in found):
        if not free:
            break
        new = free.pop()
        if last in full:
            text = re.sub(rf"(?<!\w){re.escape(full[last])}(?!\w)", new, text)
        text = re.sub(rf"(?<![\w\-]){re.escape(last)}(?![\w\-])", surname(new), text)
    return text


def _persons(text: str) -> Iterator[str]:
    """Names after a title, or before one that follows in commas."""
    words = [(match[0], match.start(), match.end()) for match in _WORD.finditer(text)]
    for index, (title, _, end) in enumerate(words):
        if title.lower().rstrip(".") not in _ROLES:
            continue
        last = end
        start = None
        for word, low, high in words[index + 1 :]:
            capital = _NAME.match(word) and word.lower().rstrip(".") not in TITLES and country(word) is None
            if text[last:low] != " " or not (capital or (start is not None and word in _PARTICLES)):
                break
            start = low if start is None else start
            last = high
            if word.endswith(".") and len(word) > 2:  # the sentence's end
                last -= 1
                break
        name = "" if start is None else text[start:last]
        someone = person(f"{title} {name}") if name else None
        if someone is not None and someone.name == name:
            yield name
    for match in _FULL_NAME.finditer(text):
        someone = person(f"{match['name']}, {match['title']}") if _ROLES & set(match["title"].split()) else None
        if someone is not None and someone.name == match["name"]:
            yield match["name"]


def swap_names(text: str, rng: random.Random) -> str:
    """`swap_countries` and `swap_persons`."""
    return swap_persons(swap_countries(text, rng), rng)


# --- spelling and typography -----------------------------------------------------------------------------------------

# Words that begin so carry the stance, and are spelt right.
_CARRIES_STANCE = re.compile(
    r"(?:no|not|never|none|nobody|nothing|neither|nowhere|cannot|without|hardly|barely|unless|until|un|against|anti"
    r"|abandon|accept|agree|allow|approv|ask|authori[sz]|back|bring|call|cancel|cease|condemn|consider|continu|cut"
    r"|decid|declin|defend|demand|deni|deny|deploy|despatch|dispatch|doubl|doubt|end|endors|enter|exclud|expel|extend"
    r"|favou?r|halt|halv|hesita|interven|invad|invas|keep|leav|maintain|mistak|object|occup|oppos|order|permit"
    r"|postpon|prevent|prolong|protest|pull|quit|readi|ready|reduc|refus|regret|reinforc|reject|reluctan|remain"
    r"|remov|renew|requir|return|revers|send|station|stay|stop|strengthen|support|surge|suspend|unwilling|urg|veto"
    r"|warn|welcom|willing|withdr|worth|wrong)",
    re.IGNORECASE,
)
_LONG = 6


def add_typos(text: str, rng: random.Random) -> str:
    """Up to two slips in long words: two neighbouring letters change places, or one is left out.

    First and last letters stay, and so do negations and the verbs that carry the stance.
    """
    words = [
        match
        for match in re.finditer(r"[^\W\d_]+", text)
        if len(match[0]) >= _LONG and not _CARRIES_STANCE.match(match[0])
    ]
    letters = list(text)
    for match in rng.sample(words, min(2, len(words))):
        place = rng.randrange(match.start() + 1, match.end() - 2)
        if letters[place] == letters[place + 1] or rng.random() < 0.5:
            letters[place] = ""
        else:
            letters[place], letters[place + 1] = letters[place + 1], letters[place]
    return "".join(letters)


def change_case(text: str, rng: random.Random) -> str:
    """ALL CAPITALS, or all small letters."""
    return rng.choice((str.upper, str.lower))(text)


_QUOTES = (("“", "”"), ('"', '"'), ("«", "»"), ("„", "“"))
_DASHES = (" – ", "—", " - ", " -- ")
_DASH = re.compile(r" – | — |—|(?<=\S) -{1,2} (?=\S)|(?<=\w)--(?=\w)")


def change_typography(text: str, rng: random.Random) -> str:
    """Quotation marks, apostrophes and dashes as another keyboard or publisher would have them."""
    if '"' in text and text.count('"') % 2 == 0:
        left, right = rng.choice([pair for pair in _QUOTES if pair[0] != '"'])
        text = re.sub(r'"([^"]*)"', lambda match: left + match[1] + right, text)
    elif "“" in text and text.count("“") == text.count("”"):
        left, right = rng.choice([pair for pair in _QUOTES if pair[0] != "“"])
        text = re.sub("“([^“”]*)”", lambda match: left + match[1] + right, text)
    swapped = {"'": "’", "’": "'"}
    text = re.sub(r"(?<=\w)['’](?=\w)|(?<=s)['’](?= )", lambda match: swapped[match[0]], text)
    used = _DASH.search(text)
    if used:
        dash = rng.choice([dash for dash in _DASHES if dash.strip() != used[0].strip()])
        text = _DASH.sub(dash, text)
    return text


def change_ending(text: str, rng: random.Random) -> str:
    """The last full stop or exclamation mark is dropped or doubled; a question mark is doubled."""
    match = re.search(r"(?<![.!?…])([.!?])(?P<closing>[\"'”’»)\]]*)$", text)
    if match is None:
        return text
    mark = match[1] * 2 if match[1] == "?" or rng.random() < 0.5 else ""
    return text[: match.start()] + mark + match["closing"]


# --- time ------------------------------------------------------------------------------------------------------------

_CITIES = ("BRUSSELS", "NAIROBI", "MANILA", "OSLO", "LIMA", "GENEVA", "ACCRA", "OTTAWA", "SEOUL", "AMMAN", "WARSAW")
_MONTHS = ("Jan.", "February", "March", "April", "May", "June", "July", "Aug.", "September", "Oct.", "November", "Dec.")
_AGENCIES = (" (NWA) – ", " (Pressline) - ", " (NWA) — ", " – ", ": ")
_TIMES = ("yesterday", "on Tuesday", "on Thursday", "on Saturday", "last week")
_HAS_TIME = re.compile(
    r"\b(?:\w+day|tonight|tomorrow|now|ago|last|next|this|when|since|until|(?:in|on|of) (?:(?:19|20)\d\d|\d+"
    r"|Jan|Feb|March|Apr|May|June|July|Aug|Sep|Oct|Nov|Dec)\w*)\b",
    re.IGNORECASE,
)
_TOLD = re.compile(
    r"\b(?<!is )(?<!are )(?<!was )(?<!were )(?<!been )(?<!be )(?<!has )(?<!have )(?<!had )(?<![Hh]aving )"
    r"(?:said|announced|declared|insisted|confirmed|warned|acknowledged|repeated|stressed)\b"
    r"(?! (?:to|by|as|so|if|on)\b)"
)


def add_time(text: str, rng: random.Random) -> str:
    """A "yesterday" or "on Tuesday" after the verb of a report that has no time yet, else a dateline before it all."""
    told = None if _HAS_TIME.search(text) else _TOLD.search(text)
    when = rng.choice(_TIMES)
    day, month = rng.randint(1, 28), rng.choice(_MONTHS)
    dateline = f"{rng.choice(_CITIES)}, {month} {day}{rng.choice(_AGENCIES)}"
    if told is not None:
        return f"{text[: told.end()]} {when}{text[told.end() :]}"
    return dateline + text


PERTURBATIONS: dict[str, Perturbation] = {
    "names swapped": swap_names,
    "two typos": add_typos,
    "case": change_case,
    "quotes and dashes": change_typography,
    "final punctuation": change_ending,
    "time or dateline": add_time,
}


def perturb(name: str, text: str, seed: int = SEED) -> str:
    """``text`` changed by ``PERTURBATIONS[name]``, the same for the same seed; as it was if nothing can be changed."""
    return PERTURBATIONS[name](text, random.Random(f"{seed}\n{name}\n{text}"))
