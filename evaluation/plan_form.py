"""The form of what a plan takes for granted."""

from dataclasses import asdict

from django import forms

from evaluation.plan import Assumptions


class AssumptionsForm(forms.Form):
    """What a plan takes for granted; whatever cannot be read is as by default."""

    annotators = forms.IntegerField(required=False, min_value=1, max_value=100_000)
    pay_per_hour = forms.DecimalField(
        required=False, min_value=0, max_value=10_000, decimal_places=2, label="Hourly pay"
    )
    currency = forms.CharField(required=False, max_length=10)
    seconds_per_judgment = forms.FloatField(
        min_value=0.5, max_value=3600, label="Seconds for an answer"
    )
    preferred = forms.FloatField(
        min_value=0.51,
        max_value=0.99,
        label="Share who prefer the better codec",
        help_text="The difference that the study is to find: 0.62 is 62 in 100.",
    )
    annotator_sd = forms.FloatField(
        min_value=0, max_value=3, label="How far annotators differ", help_text="In log-odds."
    )
    content_sd = forms.FloatField(
        min_value=0, max_value=3, label="How far pictures differ", help_text="In log-odds."
    )

    def __init__(self, data=None) -> None:
        usual = {
            f"plan-{name}": "" if value is None else str(value)
            for name, value in asdict(Assumptions()).items()
        }
        super().__init__({**usual, **(data or {})}, prefix="plan")
        self.fields["annotators"].widget.attrs["placeholder"] = "any"

    def assumptions(self) -> Assumptions:
        """Those that were told and can be read."""
        self.is_valid()
        told = {name: value for name, value in self.cleaned_data.items() if value is not None}
        return Assumptions(**told)
