"""Addresses that are told to people, outside of any request."""

from django.conf import settings
from django.urls import reverse

from evaluation.models import Study


def study_page(study: Study) -> str:
    return settings.CLOSER_URL + reverse("study", args=[study.slug])


def annotation_link(study: Study) -> str:
    """What annotators are given: whoever has it can judge."""
    return settings.CLOSER_URL + reverse("welcome", args=[study.campaign.token])
