"""Names: countries by all that stands for them, and persons with what stands around their names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stancelib.names import (
    better_title,
    country,
    country_in,
    fold,
    is_indefinite,
    person,
    role,
    strip_mention,
    surname,
)


@pytest.mark.parametrize(
    ("nation", "mentions"),
    {
        "Germany": "Germany|Berlin|German|the German government|Germany's government|the federal government in Berlin|"
        "the new German coalition government|the Germans|Germany’s|“Berlin”|German authorities|Germany itself",
        "United States": "United States|the United States|US|the US|U.S.|the U.S.|USA|America|Washington|"
        "the White House|the US administration|American|the Americans|U.S",
        "United Kingdom": "Britain|the UK|U.K.|London|Downing Street|No 10|No. 10|Whitehall|the British government|"
        "Britain's Labour government|the British|the Britons",
        "Russia": "Russia|Moscow|the Kremlin|Russian authorities|the Russian leadership",
        "Ukraine": "Kyiv|Kiev|the Ukrainians|Ukraine",
        "France": "Paris|the Élysée|the Elysee Palace|the French|the French cabinet",
        "Denmark": "Copenhagen|the Danes|Danish|the Danish minority government",
        "Netherlands": "The Hague|the Hague|the Dutch government|the Netherlands|Holland",
        "Czech Republic": "Prague|Czechia|the Czechs|the Czech government itself",
        "Democratic Republic of the Congo": "Congo|DR Congo|the DRC|Kinshasa|the Congolese government|"
        "the Democratic Republic of Congo",
        "Republic of the Congo": "Brazzaville|the Republic of the Congo",
        "Dominican Republic": "Santo Domingo|the Dominican government|the Dominican Republic",
        "Chad": "N'Djamena|N’Djamena|Chad",
        "Niger": "Niamey|the Nigerien authorities",
        "Nigeria": "Abuja|Nigerian",
        "Mali": "Bamako|the Malian transitional government|the transitional authorities in Mali",
        "Burkina Faso": "Ouagadougou|Burkina|Burkina Faso's military government",
        "South Korea": "Seoul|the South Korean government|the Republic of Korea",
        "North Korea": "Pyongyang|DPRK|the North Korean leadership",
        "Turkey": "Ankara|Türkiye|the Turkish government|the Turks",
        "Moldova": "Chișinău|Chisinau",
        "Colombia": "Bogotá|Bogota",
        "North Macedonia": "Skopje|North Macedonia",
        "Kosovo": "Pristina|Kosovar",
        "Bosnia and Herzegovina": "Sarajevo|Bosnia|the Bosnian authorities",
        "Georgia": "Tbilisi|Georgia",
        "Serbia": "Belgrade|the Serbs",
    }.items(),
)
def test_what_stands_for_a_country(nation: str, mentions: str):
    assert {mention: country(mention) for mention in mentions.split("|")} == dict.fromkeys(mentions.split("|"), nation)


@pytest.mark.parametrize(
    "mention",
    [
        *("us", "male voters", "", " ", "the", "NATO", "the European Union", "the government", "parliament"),
        *(
            "Germany's defence minister",
            "the German parliament",
            "German troops",
            "Berlin residents",
            "Lady Hamilton",
            "Britons",
        ),
        *("Germans", "most Germans", "some French", "a majority of Poles", "Western governments", "Washington Post"),
        *("Jordan Bardella", "Israel Katz", "Stanley", "the Berlin city government", "the Ukrainian army leadership"),
        *("the Trump administration", "Gaza", "Niger's junta", "West Africa"),
    ],
)
def test_what_is_no_country(mention: str):
    assert country(mention) is None


def test_the_country_within_words():
    assert country_in("former prime minister of Poland.") == "Poland"
    assert country_in("South Korea's defence minister") == "South Korea"
    assert country_in("the retired U.S. general") == "United States"
    assert country_in("The turkey was cold, and so was the chad") is None


@pytest.mark.parametrize(
    ("mention", "name", "title", "nation"),
    [
        (
            "Lithuanian Foreign Minister Gabrielius Landsbergis",
            "Gabrielius Landsbergis",
            "Lithuanian Foreign Minister",
            "Lithuania",
        ),
        ("US President Joe Biden's", "Joe Biden", "US President", "United States"),
        ("Mr Biden", "Biden", "Mr", None),
        ("Boris Pistorius, Germany's defence minister", "Boris Pistorius", "Germany's defence minister", "Germany"),
        ("the Israeli prime minister, Benjamin Netanyahu,", "Benjamin Netanyahu", "Israeli prime minister", "Israel"),
        ("Ben Hodges, a retired U.S. general", "Ben Hodges", "retired U.S. general", "United States"),
        ("President Volodymyr Zelenskyy of Ukraine", "Volodymyr Zelenskyy", "President", "Ukraine"),
        ("Governor J.B. Pritzker of Illinois", "J.B. Pritzker", "Governor", None),
        ("Mary Kaldor of the LSE", "Mary Kaldor", None, None),
        ("Sen. Lindsey Graham (R-S.C.)", "Lindsey Graham", "Sen.", None),
        ("Sen. Angus King", "Angus King", "Sen.", None),
        ("Clive Lewis MP", "Clive Lewis", "MP", None),
        ("General Sir Richard Dannatt", "Richard Dannatt", "General Sir", None),
        ("Chief of the Defence Staff Sir Tony Radakin", "Tony Radakin", "Chief of the Defence Staff Sir", None),
        ("Chief of Staff Andriy Yermak", "Andriy Yermak", "Chief of Staff", None),
        ("Secretary of State Antony Blinken", "Antony Blinken", "Secretary of State", None),
        ("Lt. Col. Dana Prewitt", "Dana Prewitt", "Lt. Col.", None),
        ("Israeli Defence Minister Israel Katz", "Israel Katz", "Israeli Defence Minister", "Israel"),
        ("Jordan Bardella", "Jordan Bardella", None, None),
        ("Jordan's King Abdullah", "Abdullah", "Jordan's King", "Jordan"),
        ("South Korea's Kim Yong-hyun", "Kim Yong-hyun", None, "South Korea"),
        ("the SPD's Ralf Stegner", "Ralf Stegner", None, None),
        ("Renamo lawmaker Joana Muchave", "Joana Muchave", "Renamo lawmaker", None),
        ("Bashar al-Assad", "Bashar al-Assad", None, None),
        ("Crown Prince Mohammed bin Salman", "Mohammed bin Salman", "Crown Prince", None),
        ("Pope Leo XIV", "Leo", "Pope", None),
        ("42-year-old teacher Ivan Petrov", "Ivan Petrov", "42-year-old teacher", None),
        ("Shri M. R. Subbaraman (Tiruchirappalli)", "M. R. Subbaraman", "Shri", None),
    ],
    ids=lambda value: value,
)
def test_persons(mention: str, name: str, title: str | None, nation: str | None):
    found = person(mention)
    assert found is not None
    assert (found.name, found.title, found.country) == (name, title, nation)


@pytest.mark.parametrize(
    "mention",
    [
        *(
            "Macron",
            "the minister",
            "the Czech president",
            "the opposition Renamo",
            "he",
            "",
            "“",
            "Berlin",
            "New Zealand",
        ),
        *("the UN Security Council", "Amnesty International", "The Washington Post", "Senate Democrats", "Fox News"),
        *(
            "Camp Hansen",
            "La Aurora",
            "Operation Lantern",
            "Most Germans",
            "the Labour Party",
            "North Kivu",
            "U.S. Marines",
        ),
        *(
            "Law and Justice",
            "the State Department",
            "Ministry of Defence",
            "South China Sea",
            "Foreign Affairs Committee",
        ),
    ],
)
def test_what_is_no_person(mention: str):
    assert person(mention) is None


def test_surnames():
    names = ["Ursula von der Leyen", "Marine Le Pen", "Jan van Houwelingen", "Ben Hodges", "Xi", "Pádraig Ó Muirí"]
    assert list(map(surname, names)) == ["von der Leyen", "Le Pen", "van Houwelingen", "Hodges", "Xi", "Ó Muirí"]
    keys = {name: person(name) for name in ("Bashar al-Assad", "Viktor Orbán", "Ursula von der Leyen", "Mr Le Pen")}
    assert {name: (found.surname, found.given) for name, found in keys.items() if found} == {
        "Bashar al-Assad": ("assad", ["bashar"]),
        "Viktor Orbán": ("orban", ["viktor"]),
        "Ursula von der Leyen": ("von der leyen", ["ursula"]),
        "Mr Le Pen": ("le pen", []),
    }


@pytest.mark.parametrize(
    ("mention", "words"),
    {
        "the foreign minister": "foreign minister",
        "The Polish foreign minister": "foreign minister",
        "the minister of foreign affairs": "minister foreign affairs",
        "Gov.": "governor",
        "Sen.": "senator",
        "the Polish premier": "prime minister",
        "PM": "prime minister",
        "the vice-president": "vice president",
        "the outgoing president": "president",
        "ex-President": "former president",
        "the army chief": "army chief",
        "the Kremlin spokesman": "spokesman",
        "Secretary-General": "secretary general",
        "The Minister of External Affairs (Shri Jagannath Mohapatra)": "minister external affairs",
        # no offices
        "the foreign ministry": "",
        "the Ministry of Defence": "",
        "the opposition": "",
        "the party": "",
        "Ukraine's General Staff": "",
        "the State Department": "",
        "President Pavel": "",
        "": "",
    }.items(),
)
def test_offices(mention: str, words: str):
    assert role(mention) == frozenset(words.split())


def test_a_title_that_tells_more_is_kept():
    assert better_title("Ms", "Commission President") == "Commission President"
    assert better_title("Defence Minister", "Sir") == better_title("Sir", "Defence Minister") == "Defence Minister"
    assert better_title("Minister", "President") == "Minister"
    assert better_title("Mr", None) == better_title(None, "Mr") == "Mr"
    assert better_title(None, None) is None


def test_mentions_are_stripped():
    assert strip_mention("the  German\ngovernment’s") == "German government"
    assert strip_mention("“Berlin”,") == "Berlin"
    assert strip_mention("the same President") == "President"
    assert strip_mention("the party itself") == "party"
    assert [
        m for m in ("a minister", "some ministers", "two ministers", "most Poles", "1,200 men") if is_indefinite(m)
    ] == [
        "a minister",
        "some ministers",
        "two ministers",
        "most Poles",
        "1,200 men",
    ]
    assert not any(map(is_indefinite, ("the minister", "No 10", "Anna", "")))
    assert fold("Bogotá’s ÉLYSÉE") == "bogota's elysee"


@given(
    st.lists(
        st.sampled_from(
            ["the", "a", "President", "Mr", "Le", "von", ",", "(", ")", "’s", "U.S.", "-", "Anna", "al-Sisi", "of", "é"]
        )
        | st.text()
    )
)
def test_any_words_can_be_asked_about(words: list[str]):
    mention = " ".join(words)
    found = person(mention)
    if found is not None:
        assert found.name
        assert found.name.split()[0] in mention
        assert found.surname
    assert country(mention) is None or isinstance(country(mention), str)
    assert all(word == word.lower() for word in role(mention))
    assert len(strip_mention(mention)) <= len(mention)
