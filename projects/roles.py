"""What somebody may do in a project."""

from django.db import models


class Role(models.TextChoices):
    """Each may do what those before it may."""

    VIEWER = "viewer", "Viewer: sees studies, results and data"
    RESEARCHER = "researcher", "Researcher: makes and runs studies"
    OWNER = "owner", "Owner: says who takes part"

    @property
    def or_more(self) -> list["Role"]:
        """This role and those that may do what it may."""
        roles = list(Role)
        return roles[roles.index(self) :]
