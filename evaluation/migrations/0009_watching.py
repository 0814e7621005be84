"""What is kept of a study while it goes on; what a launched study's pages count is filled in."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

FILL = """
UPDATE evaluation_study SET n_tasks = made.n, n_gold_tasks = made.gold
FROM (
    SELECT c.id AS campaign_id, count(t.id) FILTER (WHERE t.closest_id IS NULL) AS n,
        count(t.id) FILTER (WHERE t.closest_id IS NOT NULL) AS gold
    FROM annotation_campaign c LEFT JOIN annotation_task t ON t.campaign_id = c.id
    WHERE c.state <> 'draft' GROUP BY c.id
) made WHERE made.campaign_id = evaluation_study.campaign_id;

UPDATE annotation_task SET compares = pair.codecs
FROM (
    SELECT t.id, string_agg(r.codec, ' ' ORDER BY r.codec COLLATE "C") AS codecs
    FROM evaluation_study s
    JOIN annotation_task t ON t.campaign_id = s.campaign_id AND t.closest_id IS NULL
    JOIN annotation_taskreconstruction p ON p.task_id = t.id
    JOIN codecs_registry_reconstruction r ON r.id = p.reconstruction_id
    WHERE s.specification->>'sampling' = 'active' GROUP BY t.id
) pair WHERE pair.id = annotation_task.id;

-- It counts something else now: let active sampling look at everything once.
UPDATE evaluation_study SET sampled_until = NULL;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("annotation", "0010_counts_pause_and_pairs"),
        ("evaluation", "0008_shared_links"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="study",
            name="asked_next",
            field=models.JSONField(
                db_default=[], default=list, help_text="Of the last round: active_sampling.Wanted."
            ),
        ),
        migrations.AddField(
            model_name="study",
            name="n_gold_tasks",
            field=models.PositiveIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="study",
            name="n_tasks",
            field=models.PositiveIntegerField(
                help_text="That measure; empty: they are not made yet.", null=True
            ),
        ),
        migrations.AddField(
            model_name="study",
            name="pilot",
            field=models.OneToOneField(
                blank=True,
                help_text="A campaign of its own, so that nothing of it can count in the study.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="piloted_study",
                to="annotation.campaign",
            ),
        ),
        migrations.AddField(
            model_name="study",
            name="sampled_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="study",
            name="sampling_s",
            field=models.FloatField(help_text="Seconds that its last round took.", null=True),
        ),
        migrations.AddField(
            model_name="study",
            name="target_width",
            field=models.FloatField(
                blank=True,
                help_text="It closes by itself when no interval is wider, in log-odds; empty: never.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="study",
            name="when_ready",
            field=models.CharField(
                choices=[("open", "open"), ("pilot", "open as a pilot"), ("wait", "wait for me")],
                db_default="open",
                default="open",
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="study",
            name="sampled_until",
            field=models.BigIntegerField(
                help_text="What active sampling saw last: annotation.counts.news_and_leases.",
                null=True,
            ),
        ),
        migrations.CreateModel(
            name="IntervalWidth",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "population",
                    models.CharField(
                        choices=[
                            ("people", "People"),
                            ("simulated", "Simulated"),
                            ("pilot", "Pilot"),
                        ],
                        max_length=10,
                    ),
                ),
                ("stratum", models.CharField(max_length=20)),
                ("n_judgments", models.PositiveIntegerField(help_text="At this stratum.")),
                (
                    "widest",
                    models.FloatField(
                        help_text="In log-odds; empty: there was no scale yet.", null=True
                    ),
                ),
                (
                    "codec",
                    models.CharField(blank=True, help_text="Whose interval it was.", max_length=50),
                ),
                ("at", models.DateTimeField(auto_now_add=True)),
                (
                    "study",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="widths",
                        to="evaluation.study",
                    ),
                ),
            ],
            options={
                "ordering": ["n_judgments", "id"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("study", "population", "stratum", "n_judgments"),
                        name="width_once_a_count",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="StoredAnalysis",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "population",
                    models.CharField(
                        choices=[
                            ("people", "People"),
                            ("simulated", "Simulated"),
                            ("pilot", "Pilot"),
                        ],
                        max_length=10,
                    ),
                ),
                ("options_sha256", models.CharField(max_length=64)),
                ("options", models.JSONField()),
                (
                    "news",
                    models.BigIntegerField(
                        help_text="What annotation.counts said when it began; empty: none was made yet.",
                        null=True,
                    ),
                ),
                ("text", models.TextField(blank=True, help_text="What `analyse --json` prints.")),
                ("n_judgments", models.PositiveIntegerField(default=0)),
                (
                    "facts",
                    models.JSONField(
                        default=dict, help_text="What else watching.py shows, as of then."
                    ),
                ),
                (
                    "drawn",
                    models.TextField(
                        blank=True,
                        help_text="Its plots, which take longer to draw than a page may: JSON.",
                    ),
                ),
                ("made_at", models.DateTimeField(null=True)),
                ("seconds", models.FloatField(help_text="That making it took.", null=True)),
                (
                    "asked_at",
                    models.DateTimeField(
                        help_text="When workers were first asked for the next one.", null=True
                    ),
                ),
                (
                    "told_at",
                    models.DateTimeField(help_text="When they were last told of it.", null=True),
                ),
                ("worker", models.CharField(blank=True, max_length=200)),
                (
                    "lease_ends",
                    models.DateTimeField(help_text="Of the worker that makes the next.", null=True),
                ),
                (
                    "study",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="analyses",
                        to="evaluation.study",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "stored analyses",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("study", "population", "options_sha256"),
                        name="analysis_stored_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="StudyChange",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("version", models.PositiveIntegerField()),
                ("at", models.DateTimeField(auto_now_add=True)),
                ("key", models.CharField(max_length=100)),
                ("before", models.JSONField(null=True)),
                ("after", models.JSONField(null=True)),
                ("reason", models.TextField(blank=True)),
                (
                    "by",
                    models.ForeignKey(
                        blank=True,
                        help_text="Empty: the study did it by itself, or a command did.",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "study",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="changes",
                        to="evaluation.study",
                    ),
                ),
            ],
            options={
                "ordering": ["study", "version"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("study", "version"), name="study_change_numbered_once"
                    )
                ],
            },
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
    ]
