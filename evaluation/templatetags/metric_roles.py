"""Whether somebody may see the metric, or change it, as projects/templatetags/roles.py."""

from django import template

from evaluation.access import may_metric
from projects.roles import Role

register = template.Library()


@register.filter
def may_see_metric(user) -> bool:
    return bool(user) and may_metric(user, Role.VIEWER)


@register.filter
def may_change_metric(user) -> bool:
    return bool(user) and may_metric(user, Role.RESEARCHER)
