"""Migrations since the newest release let its code go on, until the last old process has ended.

Looked at, and not taken: django-migration-linter, which finds much the same by each migration's
SQL, but is an installed app with imports of its own in migrations that are excused; and
django-safemigrate, which orders migrations around a deployment: they need no order while they only
add.
"""

import re

import pytest
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import connection, migrations, models
from django.db.migrations import operations as known
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ModelState, ProjectState

from tests.releases import EXCEPTIONS, NEWEST, RELEASES

ADDS = (known.CreateModel, known.AddIndex, AddIndexConcurrently, known.RunPython)
LOOSENS = (known.RemoveConstraint, known.RemoveIndex, known.AlterModelOptions)
BREAKS = re.compile(
    r"\b(DROP\s+(TABLE|COLUMN)|RENAME\s+(TO|COLUMN)|SET\s+NOT\s+NULL|ALTER\s+COLUMN\s+\S+\s+TYPE"
    r"|ADD\s+CONSTRAINT|TRUNCATE)\b",
    re.IGNORECASE,
)


def reason_against(app: str, operation, state: ProjectState) -> str:
    """What code that does not know of an operation would stumble over; "" for nothing.

    state : before the operation.
    """
    match operation:
        case known.AddField():
            return _against_new_field(operation.field)
        case known.AlterField():
            before = state.models[app, operation.model_name_lower].fields[operation.name]
            return _against_change(before, operation.field)
        case known.AddConstraint():
            return "rows that were allowed are refused"
        case known.RunSQL():
            found = BREAKS.search(str(operation.sql))
            return f"SQL: {found[0]}" if found else ""
        case known.SeparateDatabaseAndState():
            parts = operation.database_operations
            return "; ".join(filter(None, (reason_against(app, each, state) for each in parts)))
    if isinstance(operation, ADDS + LOOSENS):
        return ""
    return f"{type(operation).__name__} takes away or renames what is read"


def _against_new_field(field: models.Field) -> str:
    is_free = field.null or field.many_to_many or field.has_db_default()
    return "" if is_free else "rows are inserted without it: it needs null or db_default"


def _against_change(before: models.Field, after: models.Field) -> str:
    if before.null and not after.null:
        return "empty values are refused"
    if before.has_db_default() and not after.has_db_default():
        return "rows are inserted without it, and there is no db_default any more"
    if before.db_type(connection) == after.db_type(connection):
        return "" if before.unique or not after.unique else "equal values are refused"
    sizes = before.max_length, after.max_length
    is_text = isinstance(before, models.CharField) and isinstance(after, models.CharField)
    if is_text and None not in sizes and sizes[0] < sizes[1]:
        return ""
    return f"{before.db_type(connection)} becomes {after.db_type(connection)}"


def newer_than_newest(loader: MigrationLoader) -> list[tuple[str, str]]:
    """What a database of the newest release lacks, in the order in which it is applied."""
    released = {
        each for node in RELEASES[NEWEST].items() for each in loader.graph.forwards_plan(node)
    }
    ours = [node for node in loader.graph.leaf_nodes() if node[0] in RELEASES[NEWEST]]
    plan = dict.fromkeys(each for node in ours for each in loader.graph.forwards_plan(node))
    return [each for each in plan if each not in released and each[0] in RELEASES[NEWEST]]


def test_each_migration_since_the_newest_release_lets_its_code_go_on():
    loader = MigrationLoader(None)
    wrong, excused = [], set()
    newer = newer_than_newest(loader)
    assert newer
    for app, name in newer:
        migration = loader.get_migration(app, name)
        state = loader.project_state((app, name), at_end=False)
        for operation in migration.operations:
            if reason := reason_against(app, operation, state):
                excused.add((app, name))
                if (app, name) not in EXCEPTIONS:
                    wrong.append(f"{app}.{name}: {operation.describe()}: {reason}")
            operation.state_forwards(app, state)
    assert wrong == [], "do it in two releases, or say why not in tests/releases.py"
    assert set(EXCEPTIONS) <= excused, "an exception that nothing needs any more"


def test_every_app_of_ours_is_in_the_newest_release_or_new():
    loader = MigrationLoader(None)
    for app, name in RELEASES[NEWEST].items():
        assert (app, name) in loader.disk_migrations


# --- the rules themselves -------------------------------------------------------------------------


@pytest.fixture
def state() -> ProjectState:
    fields = [
        ("id", models.BigAutoField(primary_key=True)),
        ("name", models.CharField(max_length=10, null=True)),
        ("size", models.IntegerField(db_default=0)),
    ]
    made = ProjectState()
    made.add_model(ModelState("sea", "Ship", fields))
    return made


SHIP_IS_NAMED = models.CheckConstraint(condition=~models.Q(name=""), name="ship_is_named")


@pytest.mark.parametrize(
    "operation",
    [
        known.AddField("ship", "mast", models.IntegerField(null=True)),
        known.AddField("ship", "mast", models.IntegerField(db_default=1)),
        known.AddField("ship", "ports", models.ManyToManyField("sea.Ship")),
        known.AlterField("ship", "name", models.CharField(max_length=20, null=True)),
        known.AlterField("ship", "name", models.CharField(max_length=10, null=True, help_text="x")),
        known.AddIndex("ship", models.Index(fields=["name"], name="ship_name")),
        known.RemoveConstraint("ship", "ship_is_named"),
        known.CreateModel("Port", [("id", models.BigAutoField(primary_key=True))]),
        known.RunSQL("CREATE FUNCTION f() RETURNS trigger AS ..."),
        migrations.SeparateDatabaseAndState(state_operations=[known.DeleteModel("Ship")]),
    ],
    ids=lambda operation: operation.describe(),
)
def test_what_only_adds_is_let_through(state, operation):
    assert reason_against("sea", operation, state) == ""


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        (known.AddField("ship", "mast", models.IntegerField(default=1)), "db_default"),
        (known.RemoveField("ship", "name"), "takes away"),
        (known.RenameField("ship", "name", "title"), "renames"),
        (known.DeleteModel("Ship"), "takes away"),
        (known.RenameModel("Ship", "Boat"), "renames"),
        (known.AlterModelTable("ship", "boats"), "renames"),
        (known.AlterField("ship", "name", models.CharField(max_length=10)), "empty values"),
        (known.AlterField("ship", "name", models.CharField(max_length=5, null=True)), "becomes"),
        (known.AlterField("ship", "name", models.IntegerField(null=True)), "becomes"),
        (known.AlterField("ship", "size", models.IntegerField()), "no db_default"),
        (
            known.AlterField(
                "ship", "name", models.CharField(max_length=10, null=True, unique=True)
            ),
            "equal values",
        ),
        (known.AddConstraint("ship", SHIP_IS_NAMED), "refused"),
        (known.RunSQL("ALTER TABLE sea_ship DROP COLUMN name"), "DROP COLUMN"),
        (known.RunSQL("ALTER TABLE sea_ship ALTER name SET NOT NULL"), "SET NOT NULL"),
        (
            migrations.SeparateDatabaseAndState([known.RemoveField("ship", "name")]),
            "takes away",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else value.describe(),
)
def test_what_old_code_would_stumble_over_is_refused(state, operation, words):
    assert words in reason_against("sea", operation, state)
