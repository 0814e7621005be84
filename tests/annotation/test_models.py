"""What the database itself keeps true, whatever the code above it does."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.models import ProtectedError

from annotation import serving
from annotation.models import Annotator, Assignment, Judgment, Task, TaskReconstruction
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.django_db


@pytest.fixture
def assignment():
    [assignment] = serving.lease(factories.annotator(factories.open_campaign(1)), now=NOW)
    return assignment


@pytest.fixture
def judgment(assignment):
    given, _ = serving.judge(assignment, answer="left", response_ms=900, viewing={}, now=NOW)
    sql("SET CONSTRAINTS ALL IMMEDIATE")  # as after a commit: nothing is left to be checked
    return given


def sql(statement: str, *values) -> None:
    """Past all our code: as a script, or a slip in a database console, would do it."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, values)


def refused(statement: str, *values, match: str):
    with pytest.raises(IntegrityError, match=match):
        sql(statement, *values)


INSERT_JUDGMENT = """
    INSERT INTO annotation_judgment (assignment_id, ranks, response_ms, viewing, judged_at)
    VALUES (%s, %s, %s, '{}', now())
"""


# --- judgments ------------------------------------------------------------------------------------


def test_a_judgment_of_an_open_assignment_is_taken(assignment):
    sql(INSERT_JUDGMENT, assignment.id, [2, 1], 900)
    assert Judgment.objects.get().ranks == [2, 1]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE annotation_judgment SET ranks = '{2,1}'",
        "UPDATE annotation_judgment SET response_ms = response_ms",
        "DELETE FROM annotation_judgment",
        "TRUNCATE annotation_judgment",
        "TRUNCATE annotation_assignment CASCADE",
        "TRUNCATE annotation_campaign CASCADE",
    ],
)
def test_a_judgment_stays_as_it_was_given(judgment, statement):
    refused(statement, match="append-only")
    assert Judgment.objects.get().ranks == [1, 2]


def test_our_own_code_cannot_change_or_delete_a_judgment_either(judgment):
    judgment.response_ms = 1
    for change in (judgment.save, judgment.delete, Judgment.objects.all().delete):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            change()
    judgment.refresh_from_db()
    assert judgment.response_ms == 900


def test_a_campaign_an_annotator_and_a_task_stay_while_there_are_judgments_of_them(judgment):
    assignment = judgment.assignment
    for each in (assignment, assignment.annotator, assignment.task, assignment.task.campaign):
        with pytest.raises(ProtectedError):
            each.delete()


def test_an_assignment_has_one_judgment(judgment):
    refused(INSERT_JUDGMENT, judgment.assignment_id, [2, 1], 900, match="assignment_id")


def test_a_judgment_needs_a_place_of_its_task(assignment):
    serving.give_back(assignment, now=NOW)
    refused(INSERT_JUDGMENT, assignment.id, [1, 2], 900, match="needs a place")


@pytest.mark.parametrize("ranks", [[1], [1, 2, 3], []])
def test_a_judgment_ranks_everything_that_was_shown(assignment, ranks):
    refused(INSERT_JUDGMENT, assignment.id, ranks, 900, match="ranks everything|names_closest")


@pytest.mark.parametrize("ranks", [[2, 3], [0, 2], [2, 2]])
def test_a_judgment_names_what_is_closest(assignment, ranks):
    refused(INSERT_JUDGMENT, assignment.id, ranks, 900, match="judgment_names_closest")
    with pytest.raises(ValidationError, match="judgment_names_closest"):
        Judgment(
            assignment=assignment, ranks=ranks, response_ms=1, viewing={"a": 1}, judged_at=NOW
        ).full_clean()


def test_nobody_answers_before_they_were_asked(assignment):
    refused(INSERT_JUDGMENT, assignment.id, [1, 2], -1, match="response_ms")


# --- assignments and annotators -------------------------------------------------------------------


@pytest.mark.parametrize("column", ["shown", "task_id", "annotator_id"])
def test_what_was_shown_and_to_whom_cannot_be_told_otherwise_later(assignment, column):
    other = factories.task(assignment.task.campaign)
    values = {
        "shown": list(reversed(assignment.shown)),
        "task_id": other.id,
        "annotator_id": factories.annotator(other.campaign).id,
    }
    refused(
        f"UPDATE annotation_assignment SET {column} = %s",  # noqa: S608
        values[column],
        match="never changes",
    )
    before = assignment.shown
    assignment.refresh_from_db()
    assert assignment.shown == before


def test_a_lease_may_be_renewed_and_a_place_given_back(assignment):
    Assignment.objects.update(lease_ends=NOW + timedelta(days=1), holds_place=False)
    assignment.refresh_from_db()
    assert not assignment.holds_place


def test_the_place_of_what_was_judged_cannot_be_given_to_another(judgment):
    refused("UPDATE annotation_assignment SET holds_place = false", match="keeps its place")


def test_an_annotator_is_given_a_task_once(assignment):
    with pytest.raises(IntegrityError, match="assignment_once_a_task_and_annotator"):
        Assignment.objects.create(
            task=assignment.task,
            annotator=assignment.annotator,
            shown=assignment.shown,
            leased_at=NOW,
            lease_ends=NOW,
        )


@pytest.mark.parametrize("is_simulated", [True, False])
def test_whether_an_annotator_is_simulated_never_changes(is_simulated):
    annotator = factories.annotator(factories.campaign(), is_simulated=is_simulated)
    refused(
        "UPDATE annotation_annotator SET is_simulated = NOT is_simulated", match="never changes"
    )
    with pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
        Annotator.objects.update(is_simulated=not is_simulated)
    annotator.refresh_from_db()
    assert annotator.is_simulated == is_simulated


@pytest.mark.parametrize("model", ["campaign", "annotator", "assignment"])
def test_no_two_links_are_the_same(assignment, model):
    first = {
        "campaign": assignment.task.campaign,
        "annotator": assignment.annotator,
        "assignment": assignment,
    }[model]
    second = {
        "campaign": factories.campaign,
        "annotator": lambda: factories.annotator(assignment.task.campaign),
        "assignment": lambda: serving.lease(factories.annotator(assignment.task.campaign), now=NOW)[
            0
        ],
    }[model]()
    second.token = first.token
    with pytest.raises(IntegrityError, match="token"), transaction.atomic():
        second.save()


def test_links_cannot_be_guessed():
    tokens = {factories.campaign().token for _ in range(50)}
    assert len(tokens) == 50
    assert {len(token) for token in tokens} == {24}, "144 bits, 6 a character"


# --- campaigns and tasks --------------------------------------------------------------------------


def test_a_task_shows_a_reconstruction_once(assignment):
    part = assignment.task.parts.first()
    twice = TaskReconstruction(task=part.task, reconstruction=part.reconstruction)
    with pytest.raises(ValidationError, match="already exists"):
        twice.full_clean()
    with pytest.raises(IntegrityError, match="task_shows_a_reconstruction_once"):
        twice.save()


def test_no_task_is_overfilled(assignment):
    refused("UPDATE annotation_task SET places_left = -1", match="places_left")
    assert Task.objects.get().places_left == 2


def test_a_task_of_no_stratum_is_refused(assignment):
    refused("UPDATE annotation_task SET target_bpp = 0", match="task_stratum_positive")


def test_a_campaign_wants_judgments():
    factories.campaign(judgments_per_task=1)
    with pytest.raises(IntegrityError, match="campaign_wants_judgments"):
        factories.campaign(judgments_per_task=0)


@pytest.mark.parametrize("part", ["source", "reconstruction"])
def test_what_a_task_shows_cannot_be_deleted(assignment, part):
    shown = {
        "source": assignment.task.source,
        "reconstruction": assignment.task.reconstructions.first(),
    }[part]
    with pytest.raises(ProtectedError):
        shown.delete()


# --- migrations -----------------------------------------------------------------------------------


def triggers() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgrelid::regclass::text"
            " LIKE 'annotation_%'"
        )
        return {name for (name,) in cursor.fetchall()}


def test_the_guards_can_be_taken_off_and_put_on_again_and_leave_the_judgments(judgment):
    # PostgreSQL does this inside the test's transaction, which is rolled back.
    judged = judgment.assignment
    before = triggers()
    assert len(before) == 10

    # All but an index, which cannot be made within a transaction.
    newest = [("annotation", "0012_campaign_of_judgments")]
    MigrationExecutor(connection).migrate(newest, fake=True)
    MigrationExecutor(connection).migrate([("annotation", "0001_initial")])
    assert triggers() == set()

    MigrationExecutor(connection).migrate(newest)
    assert triggers() == before
    judged.refresh_from_db()
    assert judged.lease_ends is None
    again = Judgment.objects.get()
    assert again == judgment
    assert again.campaign == judged.task.campaign


def test_a_judgment_is_of_its_task_s_campaign_whatever_is_said(judgment):
    other = factories.campaign()
    assert Judgment.objects.get().campaign_id == judgment.assignment.task.campaign_id
    for wrong in (other.id, None):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            Judgment.objects.update(campaign=wrong)
