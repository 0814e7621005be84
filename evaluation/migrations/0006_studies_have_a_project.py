import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("evaluation", "0005_give_studies_a_project")]

    operations = [
        migrations.AlterField(
            model_name="study",
            name="project",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="studies",
                to="projects.project",
            ),
        ),
    ]
