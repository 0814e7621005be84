"""Judgments stay append-only, but for one way: an annotator who withdraws takes theirs along."""

from django.db import migrations

FORWARD = """
-- Whoever was an annotator before there were invitations had begun.
UPDATE annotation_annotator SET began_at = joined_at WHERE began_at IS NULL;

-- A transaction that carries out a withdrawal names the annotator in closer.withdrawing
-- (annotation/people.py): then, and only then, that annotator's judgments can be deleted.
CREATE FUNCTION refuse_change_of_judgment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND EXISTS (
        SELECT FROM annotation_assignment
        WHERE id = OLD.assignment_id
            AND annotator_id::text = current_setting('closer.withdrawing', true)
    ) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION '% are append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'integrity_constraint_violation';
END $$;

DROP TRIGGER judgment_append_only ON annotation_judgment;
CREATE TRIGGER judgment_append_only BEFORE UPDATE OR DELETE ON annotation_judgment
    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_judgment();

CREATE OR REPLACE FUNCTION assignment_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.task_id, NEW.annotator_id, NEW.shown, NEW.purpose, NEW.repeats_id)
        IS DISTINCT FROM (OLD.task_id, OLD.annotator_id, OLD.shown, OLD.purpose, OLD.repeats_id)
    THEN
        RAISE EXCEPTION 'what an assignment shows, to whom and why, never changes'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
"""

BACKWARD = """
CREATE OR REPLACE FUNCTION assignment_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.task_id, NEW.annotator_id, NEW.shown)
        IS DISTINCT FROM (OLD.task_id, OLD.annotator_id, OLD.shown)
    THEN
        RAISE EXCEPTION 'what an assignment shows, and to whom, never changes'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
DROP TRIGGER judgment_append_only ON annotation_judgment;
DROP FUNCTION refuse_change_of_judgment;
CREATE TRIGGER judgment_append_only BEFORE UPDATE OR DELETE ON annotation_judgment
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [("annotation", "0004_conduct")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
