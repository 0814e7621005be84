"""A database of each earlier release, with data, brought up to now: all that was there is there."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import F

from annotation import serving
from annotation.models import Annotator, Campaign, Judgment
from annotation.populations import PEOPLE
from annotation.records import judgment_records
from config.backups import tables_of
from evaluation.models import Study
from projects.models import Project
from tests import factories
from tests.factories import NOW
from tests.other_installation import empty_installation
from tests.releases import RELEASES

LATER = NOW + timedelta(days=1)
GONE: set[tuple[str, str]] = set()
"""(table, column): what was given up on purpose; CHANGELOG.md says why."""
OF_DJANGO = {"django_migrations", "django_content_type", "auth_permission"}
"""Tables that `migrate` itself writes."""


class Release:
    """Models as they were in a release, with which rows are made that only it could have made."""

    def __init__(self, name: str) -> None:
        self.targets = list(RELEASES[name].items())
        executor = MigrationExecutor(connection)
        executor.migrate(self.targets)
        self.apps = executor.loader.project_state(self.targets).apps

    def make(self, model: str, **fields):
        return self.apps.get_model(model).objects.create(**fields)

    def study(self, name: str, codecs: tuple[str, ...], *, kind: str, **fields):
        """A study with a photograph, judged a little. fields : what its release knows besides."""
        source = self.make(
            "codecs_registry.SourceImage",
            sha256=name.ljust(64, "0"),
            width=48,
            height=32,
            name=f"{name}.png",
            png=f"aa/{'a' * 64}.png",
            png_bytes=100,
        )
        made = [
            self.make(
                "codecs_registry.Reconstruction",
                source=source,
                codec=codec,
                codec_version=f"{codec} 1",
                target_bpp=Decimal("0.37"),
                state="ready",
                actual_bpp=0.37,
                bitstream=f"bb/{'b' * 64}.bin",
                size_bytes=71,
                decoded=f"cc/{'c' * 64}.png",
                decoded_bytes=90,
            )
            for codec in codecs
        ]
        campaign = self.make(
            "annotation.Campaign",
            state="open",
            kind=kind,
            judgments_per_task=3,
            seed=1,
            **fields.pop("campaign", {}),
        )
        task = self.make(
            "annotation.Task",
            campaign=campaign,
            source=source,
            target_bpp=Decimal("0.37"),
            places_left=1,
            simulated_places_left=2,
            order_key=0.5,
            delivery_bytes=200,
        )
        for each in made:
            self.make("annotation.TaskReconstruction", task=task, reconstruction=each)
        study = self.make(
            "evaluation.Study",
            name=name,
            slug=name.lower(),
            specification={"name": name},
            codecs=list(codecs),
            targets_bpp=[Decimal("0.37")],
            campaign=campaign,
            **fields,
        )
        study.sources.add(source)
        study.reconstructions.add(*made)
        return study, task, [each.id for each in made]

    def judge(self, task, shown: list[int], ranks: list[int], *, who=None, given=None, **fields):
        """An answer to a task, by somebody new unless it is said who."""
        who = who or self.make("annotation.Annotator", campaign=task.campaign)
        assignment = self.make(
            "annotation.Assignment",
            task=task,
            annotator=who,
            shown=shown,
            leased_at=NOW,
            **given or {},
        )
        return self.make(
            "annotation.Judgment",
            assignment=assignment,
            ranks=ranks,
            response_ms=1234,
            viewing={"page_zoom": 1},
            judged_at=NOW,
            **fields,
        )


def first_release(release: Release) -> None:
    """What 0.1.0 knew: pairs, people and simulated annotators."""
    user = release.make("auth.User", username="first", password="!")
    _, task, shown = release.study("Sea", ("avif", "jpeg"), kind="2afc", launched_by=user)
    release.judge(task, shown, [1, 2])
    release.judge(task, shown[::-1], [2, 1])
    machine = release.make("annotation.Annotator", campaign=task.campaign, is_simulated=True)
    release.judge(task, shown, [1, 2], who=machine)
    waits = release.make("annotation.Annotator", campaign=task.campaign)
    release.make(
        "annotation.Assignment",
        task=task,
        annotator=waits,
        shown=shown,
        leased_at=NOW,
        lease_ends=NOW,
    )


def tried_out(release: Release) -> None:
    """What was there before privacy, backups and observability: rankings, gold, repeats, remarks,
    platforms, projects, imports, exports, the log."""
    project = release.apps.get_model("projects.Project").objects.get()
    user = release.make("auth.User", username="ada", password="!", email="ada@example.org")
    release.make("projects.Membership", project=project, user=user, role="owner")
    release.make("projects.AuditEntry", project=project, actor=user, action="made", subject="it")
    study, task, shown = release.study(
        "Harbour",
        ("avif", "jpeg", "webp"),
        kind="ranking",
        campaign={"allows_ties": True, "gold_share": 0.1, "budget": 9, "budget_left": 5},
        project=project,
        n_tasks=1,
    )
    who = release.make(
        "annotation.Annotator",
        campaign=task.campaign,
        platform="prolific",
        external_id="5a9d",
        began_at=NOW,
        conditions={"px_per_mm": 4.1},
    )
    first = release.judge(
        *(task, shown, [1, 1, 2]),
        who=who,
        confidence=2,
        remark="rings",
        events=[[10, "moved"]],
    )
    repeat = {"purpose": "repeat", "repeats": first.assignment}
    release.judge(task, shown[::-1], [2, 1, 1], who=who, given=repeat)
    release.make(
        "annotation.QualityEvent",
        annotator=who,
        check_name="gold",
        action="flag",
        rule={},
        failed=1,
        of=2,
        happened_at=NOW,
    )
    release.make("annotation.Withdrawal", campaign=task.campaign, judgments=3, withdrawn_at=NOW)
    release.make(
        "annotation.Export",
        campaign=task.campaign,
        format="csv",
        population="people",
        name="x",
        requested_at=NOW,
        state="ready",
        size_bytes=1,
        sha256="d" * 64,
    )
    release.make(
        "evaluation.ImportedJudgments",
        name="elsewhere",
        project=project,
        study=study,
        file_name="a.csv",
        file=f"ee/{'e' * 64}.csv",
        sha256="e" * 64,
        size_bytes=5,
        format="closer",
        population="people",
        n_rows=2,
        n_used=2,
        n_malformed=0,
    )
    task.campaign.state = "closed"
    task.campaign.save()


DATA = {"0.1.0": first_release, "2026-11-30": tried_out}


def columns_of(table: str) -> list[str]:
    with connection.cursor() as cursor:
        return [each.name for each in connection.introspection.get_table_description(cursor, table)]


def held() -> dict[str, list[dict]]:
    """Every row of every table, as text by column."""
    found = {}
    with connection.cursor() as cursor:
        for table in tables_of(cursor).keys() - OF_DJANGO:
            names = columns_of(table)
            told = ", ".join(f'"{name}"::text' for name in names)
            cursor.execute(f'SELECT {told} FROM "{table}"')  # noqa: S608
            found[table] = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return found


def lost(before: dict[str, list[dict]], after: dict[str, list[dict]]) -> list[str]:
    """Rows of before that are not there as they were, in the columns that there still are."""
    told = []
    for table, rows in before.items():
        if table not in after:
            told += [f"{table} is gone with {len(rows)} rows"] if rows else []
            continue
        kept = set(columns_of(table))
        now = {frozenset((k, v) for k, v in row.items()) for row in after[table]}
        for row in rows:
            wanted = {(k, v) for k, v in row.items() if k in kept}
            if not any(wanted <= each for each in now):
                told.append(f"{table}: {row}")
    return told


def gone(before: dict[str, list[dict]], after: dict[str, list[dict]]) -> set[tuple[str, str]]:
    """Columns that had rows before and are no more, as (table, column)."""
    return {
        (table, name)
        for table, rows in before.items()
        if rows and table in after
        for name in rows[0].keys() - set(columns_of(table))
    }


@pytest.fixture
def elsewhere(django_db_setup, django_db_blocker, tmp_path):
    with django_db_blocker.unblock(), empty_installation(tmp_path / "blobs"):
        yield


def test_each_release_has_data_to_be_brought_up():
    assert list(DATA) == list(RELEASES)


def test_what_earlier_releases_held_is_there_after_an_upgrade_and_people_judge_on(elsewhere):
    seen = []
    for name, make in DATA.items():  # as an installation that followed each of them
        make(Release(name))
        seen.append(held())
    judged = seen[-1]["annotation_judgment"]
    assert len(judged) == 5

    call_command("migrate", verbosity=0)

    now = held()
    assert [row["id"] for row in now["annotation_judgment"]] == [row["id"] for row in judged]
    assert lost(seen[-1], seen[0]), "the comparison sees what is missing"
    for before in seen:
        assert lost(before, now) == []
        assert gone(before, now) <= GONE

    sea, harbour = Study.objects.get(name="Sea"), Study.objects.get(name="Harbour")
    assert {sea.project, harbour.project} == {Project.objects.get()}
    assert sea.campaign.state == Campaign.State.OPEN
    assert harbour.campaign.closed_at, "what counts from the end counts from the upgrade"
    assert [each.ranks for each in judgment_records(sea.campaign)] == [(1, 2), (2, 1), (1, 2)]
    assert not Judgment.objects.exclude(campaign=F("assignment__task__campaign")).exists()
    assert not Judgment.objects.filter(campaign=None).exists()
    assert sorted(Annotator.objects.values_list("n_answered", flat=True)) == [0, 1, 1, 1, 2]
    assert Judgment.objects.get(confidence=2).remark == "rings"

    who = factories.annotator(sea.campaign, began_at=LATER)
    serving.release_ended(now=LATER)
    assert factories.judge_all(who, now=LATER) == 1
    assert len(list(judgment_records(sea.campaign, population=PEOPLE))) == 3
