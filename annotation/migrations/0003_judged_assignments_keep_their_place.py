"""A judged assignment has no lease to end, and the database keeps its place."""

from django.db import migrations, models

END_LEASES = """
UPDATE annotation_assignment SET lease_ends = NULL
WHERE id IN (SELECT assignment_id FROM annotation_judgment);
"""

RESTORE_LEASES = "UPDATE annotation_assignment SET lease_ends = leased_at WHERE lease_ends IS NULL;"

KEEP_PLACES = """
CREATE FUNCTION judged_assignment_keeps_place() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM annotation_judgment WHERE assignment_id = OLD.id) THEN
        RAISE EXCEPTION 'a judged assignment keeps its place in its task'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER assignment_keeps_place BEFORE UPDATE OF holds_place ON annotation_assignment
    FOR EACH ROW WHEN (OLD.holds_place AND NOT NEW.holds_place)
    EXECUTE FUNCTION judged_assignment_keeps_place();
"""

LET_PLACES_GO = """
DROP TRIGGER assignment_keeps_place ON annotation_assignment;
DROP FUNCTION judged_assignment_keeps_place;
"""


class Migration(migrations.Migration):
    dependencies = [("annotation", "0002_judgments_append_only")]

    operations = [
        migrations.AlterField(
            model_name="assignment",
            name="lease_ends",
            field=models.DateTimeField(help_text="Empty once it is judged.", null=True),
        ),
        migrations.RunSQL(END_LEASES, RESTORE_LEASES),
        migrations.RunSQL(KEEP_PLACES, LET_PLACES_GO),
    ]
