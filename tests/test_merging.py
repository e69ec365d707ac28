"""Which mentions are one holder: the rules of `stancelib.merging` one by one, and where they keep mentions apart."""

import pytest
from by_hand import mentions, prediction, read, read_gold
from hypothesis import given, settings
from hypothesis import strategies as st

from stancelib import Holder
from stancelib.document import build
from stancelib.merging import merge
from stancelib.sentences import split
from training import documents
from training.evaluate_holders import document_scores


class TestSpeakers:
    """Rule 1: the author's positions are those of whoever speaks."""

    def test_the_author_of_a_column(self):
        assert mentions("[-]Sending troops is wrong. [I-] said so before. [We-] must stay home.") == {
            "": ["", "I", "We"]
        }

    def test_the_name_beside_a_quotation(self):
        assert mentions("“[I-] will never vote for it,” said [Anna Petrova-].") == {
            "Anna Petrova": ["I", "Anna Petrova"]
        }
        assert mentions("Ivo Berg was clear: “[We-] stay at home.”") == {"Ivo Berg": ["We"]}

    def test_of_two_beside_it_the_one_who_says_it(self):
        assert mentions("“[We-] stay,” said Anna Petrova after she met Ivo Berg.") == {"Anna Petrova": ["We"]}
        assert mentions("Anna Petrova told Ivo Berg: “[We-] stay.”") == {"Anna Petrova": ["We"]}

    def test_the_pronoun_beside_it(self):
        text = (
            "Anna Petrova met Ivo Berg. “[-]We stay,” she said. “[-]We do.”\n\nIvo Berg left. “[+]Let us go,” he said."
        )
        assert mentions(text) == {"Anna Petrova": ["", ""], "Ivo Berg": [""]}

    def test_a_quotation_that_goes_on(self):
        text = (
            '"We cannot stand aside," [Defence Minister Jonas Berg+] told reporters. "[+]Our soldiers will go."\n\n'
            '"[+]They will be there by May."\n\nIt rained.\n\n[-]It is a mistake.'
        )
        assert mentions(text) == {"Jonas Berg": ["Defence Minister Jonas Berg", "", ""], "": [""]}

    def test_a_title_beside_a_quotation(self):
        text = "Governor Karin Halvorsen spoke.\n\n“Our Guard answers floods,” the Governor said. “[-]It won't go.”"
        assert mentions(text) == {"Karin Halvorsen": [""]}

    def test_whom_a_quotation_names_does_not_say_it(self):
        text = "“I told Anna Petrova no,” said Ivo Berg. “[-]We stay.”"
        assert mentions(text) == {"Ivo Berg": [""]}

    @pytest.mark.parametrize(
        "text",
        [
            "MODERATOR: Shall we go?\nBERG: [+]We shall, and [I+] say so.\nPETROVA: [-]Never.",
            "The Speaker: Order.\n\nMr. Ivo Berg (Orun, Lib): Mr. Chair, [+]we go.\n\nMs. Ada Petrova (Sar): [-]Never.",
            "IN THE HOUSE\n\nShri Ivo Berg (Orun)\n\nSir, [+]we shall go. It is late.\n\n"
            "The Minister of Defence (Shrimati Ada Petrova)\n\n[-]Never.",
            "Sir, – It is late. [+]Let us go. – Yours, etc., IVO BERG (Comdt, retired), Orun\n\n"
            "Sir, – [-]Never. – Yours, etc., ADA PETROVA, Sarn",
        ],
        ids=["transcript", "debate", "lines", "letters"],
    )
    def test_turns(self, text: str):
        document = read(text)
        assert {holder.name.split()[-1].title(): holder.stance for holder in document.holders} == {
            "Berg": "support",
            "Petrova": "oppose",
        }
        assert document.author is None
        assert {holder.kind for holder in document.holders} == {"person"}

    def test_questions_and_answers(self):
        text = "Graciela Larrondo, 68, was minister.\n\nQ: [+]You must go.\n\nA: [-]Never. And [I-] say so."
        assert mentions(text) == {"Graciela Larrondo": ["", "I"], "": [""]}

    def test_one_colon_is_no_transcript(self):
        assert mentions("Ada Berg: a portrait\n\n[-]She is wrong about the troops.") == {"": [""]}


class TestPronouns:
    """Rule 2."""

    def test_the_one_person_named_before(self):
        assert mentions("[Anna Petrova+] would go. It rained. [She+] said so.") == {
            "Anna Petrova": ["Anna Petrova", "She"]
        }
        assert mentions("Anna Petrova said that [she+] would go.") == {"Anna Petrova": ["she"]}
        assert mentions("The bar is Anna Petrova's. “Send them,” [she+] says.") == {"Anna Petrova": ["she"]}

    def test_two_sentences_back_and_no_further(self):
        assert mentions("Anna Petrova came. It rained. [She+] would go.") == {"Anna Petrova": ["She"]}
        assert mentions("Anna Petrova came. It rained. It was cold. [She+] would go.") == {"She": ["She"]}
        # … unless a pronoun hands it on.
        assert mentions("Anna Petrova came. It rained. She was cold. [She+] would go.") == {"Anna Petrova": ["She"]}

    def test_two_candidates(self):
        assert mentions("Anna Petrova told Ada Berg that [she+] would go.") == {"she": ["she"]}
        assert mentions("In Orun Anna Petrova met Ada Berg. [She+] would go.") == {"She": ["She"]}
        # The subject of the sentence before is plain enough.
        assert mentions("Minister Anna Petrova met Ada Berg. [She+] would go.") == {"Anna Petrova": ["She"]}
        assert read("Anna Petrova told Ada Berg that [she+] would go.").holders[0].kind == "unsure"

    def test_two_persons_of_one_surname_are_two_candidates(self):
        assert mentions("In Orun Anna Berg met Ada Berg. [She+] would go.") == {"She": ["She"]}

    def test_honorifics_tell_her_from_him(self):
        text = "Mr Smith would go. Mrs Jones listened. [She-] would not, and [he+] knew it."
        assert mentions(text) == {"Jones": ["She"], "Smith": ["he"]}

    def test_places_are_no_persons(self):
        text = "The shutters go up at Camp Hansen, and Mitsuko Higa waits near La Aurora. “Send them,” [she+] says."
        assert mentions(text) == {"Mitsuko Higa": ["she"]}

    def test_a_bare_surname_that_is_a_holder(self):
        assert mentions("[Macron+] would go. [He+] said so.") == {"Macron": ["Macron", "He"]}
        assert read("[Macron+] would go. [He+] said so.").holders[0].kind == "person"
        # It may be a party where the text names persons.
        text = "[Anna Petrova+] would go. [Likud-] would not. [He-] said so."
        assert mentions(text) == {"Anna Petrova": ["Anna Petrova"], "Likud": ["Likud"], "He": ["He"]}

    def test_it_and_they(self):
        text = "[Estonia+] would go. [It+] has said so. [Its government+] agreed. [They+] will."
        assert mentions(text) == {"Estonia": ["Estonia", "It", "Its government", "They"]}
        assert mentions("[Mali+] and [Niger+] would go. [It+] said so.") == {
            "Mali": ["Mali"],
            "Niger": ["Niger"],
            "It": ["It"],
        }
        assert mentions("[Mali+] would go. It rained. It was cold. [It+] will.") == {"Mali": ["Mali"], "It": ["It"]}
        assert mentions("[Anna Petrova+] would go. [It+] is late.") == {"Anna Petrova": ["Anna Petrova"], "It": ["It"]}


class TestCountries:
    """Rule 3."""

    def test_capital_government_and_people(self):
        text = "[Berlin-] said no. [The German government-] did. [Germany-] and [the Germans-] stay. [Paris+] goes."
        assert mentions(text) == {
            "Germany": ["Berlin", "The German government", "Germany", "the Germans"],
            "France": ["Paris"],
        }
        (germany, _) = read(text).holders
        assert (germany.kind, germany.country) == ("country", "Germany")

    def test_us_is_a_country_in_capitals_only(self):
        assert mentions("[The US-] and [Washington-] stay. [-]It would cost [us-] dear.") == {
            "United States": ["The US", "Washington"],
            "": ["", "us"],
        }

    def test_a_minister_a_majority_and_an_army_are_not_their_country(self):
        text = (
            "[Germany's defence minister+] would go. [A majority of Germans-] would not, nor would [the German army-], "
            "[Merz's government-] or [the German parliament-]. [Germany+] goes."
        )
        assert len(mentions(text)) == 6

    def test_lists_of_countries(self):
        assert mentions("[Sweden, Spain and Italy-] hesitate. [Rome-] does.") == {
            "Italy": ["Italy", "Rome"],
            "Sweden": ["Sweden"],
            "Spain": ["Spain"],
        }


class TestPersons:
    """Rule 4."""

    @pytest.mark.parametrize(
        "text",
        [
            "[Lithuanian Foreign Minister Gabrielius Landsbergis+] would go. [Landsbergis+] and [Mr Landsbergis+] did.",
            "[Chinese President Xi Jinping-] refused. [Xi-] and [President Xi-] said so.",
            "[Prime Minister Keir Starmer+] would. [Sir Keir+] did. [Mr Starmer+] said. [Starmer+] went.",
            "[Ursula von der Leyen+] would. [Von der Leyen+] did. [Ms von der Leyen+] went.",
            "[Marine Le Pen-] would not. [Le Pen-] said so, and [Ms. Le Pen-].",
            "[Bashar al-Assad+] would. [Assad+], or [al-Assad+], or [President Assad+] said so.",
            "[Hungarian Prime Minister Viktor Orbán-] said no. [Orban-] did.",
            "[Rep. Marjorie Taylor Greene-] said no. [Taylor Greene-] did. [Greene-] left.",
            "[Sen. Rand Paul, R-Ky.,-] said no. [Paul-] did.",
            "[President Volodymyr Zelenskyy of Ukraine+] asked. [Zelenskyy+] did.",
            "[Israeli Defence Minister Israel Katz+] would. [Katz+] said. [Israel Katz+] went.",
            "[US Vice President JD Vance-] said no. Then [J.D. Vance-] left. [Vance-] did.",
            "Meanwhile [Donald Tusk+] went. [Tusk+] did.",
            "Tusk Rules Out Sending Soldiers\n\n[Polish Prime Minister Donald Tusk-] said no. [Tusk-] did.",
        ],
        ids=lambda text: text[:30],
    )
    def test_one_person(self, text: str):
        (found,) = mentions(text).values()
        assert len(found) == text.count("[")

    def test_the_fullest_name_and_what_the_text_says_of_the_person(self):
        document = read("[Ms Kallas+] would. [Estonian Prime Minister Kaja Kallas+] did. [Kallas+] went.")
        (kallas,) = document.holders
        assert (kallas.name, kallas.title, kallas.country, kallas.kind) == (
            "Kaja Kallas",
            "Estonian Prime Minister",
            "Estonia",
            "person",
        )
        assert kallas.aliases == ("Ms Kallas", "Estonian Prime Minister Kaja Kallas", "Kallas")

    def test_two_persons_of_one_surname(self):
        text = "[Tom Daly+] would go. [Clare Daly-] would not. [Daly-] said so. [Mr Daly+] too."
        document = read(text)
        assert [(holder.name, holder.kind) for holder in document.holders] == [
            ("Tom Daly", "person"),
            ("Clare Daly", "person"),
            ("Daly", "unsure"),
            ("Daly", "unsure"),
        ]

    def test_a_title_tells_two_persons_of_one_surname_apart(self):
        text = (
            "[Colonel Anna Berg+] would go, [Major Ivo Berg-] not. [Colonel Berg+] left. [The major-] did. [Berg-] too."
        )
        assert mentions(text) == {
            "Anna Berg": ["Colonel Anna Berg", "Colonel Berg"],
            "Ivo Berg": ["Major Ivo Berg", "The major"],
            "Berg": ["Berg"],
        }

    def test_first_names_and_countries_are_not_confused(self):
        assert mentions("[Jordan-] refused. [Jordan Bardella+] would go. [Bardella+] said so.") == {
            "Jordan Bardella": ["Jordan Bardella", "Bardella"],
            "Jordan": ["Jordan"],
        }
        assert set(mentions("[King Charles+] would go. [Charles Michel-] would not.")) == {"Charles", "Charles Michel"}


class TestOffices:
    """Rule 5."""

    def test_the_one_who_bears_the_title(self):
        text = (
            "[Czech President Petr Pavel+] would. [The president+] did. [The Czech president+] went. [Prague-] did not."
        )
        assert mentions(text) == {
            "Petr Pavel": ["Czech President Petr Pavel", "The president", "The Czech president"],
            "Czech Republic": ["Prague"],
        }

    @pytest.mark.parametrize(
        ("named", "office"),
        [
            ("Gov. Gretchen Whitmer", "The governor"),
            ("Sen. Lindsey Graham", "The senator"),
            ("Polish PM Donald Tusk", "The Polish premier"),
            ("Defence Minister Ada Berg", "The minister of defence"),
            ("Ben Hodges, a retired U.S. general,", "The general"),
            ("The mayor of Chicago, Brandon Johnson,", "The mayor"),
            ("NATO Secretary General Mark Rutte", "The secretary-general"),
            ("Ada Berg, the defence minister,", "The minister"),
        ],
    )
    def test_titles_in_other_words(self, named: str, office: str):
        (found,) = mentions(f"[{named}+] would go. [{office}+] said so.").values()
        assert found == [named, office]

    @pytest.mark.parametrize(
        ("named", "office"),
        [
            ("Vice President Kamala Harris", "The president"),
            ("Former president Donald Trump", "The president"),
            ("Prime Minister Ada Berg", "The minister"),
            ("Secretary-General António Guterres", "The general"),
            ("Army chief Tariq Aziz", "The navy chief"),
            ("Defence Minister Ada Berg", "The defence ministry"),
            ("Defence Minister Ada Berg", "A minister"),
            ("Opposition leader Kemi Badenoch", "The opposition"),
            ("Labour Party leader Keir Starmer", "The party"),
            ("German Foreign Minister Ada Berg", "The Polish foreign minister"),
            ("President Joe Biden", "The Ukrainian president"),
        ],
    )
    def test_other_offices(self, named: str, office: str):
        assert len(mentions(f"[{named}+] would go. [{office}-] would not.")) == 2

    def test_two_bearers(self):
        text = "[Polish Foreign Minister Radek Nowak+] would. [German Foreign Minister Ada Weber-] would not. "
        text += "[The foreign minister-] said so. [The German foreign minister-] did."
        assert mentions(text) == {
            "Radek Nowak": ["Polish Foreign Minister Radek Nowak"],
            "Ada Weber": ["German Foreign Minister Ada Weber", "The German foreign minister"],
            "The foreign minister": ["The foreign minister"],
        }

    def test_where_the_president_is_tells_whose_he_is(self):
        text = "In Prague, [President Petr Pavel+] would go. [The Czech president+] said so."
        assert mentions(text) == {"Petr Pavel": ["President Petr Pavel", "The Czech president"]}
        assert read(text).holders[0].country == "Czech Republic"

    def test_a_name_that_follows_an_office(self):
        text = "[Norda's foreign minister+] would go.\n\n[Ada Berg+] says so. [The minister+] does."
        assert mentions(text) == {"Ada Berg": ["Norda's foreign minister", "Ada Berg", "The minister"]}
        # … but not where they disagree, or the name has a title of its own, or stands later.
        assert len(mentions("[Norda's foreign minister+] would go. [Ada Berg-] would not.")) == 2
        assert len(mentions("[Norda's foreign minister+] would go. [Ada Berg, a nurse,+] would.")) == 2
        assert len(mentions("[Norda's foreign minister+] would go. In Orun, [Ada Berg+] would.")) == 2

    def test_nobody_bears_it(self):
        assert mentions("[The minister+] would go. [The minister+] said so.") == {"minister": ["The minister"] * 2}


class TestGroups:
    """Rule 6."""

    @pytest.mark.parametrize(
        "text",
        [
            "[The Polish Sejm-] voted. [The Sejm-] did.",
            "[Ukraine's parliament+] voted. [The parliament+] did. [Parliament+] rose.",
            "[The opposition Renamo party-] said no. [Renamo-] did.",
            "[The Labour Party+] would. [Labour+] did. [The party+] met.",
            "[The Communist Party-] said no. [The Communists-] did.",
            "[The Social Democrats-] said no. [The Social Democratic Party-] did.",
            "[The Social Democratic Party (SPD)-] said no. [The SPD-] did. [The party-] met.",
            "The Economic Community of West African States (ECOWAS) met. [ECOWAS+] would go. "
            "[The Economic Community of West African States+] did. [Ecowas+] did.",
            "[The UN-] said no. [The United Nations-] did. [The U.N.-] left.",
            "[The European Union+] would. [The EU+] did.",
            "[The transitional council in Port-au-Prince+] asked. [The council+] did.",
            "[The Galway Peace League-] said no. [The League-] did.",
            "[A senior White House official+] would. [The official+] said so.",
        ],
        ids=lambda text: text[:30],
    )
    def test_one_group(self, text: str):
        (found,) = mentions(text).values()
        assert len(found) == text.count("[")
        assert read(text).holders[0].kind == "group"

    def test_groups_of_two_countries(self):
        text = "[The Russian army-] stays, [the Ukrainian army+] goes. [The army+] is tired."
        document = read(text)
        assert [(holder.name, holder.country, holder.kind) for holder in document.holders] == [
            ("Russian army", "Russia", "group"),
            ("Ukrainian army", "Ukraine", "group"),
            ("army", None, "unsure"),
        ]

    def test_groups_that_only_share_words_or_letters(self):
        assert len(mentions("[The Peace Party-] and [the Peace League-], [the Pan Legion+] and [the PL+] differ.")) == 4
        assert len(mentions("[Members of the Green Party+] would. [The Green Party-] would not.")) == 2
        assert len(mentions("[The SPD-] said no. [SPD leader Lars Klingbeil+] would.")) == 2

    def test_the_name_without_article_and_bracket(self):
        assert set(mentions("[the Social Democratic Party (SPD)-] said no.")) == {"Social Democratic Party"}


def test_the_sample_of_the_issue():
    text = (
        "[Lithuania's foreign minister+] says it is time.\n\n[Gabrielius Landsbergis+] believes that it is. [The "
        "Lithuanian foreign minister+] argued so. Too much, [he+] said, was off the table.\n\nIn Prague, [President "
        "Petr Pavel+] held that they could train. [He+] was careful. [The Czech president+] recalled it. The French "
        "president, Emmanuel Macron, gives missiles.\n\n[Germany-] and [Poland-] have ruled it out. [Sweden, Spain "
        "and Italy-] hesitate, and [the Czech government itself-], whatever its president may say, refuses. [Berlin-] "
        "does."
    )
    document = read(text)
    found = {holder.name: (holder.stance, len(holder.evidence)) for holder in document.holders}
    assert found == {
        "Gabrielius Landsbergis": ("support", 4),
        "Petr Pavel": ("support", 3),
        "Germany": ("oppose", 2),
        **dict.fromkeys(("Poland", "Sweden", "Spain", "Italy", "Czech Republic"), ("oppose", 1)),
    }


# fmt: off
WORDS = st.sampled_from([
    "Anna Petrova", "President Xi", "the minister", "Berlin", "he", "it", "we", "“", "”", '"', "\n\n", "BERG:", "Q:",
    "A:", "The Green Party (GP)", "the party", "US", "us", ".", ",", "(", ")", "’s", "U.S.", "\ud83d",
    "Yours, etc., IVO BERG",
])
# fmt: on


@settings(max_examples=150)
@given(st.lists(st.tuples(WORDS | st.text(max_size=4), st.sampled_from(["", " "]), st.booleans()), max_size=25))
def test_every_mention_belongs_to_one_group(pieces: list[tuple[str, str, bool]]):
    text, marked = "", []
    for words, gap, is_holder in pieces:
        if is_holder:
            marked.append((len(text), len(text) + len(words)))
        text += words + gap
    spans = split(text)
    found = [
        (index, Holder(text[max(a, start) : min(b, end)], "support", 0.9, max(a, start), max(a, start, min(b, end))))
        for index, (start, end) in enumerate(spans)
        for a, b in marked
        if max(a, start) <= min(b, end)
    ]
    groups = merge(text, spans, found)
    assert sorted(member for group in groups for member in group.members) == list(range(len(found)))
    assert all(group.kind in ("person", "country", "group", "author", "unsure") for group in groups)
    assert all((group.name == "") <= (group.kind in ("author", "group", "unsure")) for group in groups)


def test_many_persons():
    text = " ".join(f"Minister Ada Berg{n} told the president that he would go, and Berlin agreed." for n in range(300))
    spans = split(text)
    places = [text[start:end].index(" he ") + 1 for start, end in spans]
    holders = [Holder("he", "support", 0.9, place, place + 2) for place in places]
    document = build(text, spans, [prediction(text[a:b], [h]) for (a, b), h in zip(spans, holders, strict=True)])
    assert [holder.name for holder in document.holders] == [f"Ada Berg{n}" for n in range(300)]


def test_gold_mentions_of_the_development_documents_are_merged_as_the_gold_has_them():
    gold = documents.load("development")
    scores = document_scores(gold, [read_gold(document) for document in gold])
    assert scores["n"] > 100
    assert scores["f1"] >= 0.93
