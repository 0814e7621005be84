"""Celery's door to what is forgotten of those who have accounts."""

from celery import shared_task
from django.contrib.sessions.models import Session
from django.utils import timezone

from projects.models import SignInFailures


@shared_task
def forget_sign_ins() -> None:
    """Delete sessions, and counts of wrong passwords, that are over. Safe to run twice or late."""
    now = timezone.now()
    Session.objects.filter(expire_date__lt=now).delete()
    SignInFailures.objects.filter(until__lte=now).delete()
