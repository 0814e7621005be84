"""A new installation has a project, so that its administrator can begin at once."""

from django.db import migrations


def make(apps, schema_editor) -> None:
    projects = apps.get_model("projects", "Project").objects
    if not projects.exists():
        projects.create(name="Lab", slug="lab", trains_metric=True)


class Migration(migrations.Migration):
    dependencies = [("projects", "0002_audit_append_only")]

    operations = [migrations.RunPython(make, migrations.RunPython.noop)]
