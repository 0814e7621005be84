"""The annotator's pages in German and Arabic: all is said, says the same, and in the right one."""

import ast
import gettext
import json
import re
from collections import Counter
from dataclasses import dataclass
from gettext import c2py
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.translation.template import templatize

from annotation.models import Annotator
from tests import factories

ROOT = Path(__file__).resolve().parents[2]
TRANSLATED = ("de", "ar")
DOMAINS = ("django", "djangojs")
CATALOGS = [(language, domain) for language in TRANSLATED for domain in DOMAINS]

STRING = r"""u?("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
CALL = re.compile(rf"\b(?:n?gettext|_)\(\s*{STRING}(?:\s*,\s*{STRING})?")
ANY_CALL = re.compile(r"\b(?:[np]|np)?gettext\(|\b_\(")
COUNTS = {"%(n)s", "%(count)s"}


# --- catalogs -------------------------------------------------------------------------------------


@dataclass
class Entry:
    is_fuzzy: bool
    msgid: str
    plural: str | None
    said: dict[int | None, str]  # by plural form; None: there is but one


def read_po(path: Path) -> list[Entry]:
    """The entries of a catalog, its header first."""
    return [_entry(lines) for lines in path.read_text("utf-8").split("\n\n") if lines.strip()]


def _entry(text: str) -> Entry:
    assert "#~" not in text, f"obsolete: {text}"
    flags, fields, name = set(), {}, ""
    for line in text.strip().splitlines():
        if line.startswith("#"):
            flags |= {flag.strip() for flag in line[2:].split(",")} if line[1:2] == "," else set()
            continue
        if not line.startswith('"'):
            name, _, line = line.partition(" ")
        fields[name] = fields.get(name, "") + ast.literal_eval(line)
    forms = {int(name[7:-1]): said for name, said in fields.items() if name.startswith("msgstr[")}
    plural = fields.get("msgid_plural")
    return Entry("fuzzy" in flags, fields["msgid"], plural, forms or {None: fields["msgstr"]})


def catalog_path(language: str, domain: str, suffix: str = ".po") -> Path:
    return ROOT / "locale" / language / "LC_MESSAGES" / f"{domain}{suffix}"


def entries(language: str, domain: str) -> list[Entry]:
    return read_po(catalog_path(language, domain))[1:]


def form_of(language: str, domain: str):
    """From a count to the plural form for it, as the catalog's header has it."""
    header = read_po(catalog_path(language, domain))[0].said[None]
    return c2py(re.search(r"plural=(.*);", header)[1])


# --- what the pages say ---------------------------------------------------------------------------


def literals(source: str) -> set[tuple[str, str | None]]:
    """What is handed to gettext, and of ngettext the plural with it."""
    found = [
        tuple(ast.literal_eval(each) if each else None for each in match.groups())
        for match in CALL.finditer(source)
    ]
    assert len(found) == len(ANY_CALL.findall(source)), "not all that is translated is literal"
    return set(found)


def said_by(domain: str) -> set[tuple[str, str | None]]:
    if domain == "django":
        templates = ROOT / "templates"
        files = [*(templates / "annotation").glob("*.html"), *templates.glob("[45]??*.html")]
        sources = [templatize(each.read_text("utf-8")) for each in files]
    else:
        files = (ROOT / "static" / "annotation").glob("*.js")
        sources = [each.read_text("utf-8") for each in files]
    return set().union(*map(literals, sources))


def test_literals_are_found_in_templates_and_scripts():
    assert ("Start", None) in said_by("django")
    assert ("There is at most %(n)s question.", "There are at most %(n)s questions.") in said_by(
        "django"
    )
    assert ("hold <kbd>Space</kbd>", None) in said_by("django")
    assert ("You judged %(count)s pair.", "You judged %(count)s pairs.") in said_by("djangojs")
    assert any(msgid.startswith("Set this page's zoom") for msgid, _ in said_by("djangojs"))
    with pytest.raises(AssertionError, match="literal"):
        literals("gettext(words)")


@pytest.mark.parametrize(("language", "domain"), CATALOGS)
def test_all_that_the_pages_say_is_translated(language, domain):
    translated = {
        (each.msgid, each.plural)
        for each in entries(language, domain)
        if not each.is_fuzzy and all(text.strip() for text in each.said.values())
    }
    assert said_by(domain) - translated == set()


@pytest.mark.parametrize(("language", "domain"), CATALOGS)
def test_nothing_is_translated_that_is_not_said(language, domain):
    assert {(each.msgid, each.plural) for each in entries(language, domain)} == said_by(domain)


@pytest.mark.parametrize(("language", "domain"), CATALOGS)
def test_each_plural_form_is_there(language, domain):
    forms = {form_of(language, domain)(n) for n in range(200)}
    assert len(forms) == {"de": 2, "ar": 6}[language]
    for each in entries(language, domain):
        assert set(each.said) == (forms if each.plural else {None}), each.msgid


def marks(text: str) -> Counter:
    """Placeholders, keys with their names, and tags; their order may differ between languages."""
    return Counter(re.findall(r"%\(\w+\)s|<kbd[^>]*>[^<]*</kbd>|<[^>]+>|%(?!\()", text))


@pytest.mark.parametrize(("language", "domain"), CATALOGS)
def test_placeholders_keys_and_tags_are_those_of_the_original(language, domain):
    form = form_of(language, domain)
    counts = Counter(form(n) for n in range(1000))
    for each in entries(language, domain):
        for number, text in each.said.items():
            wanted = marks(each.plural or each.msgid)
            # Arabic has words for one and two: a form of a single count may do without its digit.
            names_count = counts[number] != 1
            missing, more = wanted - marks(text), marks(text) - wanted
            assert not more, text
            assert set(missing) <= (set() if names_count else COUNTS), text


@pytest.mark.parametrize(("language", "domain"), CATALOGS)
def test_compiled_catalogs_say_what_their_sources_say(language, domain):
    wanted = {}
    for each in entries(language, domain):
        for number, text in each.said.items():
            wanted[each.msgid if number is None else (each.msgid, number)] = text
    with catalog_path(language, domain, ".mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    has = {msgid: text for msgid, text in compiled._catalog.items() if msgid != ""}
    assert has == wanted
    form = form_of(language, domain)
    assert [compiled.plural(n) for n in range(200)] == [form(n) for n in range(200)]


# --- which language it is -------------------------------------------------------------------------

STARTS = {
    "en": ('<html lang="en" dir="ltr">', "Which is closer to the original?"),
    "de": ('<html lang="de" dir="ltr">', "Welche Kopie ist näher am Original?"),
    "ar": ('<html lang="ar" dir="rtl">', "أيّ النسختين أقرب إلى الأصل؟"),
}


def asks_for(languages: str) -> dict:
    return {"headers": {"accept-language": languages}}


def assert_is_in(response, language: str) -> None:
    html = response.content.decode()
    assert response.headers["Content-Language"] == language
    for each in STARTS[language]:
        assert each in html


def link(campaign, **query) -> str:
    return reverse("welcome", args=[campaign.token], query=query or None)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("asked", "language"),
    [
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("ar-EG", "ar"),
        ("fr,ar;q=0.5", "ar"),
        ("fr", "en"),
        ("", "en"),
    ],
)
def test_a_visitor_is_welcomed_in_the_language_that_the_browser_asks_for(client, asked, language):
    response = client.get(link(factories.open_campaign(1)), **asks_for(asked))
    assert_is_in(response, language)
    assert "Accept-Language" in response.headers["Vary"]


@pytest.mark.django_db
def test_a_language_chosen_on_the_page_counts_more_than_the_browsers(client):
    campaign = factories.open_campaign(1)
    assert_is_in(client.get(link(campaign, language="de"), **asks_for("ar")), "de")
    assert_is_in(client.get(link(campaign, language="en"), **asks_for("ar")), "en")
    assert_is_in(client.get(link(campaign, language="tlh"), **asks_for("ar")), "ar")


@pytest.mark.django_db
@pytest.mark.parametrize("language", ["en", "de", "ar"])
def test_languages_to_choose_from_have_their_own_names_whatever_the_page_speaks(client, language):
    page = client.get(link(factories.open_campaign(1), language=language)).content.decode()
    names = dict(re.findall(r'lang="(\w+)"(?: aria-current="true")?>([^<]*)</a>', page))
    assert names == {"en": "English", "de": "Deutsch", "ar": "العربيّة"}
    assert re.search(r'lang="(\w+)" aria-current="true"', page)[1] == language


@pytest.mark.django_db
@pytest.mark.parametrize("query", [{"language": "de"}, {}])
def test_who_joined_stays_in_the_language_of_joining_whatever_the_browser_asks_later(client, query):
    campaign = factories.open_campaign(1)
    begun = client.post(link(campaign, **query), **asks_for("ar" if query else "de"))
    annotator = Annotator.objects.get()
    assert annotator.language == "de"
    for browser in (client, Client()):
        assert_is_in(browser.get(begun.url, **asks_for("ar")), "de")
    about = client.get(reverse("my-data", args=[annotator.token]), **asks_for("ar"))
    assert '<html lang="de" dir="ltr">' in about.content.decode()


@pytest.mark.django_db
def test_who_joined_may_choose_another_language_and_stays_in_that(client):
    annotator = factories.annotator(factories.open_campaign(1), language="de")
    page = reverse("judge", args=[annotator.token])
    assert_is_in(client.get(f"{page}?language=ar", **asks_for("de")), "ar")
    assert_is_in(client.get(page, **asks_for("de")), "ar")


@pytest.mark.django_db
@pytest.mark.parametrize("language", TRANSLATED)
def test_the_judging_pages_script_speaks_the_pages_language(client, language):
    annotator = factories.annotator(factories.open_campaign(1), language=language)
    page = client.get(reverse("judge", args=[annotator.token])).content.decode()
    words = re.search(r'<script src="([^"]*language=[^"]*)"', page)[1]
    script = client.get(words, **asks_for("en")).content.decode()
    sent = json.loads(re.search(r"newcatalog = (\{.*?\n\s*\});", script, re.DOTALL)[1])
    for each in entries(language, "djangojs"):
        said = list(each.said.values())
        assert sent[each.msgid] == (said if each.plural else said[0])


@pytest.mark.django_db
def test_the_researchers_pages_are_in_english_whatever_the_browser_asks(as_researcher):
    study = factories.study()
    pages = [reverse("studies"), reverse("study", args=[study.slug]), reverse("codecs")]
    for page in pages:
        german, english = (
            re.sub(
                r'value="\w{64}"', "", as_researcher.get(page, **asks_for(each)).content.decode()
            )
            for each in ("de", "en")
        )  # without what is new for each form
        assert '<html lang="en">' in english
        assert german == english
    assert '<html lang="en">' in Client().get(reverse("login"), **asks_for("de")).content.decode()
