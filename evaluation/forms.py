"""The forms of the researcher's pages, but for the study builder's: study_form.py."""

from dataclasses import asdict

from django import forms

from codecs_registry.importing import Import, import_files
from evaluation.plan import Assumptions


class MultipleFileInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class MultipleFileField(forms.FileField):
    widget = MultipleFileInput

    def clean(self, data, initial=None) -> list:
        check = super().clean
        return [check(each, initial) for each in data or [None]]


class InvitationForm(forms.Form):
    MOST = 1000

    labels = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 4}),
        label="Whom you invite, one a line",
        help_text="A name, a number. Annotators see it only in the data that they download.",
    )

    def clean_labels(self) -> list[str]:
        labels = [line.strip() for line in self.cleaned_data["labels"].splitlines()]
        labels = [label for label in labels if label]
        if len(labels) > self.MOST:
            raise forms.ValidationError(f"At most {self.MOST} at once.")
        if any(len(label) > 200 for label in labels):
            raise forms.ValidationError("A line has at most 200 characters.")
        return labels


class UploadForm(forms.Form):
    collection = forms.CharField(max_length=100, label="Collection")
    photographs = MultipleFileField(
        allow_empty_file=True,  # it is named and skipped like any other that is no picture
        help_text="PNG, JPEG, WebP, TIFF or AVIF.",
    )

    def save(self) -> Import:
        """Import what was uploaded; pictures that cannot be used are in the result's `skipped`."""
        uploads = self.cleaned_data["photographs"]
        return import_files(
            ((upload.name, upload.file) for upload in uploads),
            collection=self.cleaned_data["collection"],
        )


class AssumptionsForm(forms.Form):
    """What a plan takes for granted; whatever cannot be read is as by default."""

    annotators = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=100_000,
        help_text="Who will come. Empty: as many as it takes.",
    )
    pay_per_hour = forms.DecimalField(
        required=False, min_value=0, max_value=10_000, decimal_places=2, label="Pay per hour"
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
        super().__init__({**usual, **(data or {})}, prefix="plan", auto_id="id_%s")

    def assumptions(self) -> Assumptions:
        """Those that were told and can be read."""
        self.is_valid()
        told = {name: value for name, value in self.cleaned_data.items() if value is not None}
        return Assumptions(**told)
