"""The panel of evaluation/tour.py on a page."""

from django import template

from evaluation.models import Study
from evaluation.tour import COOKIE, steps
from projects.access import current

register = template.Library()


@register.inclusion_tag("evaluation/tour.html", takes_context=True)
def first_run_tour(context: dict, study: Study | None = None) -> dict:
    """Nothing once it was put away, and where the demo's studies are not."""
    request = context["request"]
    if COOKIE in request.COOKIES:
        return {}
    project = study.project if study else current(request)
    return {
        "steps": steps(project, study=study),
        "here": request.path,
        "is_short": study is not None,
        "csrf_token": context.get("csrf_token"),
    }
