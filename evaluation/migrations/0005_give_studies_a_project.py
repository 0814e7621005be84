"""Whoever had an account ran every study: they are the owners of a project of all studies."""

from django.conf import settings
from django.db import migrations


def give(apps, schema_editor) -> None:
    studies = apps.get_model("evaluation", "Study").objects.filter(project=None)
    users = apps.get_model(*settings.AUTH_USER_MODEL.split(".")).objects.all()
    if studies.exists() or users.exists():
        projects = apps.get_model("projects", "Project").objects
        lab, _ = projects.get_or_create(slug="lab", defaults={"name": "Lab", "trains_metric": True})
        memberships = apps.get_model("projects", "Membership").objects
        for user in users:
            memberships.get_or_create(project=lab, user=user, defaults={"role": "owner"})
        studies.update(project=lab)


class Migration(migrations.Migration):
    dependencies = [
        ("evaluation", "0004_studies_of_projects"),
        ("projects", "0003_a_first_project"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [migrations.RunPython(give, migrations.RunPython.noop)]
