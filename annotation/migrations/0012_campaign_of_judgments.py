"""Judgments know their campaign, so that those of one study are found in their order, however many
there are of others."""

import django.db.models.deletion
from django.db import migrations, models

FITS = """
CREATE OR REPLACE FUNCTION judgment_fits_assignment() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    assignment annotation_assignment%%ROWTYPE;
BEGIN
    SELECT * INTO assignment FROM annotation_assignment WHERE id = NEW.assignment_id;
    IF cardinality(NEW.ranks) <> cardinality(assignment.shown) THEN
        RAISE EXCEPTION 'a judgment ranks everything that its assignment shows'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NOT assignment.holds_place THEN
        RAISE EXCEPTION 'a judgment needs a place of its task'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    %s
    RETURN NEW;
END $$;
"""
REFUSES = """
CREATE OR REPLACE FUNCTION refuse_change_of_judgment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND EXISTS (
        SELECT FROM annotation_assignment
        WHERE id = OLD.assignment_id
            AND annotator_id::text = current_setting('closer.withdrawing', true)
    ) THEN
        RETURN OLD;
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.remark = ''
        AND to_jsonb(NEW) - 'remark' = to_jsonb(OLD) - 'remark'
        AND EXISTS (
            SELECT FROM annotation_assignment
            WHERE id = OLD.assignment_id
                AND annotator_id::text = current_setting('closer.forgetting', true)
        )
    THEN
        RETURN NEW;
    END IF;
    %s
    RAISE EXCEPTION '%% are append-only: %% refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
"""
# Whoever inserts one: code of the release before knows of no campaign.
NOTES = (
    "SELECT campaign_id INTO NEW.campaign_id FROM annotation_task WHERE id = assignment.task_id;"
)
# Of those that were there before.
LETS_IT_BE_NOTED = """
    IF TG_OP = 'UPDATE' AND OLD.campaign_id IS NULL
        AND to_jsonb(NEW) - 'campaign_id' = to_jsonb(OLD) - 'campaign_id'
        AND NEW.campaign_id = (
            SELECT t.campaign_id FROM annotation_task t
            JOIN annotation_assignment a ON a.task_id = t.id WHERE a.id = OLD.assignment_id
        )
    THEN
        RETURN NEW;
    END IF;
"""
FORWARD = FITS % NOTES + REFUSES % LETS_IT_BE_NOTED
BACKWARD = FITS % "" + REFUSES % ""

AT_ONCE = 50_000
NOTE = """
UPDATE annotation_judgment j SET campaign_id = t.campaign_id
FROM annotation_assignment a JOIN annotation_task t ON t.id = a.task_id
WHERE a.id = j.assignment_id AND j.campaign_id IS NULL AND j.id > %s AND j.id <= %s
"""


def note_campaigns(apps, editor):
    """Of the judgments that are there, so many at once that nobody waits for long."""
    with editor.connection.cursor() as cursor:
        cursor.execute("SELECT min(id) - 1, max(id) FROM annotation_judgment")
        first, last = cursor.fetchone()
        for after in range(first or 0, last or 0, AT_ONCE):
            cursor.execute(NOTE, [after, after + AT_ONCE])


class Migration(migrations.Migration):
    atomic = False  # people judge meanwhile
    dependencies = [("annotation", "0011_when_closed_and_forgetting")]

    operations = [
        migrations.AddField(
            "judgment",
            "campaign",
            models.ForeignKey(
                "annotation.campaign",
                django.db.models.deletion.PROTECT,
                related_name="judgments",
                null=True,
                editable=False,
                db_index=False,
                help_text="Of its task. The database notes it.",
            ),
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
        migrations.RunPython(note_campaigns, migrations.RunPython.noop),
    ]
