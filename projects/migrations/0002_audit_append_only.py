"""The database itself keeps the log as it was written; an account that is gone leaves its name."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.actor_id IS NULL
        AND (NEW.id, NEW.project_id, NEW.actor_name, NEW.action, NEW.subject, NEW.details, NEW.at)
        IS NOT DISTINCT FROM
        (OLD.id, OLD.project_id, OLD.actor_name, OLD.action, OLD.subject, OLD.details, OLD.at)
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the log of changes is append-only: % refused', TG_OP
        USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON projects_auditentry
    FOR EACH ROW EXECUTE FUNCTION audit_append_only();
"""

BACKWARD = """
DROP TRIGGER audit_append_only ON projects_auditentry;
DROP FUNCTION audit_append_only;
"""


class Migration(migrations.Migration):
    dependencies = [("projects", "0001_initial")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
