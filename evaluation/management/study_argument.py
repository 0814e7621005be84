"""The STUDY argument that commands share."""

from django.core.management.base import CommandError

from evaluation.models import Study


def find_study(name: str) -> Study:
    """The study of a name or slug; CommandError names the ones there are."""
    found = Study.objects.filter(name=name).first() or Study.objects.filter(slug=name).first()
    if found is None:
        names = ", ".join(Study.objects.values_list("slug", flat=True)) or "none yet"
        raise CommandError(f"There is no study {name!r} (there are: {names})")
    return found
