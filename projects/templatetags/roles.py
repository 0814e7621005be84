"""Whether somebody may: no page shows a control that would be refused. Known to all templates."""

from django import template

from projects.access import may
from projects.models import Project
from projects.roles import Role

register = template.Library()


@register.filter
def may_change(user, project: Project | None) -> bool:
    """{% if user|may_change:study.project %}: a researcher in it, or more."""
    return bool(user) and may(user, project, Role.RESEARCHER)
