"""The data card: who made a dataset, how it was judged, what is in it, and what it may be used for.

Once for programs (dataset.json) and once for people (README.md).
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from django.db.models import Max, Min

from annotation.datasets.contents import Column, Contents, File, Format
from annotation.datasets.pairs import VALIDATION_SHARE
from annotation.kinds import KINDS
from annotation.populations import BOTH, PEOPLE, SIMULATED
from annotation.records import all_judgments

NOT_STATED = "not stated"
QUESTIONS = {
    "2afc": "Which of two reconstructions is closer to the original, which is shown with them?",
    "ranking": "Several reconstructions, ordered from the closest to the original to the farthest.",
}
WHO = {
    PEOPLE: "people",
    SIMULATED: "simulated annotators, a program: they say nothing about what people see",
    BOTH: "people and, apart from them, simulated annotators (a program)",
}
SPLIT_RULE = (
    "By photograph: no photograph is both in train and in val. For val are those whose "
    'SHA-256("seed/sha256") comes first.'
)


def card_files(form: Format, contents: Contents) -> Iterator[File]:
    told = card(form, contents)
    head = form.head(contents)
    yield File("README.md", [readme(told, form, head=head).encode()])
    yield File("dataset.json", [(json.dumps(told, indent=2, ensure_ascii=False) + "\n").encode()])


def card(form: Format, contents: Contents) -> dict[str, Any]:
    """What dataset.json holds."""
    campaign = contents.campaign
    viewing = campaign.options.viewing
    if form.is_of_pairs:
        # Of pairs, what counts are votes: of a ranking, one in each of its pairs.
        judgments = {each: votes for each, (_, votes) in contents.pair_counts.items()}
    else:
        judgments = contents.count(form.purposes(contents))
    about = dict(contents.about)
    return {
        "study": about.pop("study", NOT_STATED),
        "format": form.name,
        "population": contents.population,
        "made_by": about.pop("made_by", None) or NOT_STATED,
        "exported_by": about.pop("exported_by", None) or NOT_STATED,
        "licence": about.pop("licence", None) or NOT_STATED,
        "judgments": judgments.get(PEOPLE, 0),
        "simulated_judgments": judgments.get(SIMULATED, 0),
        "pairs": contents.n_pairs,
        **_who_and_when(form, contents),
        "strata": contents.strata,
        "codecs": sorted(
            {f"{each.codec} ({each.codec_version})" for each in contents.reconstructions}
        ),
        "photographs": len(contents.content_names),
        "kind": KINDS[campaign.kind].label,
        "how": {
            "question": QUESTIONS[campaign.kind],
            "instructions": campaign.instructions or NOT_STATED,
            "no_difference_allowed": campaign.allows_ties,
            "judgments_per_task": campaign.judgments_per_task,
            "gold_share": campaign.gold_share,
            "repeat_share": campaign.repeat_share,
            "views": viewing.views,
            "crop": viewing.crop,
            "limit_s": viewing.limit_s,
        },
        "seed": campaign.seed,
        "validation_share": VALIDATION_SHARE,
        "split_rule": SPLIT_RULE,
        "columns": {
            file: [each._asdict() for each in columns]
            for file, columns in form.tables(contents).items()
        },
        **about,
    }


def _who_and_when(form: Format, contents: Contents) -> dict[str, Any]:
    held = all_judgments(contents.campaign, population=contents.population, until=contents.until)
    held = held.filter(assignment__purpose__in=form.purposes(contents))
    times = held.aggregate(first=Min("judged_at"), last=Max("judged_at"))
    return {
        "annotators": held.values("assignment__annotator_id").distinct().count(),
        "first_judged_at": times["first"] and times["first"].isoformat(),
        "last_judged_at": times["last"] and times["last"].isoformat(),
    }


def readme(card: Mapping[str, Any], form: Format, *, head: Mapping | None = None) -> str:
    """README.md, of what dataset.json holds. head : what stands above it, as YAML (of which JSON is
    a part)."""
    how = card["how"]
    judged = {PEOPLE: card["judgments"], SIMULATED: card["simulated_judgments"]}
    provenance = card.get("provenance", {})
    lines = [
        *(["---", json.dumps(head, indent=2), "---"] if head else []),
        f"# {card['study']}",
        f"Judged by {WHO[card['population']]}. Exported from Closer as {form.label}.",
        "",
        "| | |",
        "|---|---|",
        f"| Made by | {card['made_by']} |",
        f"| Exported by | {card['exported_by']} |",
        f"| Licence | {card['licence']} |",
        *(
            f"| {'Votes' if form.is_of_pairs else 'Judgments'} by {WHO[each].split(',')[0]} | {n} |"
            for each, n in judged.items()
            if card["population"] in (each, BOTH)
        ),
        f"| Pairs | {card['pairs']} |",
        f"| Annotators | {card['annotators']} |",
        f"| Judged from, to | {card['first_judged_at'] or '-'}, {card['last_judged_at'] or '-'} |",
        f"| Photographs | {card['photographs']} |",
        f"| Codecs (version) | {', '.join(card['codecs'])} |",
        f"| Target rates | {', '.join(card['strata'])} bits per pixel |",
        f"| Seed | {card['seed']} |",
        f"| Versions | Closer {provenance.get('closer', NOT_STATED)}, "
        f"commit {provenance.get('commit') or NOT_STATED} |",
        "",
        "## How it was judged",
        f"{how['question']} "
        + ("“No difference” was an answer, too. " if how["no_difference_allowed"] else "")
        + f"Wanted were {how['judgments_per_task']} judgments of each question; "
        f"{how['gold_share']:.0%} of what an annotator was given were questions whose answer is "
        f"known, {how['repeat_share']:.0%} were repeats. Shown: {', '.join(how['views'])}"
        + (f", a part of {' x '.join(map(str, how['crop']))} pixels" if how["crop"] else "")
        + (f", for {how['limit_s']:g} s" if how["limit_s"] else "")
        + ". Which side a codec was on was balanced, and no page told its name.",
        "",
        f"Instructions: {how['instructions']}",
        "",
        "## Train and val",
        f"{card['split_rule']} Share of val: {card['validation_share']:.0%}.",
        "",
        "## Read it",
        "```python",
        form.loader_of(card["population"]),
        "```",
        "`sha256sum -c SHA256SUMS` in this folder tells whether every file is whole.",
    ]
    for file, columns in card["columns"].items():
        lines += ["", f"## Columns of {file}", *_table(columns)]
    return "\n".join(lines) + "\n"


def _table(columns: list[Mapping[str, str]]) -> Iterator[str]:
    yield "| column | type | unit | what |"
    yield "|---|---|---|---|"
    for each in map(Column._make, (column.values() for column in columns)):
        yield f"| {each.name} | {each.type} | {each.unit} | {each.what.replace('|', '/')} |"
