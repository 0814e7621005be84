from django.core.management.commands import migrate

from config.checks import refuse_unsafe


class Command(migrate.Command):
    """Django's, which would look at the database before it looks at settings."""

    def execute(self, *arguments, **options):
        if not options["skip_checks"]:
            refuse_unsafe()
        return super().execute(*arguments, **options)
