from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("annotation", "0012_campaign_of_judgments")]

    operations = [
        AddIndexConcurrently(
            "judgment", models.Index(fields=["campaign", "id"], name="judgment_of_campaign")
        ),
        AddIndexConcurrently(
            "task", models.Index(fields=["campaign", "source"], name="task_of_source")
        ),
    ]
