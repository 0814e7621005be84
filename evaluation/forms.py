"""The forms of the researcher's pages, but for those of the study builder."""

from django import forms

from codecs_registry.importing import Import, import_files
from projects.models import Project


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

    def save(self, project: Project) -> Import:
        """Import what was uploaded; pictures that cannot be used are in the result's `skipped`."""
        uploads = self.cleaned_data["photographs"]
        return import_files(
            ((upload.name, upload.file) for upload in uploads),
            collection=self.cleaned_data["collection"],
            project=project,
        )
