"""Addresses that are told to people, outside of any request."""

from django.conf import settings
from django.urls import reverse

from annotation.models import Annotator
from evaluation.models import MetricVersion, SharedLink, Study


def study_page(study: Study) -> str:
    return settings.CLOSER_URL + reverse("study", args=[study.slug])


def metric_page(version: MetricVersion) -> str:
    return settings.CLOSER_URL + reverse("metric", args=[version.name])


def annotation_link(study: Study) -> str:
    """What annotators are given: whoever has it can judge."""
    return settings.CLOSER_URL + reverse("welcome", args=[study.campaign.token])


def own_link(annotator: Annotator) -> str:
    """An annotator's own link: whoever has it goes on as them."""
    return settings.CLOSER_URL + reverse("judge", args=[annotator.token])


def shared_page(link: SharedLink) -> str:
    """Whoever has it sees the results, without signing in."""
    return settings.CLOSER_URL + reverse("shared-results", args=[link.token])
