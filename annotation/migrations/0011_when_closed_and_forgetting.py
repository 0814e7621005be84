"""When a campaign was closed is known; a remark can be taken away from a judgment that stays."""

from django.db import migrations, models

FORWARD = """
-- Of those closed already nobody knows when: what counts from the end counts from now.
UPDATE annotation_campaign SET closed_at = now() WHERE state = 'closed';

CREATE FUNCTION campaign_closed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state <> 'closed' THEN
        NEW.closed_at := NULL;
    ELSIF TG_OP = 'UPDATE' AND OLD.state = 'closed' THEN
        NEW.closed_at := OLD.closed_at;
    ELSE
        NEW.closed_at := now();
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER campaign_closed BEFORE INSERT OR UPDATE OF state ON annotation_campaign
    FOR EACH ROW EXECUTE FUNCTION campaign_closed();

-- A transaction that forgets who somebody was names the annotator in closer.forgetting
-- (annotation/forgetting.py): then, and only then, their remarks, which may name anybody, can be
-- emptied. Nothing else of a judgment ever changes.
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
    RAISE EXCEPTION '% are append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
"""

BACKWARD = """
CREATE OR REPLACE FUNCTION refuse_change_of_judgment() RETURNS trigger LANGUAGE plpgsql AS $$
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
DROP TRIGGER campaign_closed ON annotation_campaign;
DROP FUNCTION campaign_closed;
"""


class Migration(migrations.Migration):
    dependencies = [("annotation", "0010_counts_pause_and_pairs")]

    operations = [
        migrations.AddField(
            model_name="campaign",
            name="closed_at",
            field=models.DateTimeField(
                blank=True,
                editable=False,
                help_text="When it was closed last; the database sets it (migration 0011).",
                null=True,
            ),
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
