"""Who may see and who may change a study."""

from django.db import models
from django.http import HttpRequest
from django.shortcuts import get_object_or_404

from evaluation.models import Study


class Role(models.TextChoices):
    """What somebody may do in a project; each may do what those before it may."""

    VIEWER = "viewer", "sees studies and results"
    RESEARCHER = "researcher", "makes and runs studies"
    OWNER = "owner", "says who takes part"


def study_of(request: HttpRequest, slug: str, role: Role = Role.VIEWER) -> Study:
    """The study at this address, if who asks has at least this role in its project.

    Raises Http404 to those who may not know of it, PermissionDenied to those whose role is less.
    """
    return get_object_or_404(Study.objects.select_related("campaign", "pilot"), slug=slug)
