"""What an annotator did is counted by the database; campaigns pause; tasks of a pair are found."""

from django.db import migrations, models

FORWARD = """
UPDATE annotation_annotator SET
    n_given = given.n, n_answered = given.answered, n_counted = given.counted,
    n_measured = given.measured, worked_ms = given.worked
FROM (
    SELECT a.annotator_id, count(*) AS n, count(j.id) AS answered,
        count(j.id) FILTER (WHERE a.purpose IN ('measure', 'gold', 'repeat')) AS counted,
        count(j.id) FILTER (WHERE a.purpose = 'measure') AS measured,
        coalesce(sum(least(j.response_ms, 180000)), 0) AS worked
    FROM annotation_assignment a LEFT JOIN annotation_judgment j ON j.assignment_id = a.id
    GROUP BY 1
) given WHERE given.annotator_id = annotation_annotator.id;

-- By statement, not by row: a million rows that come at once are counted once.
CREATE FUNCTION count_assignments() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE annotation_annotator SET n_given = n_given + given.n
    FROM (SELECT annotator_id, count(*) AS n FROM changed GROUP BY 1) given
    WHERE id = given.annotator_id;
    RETURN NULL;
END $$;

CREATE TRIGGER assignments_counted AFTER INSERT ON annotation_assignment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION count_assignments();

CREATE FUNCTION count_judgments() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    sign integer := CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END;
BEGIN
    UPDATE annotation_annotator SET
        n_answered = n_answered + sign * given.n,
        n_counted = n_counted + sign * given.counted,
        n_measured = n_measured + sign * given.measured,
        worked_ms = worked_ms + sign * given.worked
    FROM (
        SELECT a.annotator_id, count(*) AS n,
            count(*) FILTER (WHERE a.purpose IN ('measure', 'gold', 'repeat')) AS counted,
            count(*) FILTER (WHERE a.purpose = 'measure') AS measured,
            sum(least(changed.response_ms, 180000)) AS worked
        FROM changed JOIN annotation_assignment a ON a.id = changed.assignment_id
        GROUP BY 1
    ) given WHERE id = given.annotator_id;
    RETURN NULL;
END $$;

CREATE TRIGGER judgments_counted AFTER INSERT ON annotation_judgment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION count_judgments();
CREATE TRIGGER judgments_discounted AFTER DELETE ON annotation_judgment
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION count_judgments();
"""

BACKWARD = """
DROP TRIGGER judgments_discounted ON annotation_judgment;
DROP TRIGGER judgments_counted ON annotation_judgment;
DROP FUNCTION count_judgments;
DROP TRIGGER assignments_counted ON annotation_assignment;
DROP FUNCTION count_assignments;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("annotation", "0009_exports"),
        ("codecs_registry", "0003_lossless_webp"),
    ]

    operations = [
        migrations.AddField(
            model_name="annotator",
            name="n_answered",
            field=models.PositiveIntegerField(
                db_default=0, default=0, editable=False, help_text="Judgments, of every purpose."
            ),
        ),
        migrations.AddField(
            model_name="annotator",
            name="n_counted",
            field=models.PositiveIntegerField(
                db_default=0,
                default=0,
                editable=False,
                help_text="Judgments but practice and quiz.",
            ),
        ),
        migrations.AddField(
            model_name="annotator",
            name="n_given",
            field=models.PositiveIntegerField(
                db_default=0, default=0, editable=False, help_text="Assignments, of every purpose."
            ),
        ),
        migrations.AddField(
            model_name="annotator",
            name="n_measured",
            field=models.PositiveIntegerField(
                db_default=0,
                default=0,
                editable=False,
                help_text="Judgments but gold and repeats, too.",
            ),
        ),
        migrations.AddField(
            model_name="annotator",
            name="worked_ms",
            field=models.PositiveBigIntegerField(
                db_default=0,
                default=0,
                editable=False,
                help_text="From the pictures to the answers, each at most three minutes.",
            ),
        ),
        migrations.AddField(
            model_name="task",
            name="compares",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text='Of a pair, its codecs in order, as in "avif jpeg", where whoever writes priorities asks by pair; else empty.',
                max_length=101,
            ),
        ),
        migrations.AlterField(
            model_name="campaign",
            name="state",
            field=models.CharField(
                choices=[
                    ("draft", "Draft"),
                    ("open", "Open"),
                    ("paused", "Paused"),
                    ("closed", "Closed"),
                ],
                default="draft",
                max_length=10,
            ),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                condition=models.Q(
                    models.Q(("compares", ""), _negated=True), ("places_left__gt", 0)
                ),
                fields=["campaign", "target_bpp", "compares", "-places_left", "order_key"],
                name="task_open_by_pair",
            ),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                condition=models.Q(
                    models.Q(("compares", ""), _negated=True), ("simulated_places_left__gt", 0)
                ),
                fields=[
                    "campaign",
                    "target_bpp",
                    "compares",
                    "-simulated_places_left",
                    "order_key",
                ],
                name="task_open_by_pair_simulated",
            ),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                condition=models.Q(("priority__gt", 0)),
                fields=["campaign"],
                name="task_has_priority",
            ),
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
