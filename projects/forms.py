from django import forms
from django.contrib.auth import get_user_model

from projects.models import Project
from projects.roles import Role


class ProjectForm(forms.ModelForm):
    class Meta:
        model = Project
        fields = ["name"]


class SettingsForm(forms.ModelForm):
    class Meta:
        model = Project
        fields = ["trains_metric"]
        labels = {"trains_metric": "Its judgments train the metric"}


class RoleForm(forms.Form):
    role = forms.ChoiceField(choices=Role, initial=Role.RESEARCHER)

    def clean_role(self) -> Role:
        return Role(self.cleaned_data["role"])


class MemberForm(RoleForm):
    username = forms.CharField(
        max_length=150,
        validators=[get_user_model().username_validator],
        label="Name of the account",
        help_text="Who has none here gets one, and you a link for them to set its password.",
    )
    email = forms.EmailField(
        required=False,
        label="Their address",
        help_text="Only for sign-in through your organisation; nothing is sent.",
    )
    field_order = ["username", "role", "email"]
