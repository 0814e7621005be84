"""Forms of tokens and webhooks."""

from datetime import timedelta

from django import forms

from codecs_registry import clock
from evaluation.api_models import Scope
from evaluation.webhook_models import Event
from projects.access import projects_of
from projects.models import Project

LASTS = {"30": "30 days", "90": "90 days", "365": "a year", "": "until it is revoked"}


class TokenForm(forms.Form):
    name = forms.CharField(max_length=100, help_text="What it is for: a notebook, a server.")
    project = forms.ModelChoiceField(
        Project.objects, required=False, empty_label="All of mine", help_text="What it opens."
    )
    scopes = forms.MultipleChoiceField(
        choices=[(scope.value, f"{scope.value}: {scope.label}") for scope in Scope],
        initial=[Scope.READ],
        widget=forms.CheckboxSelectMultiple,
        label="What it may do",
        help_text="Never more than your role in a project allows.",
    )
    lasts = forms.ChoiceField(
        choices=LASTS.items(), required=False, initial="90", label="It holds for"
    )

    def __init__(self, *args, user, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.fields["project"].queryset = projects_of(user)

    @property
    def wanted(self) -> dict:
        """What make_token takes."""
        given = dict(self.cleaned_data)
        days = given.pop("lasts")
        return given | {
            "scopes": [Scope(each) for each in given["scopes"]],
            "expires_at": clock.now() + timedelta(days=int(days)) if days else None,
        }


class WebhookForm(forms.Form):
    url = forms.URLField(
        max_length=500,
        assume_scheme="https",
        label="Address",
        help_text="Closer sends JSON there by POST.",
    )
    events = forms.MultipleChoiceField(
        choices=[(event.value, f"{event.value}: {event.label}") for event in Event],
        initial=[Event.OPENED, Event.CLOSED, Event.ENCODING_FAILED],
        widget=forms.CheckboxSelectMultiple,
        label="What it is told",
    )
