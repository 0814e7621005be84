"""The database itself keeps judgments as they were given, and simulations marked."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% are append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER judgment_append_only BEFORE UPDATE OR DELETE ON annotation_judgment
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER judgment_never_truncated BEFORE TRUNCATE ON annotation_judgment
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION judgment_fits_assignment() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    assignment annotation_assignment%ROWTYPE;
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
    RETURN NEW;
END $$;

CREATE TRIGGER judgment_fits BEFORE INSERT ON annotation_judgment
    FOR EACH ROW EXECUTE FUNCTION judgment_fits_assignment();

-- What was shown cannot be told otherwise once it was judged.
CREATE FUNCTION assignment_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.task_id, NEW.annotator_id, NEW.shown)
        IS DISTINCT FROM (OLD.task_id, OLD.annotator_id, OLD.shown)
    THEN
        RAISE EXCEPTION 'what an assignment shows, and to whom, never changes'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER assignment_stays BEFORE UPDATE ON annotation_assignment
    FOR EACH ROW EXECUTE FUNCTION assignment_stays();

-- A place that was used up stays used up.
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

CREATE FUNCTION annotator_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.is_simulated IS DISTINCT FROM OLD.is_simulated THEN
        RAISE EXCEPTION 'whether an annotator is simulated never changes'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER annotator_stays BEFORE UPDATE ON annotation_annotator
    FOR EACH ROW EXECUTE FUNCTION annotator_stays();
"""

BACKWARD = """
DROP TRIGGER assignment_keeps_place ON annotation_assignment;
DROP FUNCTION judged_assignment_keeps_place;
DROP TRIGGER annotator_stays ON annotation_annotator;
DROP FUNCTION annotator_stays;
DROP TRIGGER assignment_stays ON annotation_assignment;
DROP FUNCTION assignment_stays;
DROP TRIGGER judgment_fits ON annotation_judgment;
DROP FUNCTION judgment_fits_assignment;
DROP TRIGGER judgment_never_truncated ON annotation_judgment;
DROP TRIGGER judgment_append_only ON annotation_judgment;
DROP FUNCTION refuse_change;
"""


class Migration(migrations.Migration):
    dependencies = [("annotation", "0001_initial")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
