"""The form that changes a study that goes on. What it may become is decided by changes.py alone."""

from django import forms

from annotation.models import Campaign
from evaluation.models import Study

TYPED = "%Y-%m-%dT%H:%M"  # what a browser's date and time field sends; in UTC here


class ChangeForm(forms.Form):
    judgments_per_task = forms.IntegerField(
        label="Judgments per question", help_text="Can be raised.", min_value=1
    )
    judgments_per_annotator = forms.IntegerField(
        required=False, label="Questions per annotator", help_text="Can be raised; empty: no limit."
    )
    budget = forms.IntegerField(
        required=False,
        label="Budget, in judgments",
        help_text="Of people, in all. Can be raised; empty: no limit.",
    )
    closes_at = forms.DateTimeField(
        required=False,
        label="Closes at (UTC)",
        help_text="Nothing new is given after it; empty: never.",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format=TYPED),
        input_formats=[TYPED, "%Y-%m-%dT%H:%M:%S"],
    )
    target_width = forms.FloatField(
        required=False,
        label="Target width, in log-odds",
        help_text="The study closes by itself when no 95 % interval is wider; empty: it does not.",
        widget=forms.NumberInput(attrs={"step": "0.05"}),
    )
    instructions = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Can be changed until somebody has begun.",
    )

    @classmethod
    def of(cls, study: Study) -> "ChangeForm":
        """The form with what holds now."""
        campaign: Campaign = study.campaign
        names = [name for name in cls.base_fields if name != "target_width"]
        values = {name: getattr(campaign, name) for name in names}
        return cls(initial=values | {"target_width": study.target_width})

    def wanted(self) -> dict:
        """What was typed, as a study file has it. Only after is_valid()."""
        values = dict(self.cleaned_data)
        if values["closes_at"] is not None:
            values["closes_at"] = values["closes_at"].isoformat()
        return values

    def add_problems(self, problems: dict[str, str]) -> None:
        for name, problem in problems.items():
            self.add_error(name if name in self.fields else None, f"This {problem}.")
