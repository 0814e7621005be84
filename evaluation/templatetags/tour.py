"""The panel of evaluation/tour.py on a page."""

from django import template

from evaluation.models import Study
from evaluation.tour import COOKIE, steps
from projects.access import current, may
from projects.roles import Role

register = template.Library()


@register.inclusion_tag("evaluation/tour.html", takes_context=True)
def first_run_tour(context: dict, study: Study | None = None) -> dict:
    """Nothing once it was put away, and where the demo's studies are not."""
    request = context["request"]
    if COOKIE in request.COOKIES:
        return {}
    now = current(request)
    makes_studies = may(request.user, now, Role.RESEARCHER)
    return {
        "steps": steps(study.project if study else now, study=study, makes_studies=makes_studies),
        "here": request.path,
        "is_short": study is not None,
        "csrf_token": context.get("csrf_token"),
    }
