"""What a study costs the database as the judgments of all others grow to ten million.

One study of STUDY=20000 judgments is asked for again and again, beside as many others of 100,000
judgments as make SIZES=100000,1000000,10000000 in the whole table. For each thing that people and
workers do, every statement that reads judgments, assignments or tasks is explained by PostgreSQL as
it runs (EXPLAIN ANALYZE; what writes is explained only): the pages of 8 kB that it touches, and
whether any of the three tables is read from end to end. What does not grow here does not grow at
10^8 either: it finds all it reads by indexes whose depth is a logarithm.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from benchmarks import scratch, study_pages
from codecs_registry import clock

SIZES = "100000,1000000,10000000"
STUDY = 20_000
OTHERS = 100_000
"""Judgments of each of the other studies."""
APART = 10**7
"""Numbers of rows between one study's and the next one's."""
OF_TASK = "task_id IN (SELECT id FROM annotation_task WHERE campaign_id = {first})"
OF_ASSIGNMENT = (
    "assignment_id IN (SELECT a.id FROM annotation_assignment a "
    "JOIN annotation_task t ON t.id = a.task_id WHERE t.campaign_id = {first})"
)
TABLES = ("annotation_judgment", "annotation_assignment", "annotation_task")


def run() -> list[dict]:
    sizes = [int(each) for each in os.environ.get("SIZES", SIZES).split(",")]
    with scratch.database():
        import django

        django.setup()
        study = study_pages._study("Asked for", int(os.environ.get("STUDY", STUDY)) // 3)
        study_pages._judge(study, 3 * study.n_tasks)
        first = study_pages._study("First of the others", OTHERS // 3)
        study_pages._judge(first, 3 * first.n_tasks)
        things = _things(study)
        found: dict[str, list[Seen]] = {}
        for size in sizes:
            _grow(first, size)
            for what, do in things.items():
                do()  # once, so that what it keeps is there
                found.setdefault(what, []).append(_explained(do))
    return [_row(what, sizes, seen) for what, seen in found.items()]


# --- what is seen ---------------------------------------------------------------------------------


@dataclass
class Seen:
    """Of one thing: milliseconds without being explained, statements that name one of the tables,
    pages that they touch, and the tables that any of them reads from end to end."""

    ms: float = 0.0
    statements: int = 0
    pages: int = 0
    whole: set[str] = field(default_factory=set)
    worst: str = ""
    worst_pages: int = -1


def _explained(do: Callable[[], object]) -> Seen:
    from django.db import connection

    seen, is_explaining = Seen(), False
    begun = time.perf_counter()
    do()
    seen.ms = (time.perf_counter() - begun) * 1000

    def explain(execute, sql, params, many, context):
        nonlocal is_explaining
        result = execute(sql, params, many, context)
        verb = sql.lstrip().partition(" ")[0].upper()
        named = any(each in sql for each in TABLES)
        if is_explaining or not named or verb not in ("SELECT", "UPDATE", "INSERT", "DELETE"):
            return result
        is_explaining = True
        reads = verb == "SELECT" and "FOR UPDATE" not in sql
        how = "ANALYZE, BUFFERS, FORMAT JSON" if reads else "FORMAT JSON"
        try:
            # Of its own, since the result of the statement lies in the other.
            with connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN ({how}) {sql}", params)
                [(told,)] = cursor.fetchall()
        finally:
            is_explaining = False
        plan = (told if isinstance(told, list) else json.loads(told))[0]["Plan"]
        pages = plan.get("Shared Hit Blocks", 0) + plan.get("Shared Read Blocks", 0)
        seen.statements += 1
        seen.pages += pages
        seen.whole |= set(_read_whole(plan))
        if pages > seen.worst_pages:
            seen.worst, seen.worst_pages = sql, pages
        return result

    with connection.execute_wrapper(explain):
        do()
    return seen


def _read_whole(plan: dict) -> Iterator[str]:
    if plan["Node Type"].endswith("Seq Scan") and plan["Relation Name"] in TABLES:
        yield plan["Relation Name"]
    for part in plan.get("Plans", ()):
        yield from _read_whole(part)


def _row(what: str, sizes: list[int], seen: list[Seen]) -> dict:
    row = {"what": what, "statements": seen[-1].statements}
    for size, each in zip(sizes, seen, strict=True):
        row[f"pages at {size:,}"] = each.pages
    for size, each in zip(sizes, seen, strict=True):
        row[f"ms at {size:,}"] = round(each.ms, 1)
    row["growth of pages"] = round(seen[-1].pages / max(1, seen[0].pages), 2)
    row["read from end to end"] = ", ".join(sorted(seen[-1].whole)) or "none"
    if os.environ.get("SHOW"):
        row["worst"] = seen[-1].worst
    return row


# --- what is done ---------------------------------------------------------------------------------


def _things(study) -> dict[str, Callable[[], object]]:
    """By what it is called: what people and workers do that reads or writes judgments."""
    from django.conf import settings
    from django.contrib.auth import get_user_model
    from django.test import Client
    from django.urls import reverse

    from annotation.models import Annotator, Judgment
    from annotation.records import judgment_records
    from config.celery import app
    from evaluation import personal_data
    from evaluation.active_sampling import prioritise
    from evaluation.api_tokens import Scope, make_token
    from evaluation.metric_models import RetrainingRule
    from evaluation.models import Study
    from evaluation.webhook_models import Event, Webhook

    settings.ALLOWED_HOSTS = ["*"]
    client = Client()
    owner = get_user_model().objects.create_superuser("bench")
    client.force_login(owner)
    # Somebody to tell of new judgments, and a metric to train with them, once there are enough.
    Webhook.objects.create(
        project=study.project, url="https://127.0.0.1/", events=[Event.JUDGMENTS]
    )
    RetrainingRule.objects.create(population="people", is_on=True, every_judgments=10**9)
    people = iter(Annotator.objects.filter(campaign=study.campaign).order_by("id"))
    asked = {}

    def get(name: str, *arguments) -> Callable[[], object]:
        def ask() -> None:
            response = client.get(reverse(name, args=arguments))
            if response.streaming:
                b"".join(response.streaming_content)
            assert response.status_code < 300, (name, response.status_code)

        return ask

    def next_pair() -> None:
        who = next(people)
        response = client.post(reverse("next-assignments", args=[who.token]))
        assert response.status_code == 200, response.content
        asked[who] = response.json()["assignments"]

    def answer() -> None:
        if not any(asked.values()):
            next_pair()
        who, assignments = next((who, given) for who, given in asked.items() if given)
        body = {"assignment": assignments[0]["token"], "answer": "left", "response_ms": 900}
        response = client.post(
            reverse("judgments", args=[who.token]), body, content_type="application/json"
        )
        assert response.status_code < 300, response.content
        asked[who] = response.json().get("assignments", [])

    def sample() -> None:
        Study.objects.filter(id=study.id).update(sampled_until=None)
        assert prioritise(study.id)

    def about_somebody() -> None:
        personal_data.of_annotators([next(people)])

    def withdraw() -> None:
        personal_data.erase_annotators([next(people)], with_judgments=True, now=clock.now())

    def by_api(path: str) -> Callable[[], object]:
        def ask() -> None:
            response = client.get(f"/api/v1/studies/{study.slug}/{path}", headers=headers)
            assert response.status_code == 200, response.content

        return ask

    _, secret = make_token(owner, "bench", [Scope.JUDGMENTS])
    headers = {"Authorization": f"Bearer {secret}"}
    newest = Judgment.objects.filter(assignment__task__campaign=study.campaign).order_by("-id")
    lately = newest.values_list("id", flat=True)[100]
    cursor = base64.urlsafe_b64encode(f"after {lately}".encode()).decode()
    app.loader.import_default_modules()
    every = {each["task"]: each["schedule"] for each in settings.CELERY_BEAT_SCHEDULE.values()}
    return {
        "the next pair": next_pair,
        "an answer": answer,
        "the study's page": get("study", study.slug),
        "what moves on it": get("watch", study.slug),
        "its annotators": get("annotators", study.slug),
        "all studies": get("studies"),
        "operations": get("operations"),
        "a round of active sampling": sample,
        "records of the study": lambda: list(judgment_records(study.campaign)),
        "records since the last hundred": lambda: list(
            judgment_records(study.campaign, after=lately)
        ),
        "all about an annotator": about_somebody,
        "an annotator withdraws": withdraw,
        "a page of judgments by the API": by_api("judgments?population=people"),
        "the last of them": by_api(f"judgments?population=people&cursor={cursor}"),
        **{
            f"every {seconds:g} s: {task.rpartition('.')[2]}": app.tasks[task].run
            for task, seconds in every.items()
            if not task.startswith("codecs_registry")
        },
    }


# --- all the others -------------------------------------------------------------------------------

COPIES = (
    ("annotation_annotator", ("id",), "campaign_id = {first}"),
    ("annotation_task", ("id",), "campaign_id = {first}"),
    ("annotation_taskreconstruction", ("id", "task_id"), OF_TASK),
    ("annotation_assignment", ("id", "task_id", "annotator_id"), OF_TASK),
    ("annotation_judgment", ("id", "assignment_id"), OF_ASSIGNMENT),
)
"""Tables; the columns whose numbers are those of the first study and so many more; which rows."""


def _grow(first, size: int) -> None:
    """Have so many judgments in all, by copies of a study with its annotators and tasks."""
    from django.db import connection

    from annotation.models import Judgment

    with connection.cursor() as cursor:
        while (missing := size - Judgment.objects.count()) >= OTHERS // 2:
            print(f"{missing:,} judgments to write", file=sys.stderr, flush=True)
            _copy(cursor, first)
        for table, *_ in COPIES:
            cursor.execute(f"VACUUM ANALYZE {table}")
            cursor.execute(
                f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}"  # noqa: S608
            )


def _copy(cursor, first) -> None:
    from annotation.models import Campaign
    from evaluation.models import Study

    campaign = Campaign.objects.create(
        state="open", kind="2afc", judgments_per_task=study_pages.PER_TASK, seed=1
    )
    study = Study.objects.get(id=first.id)
    study.pk, study.campaign = None, campaign
    study.name, study.slug = f"Other {campaign.id}", f"other-{campaign.id}"
    study.save()
    # Triggers rest: these rows are as those were that they are copies of.
    cursor.execute("SET session_replication_role = replica")
    for table, numbers, which in COPIES:
        cursor.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = %s "
            "AND is_generated = 'NEVER'",
            [table],
        )
        values = {column: f'"{column}"' for (column,) in cursor.fetchall()}
        values |= {each: f"{each} + {campaign.id} * {APART}" for each in numbers}
        if "token" in values:
            values["token"] = f"left(md5(token || {campaign.id}), 22)"
        if "campaign_id" in values:
            values["campaign_id"] = str(campaign.id)
        columns = ", ".join(f'"{each}"' for each in values)
        rows = which.format(first=first.campaign_id)
        cursor.execute(
            f"INSERT INTO {table} ({columns}) "  # noqa: S608
            f"SELECT {', '.join(values.values())} FROM {table} WHERE {rows}"
        )
    cursor.execute("SET session_replication_role = DEFAULT")
