"""The study builder's forms. What a study may be is decided by StudySpecification alone."""

from django import forms

from annotation.kinds import KINDS
from codecs_registry.codecs import all_codecs
from codecs_registry.importing import Import, import_files
from codecs_registry.models import Collection
from evaluation.study_files import DEFAULT_BPP, InvalidStudy, StudySpecification
from projects.models import Project

USUAL_CODECS = ["jpeg", "jpeg2000", "webp", "avif"]  # every further one adds a pair for each


class StudyForm(forms.Form):
    name = forms.CharField(help_text="For you; annotators do not see it.")
    images = forms.ModelChoiceField(
        Collection.objects, to_field_name="name", empty_label=None, label="Photographs"
    )
    codecs = forms.MultipleChoiceField(widget=forms.CheckboxSelectMultiple)
    task = forms.ChoiceField(
        choices=[(kind.name, kind.label) for kind in KINDS.values()],
        required=False,  # pairs, unless it says so
        label="Question",
        help_text="Pairs: which is closer to the original? Rankings: three to eight in order.",
    )
    allow_ties = forms.BooleanField(
        required=False,
        label="Allow ties",
        help_text="“No difference” is an answer, and places in a ranking may be shared.",
    )
    bpp = forms.CharField(
        initial=", ".join(DEFAULT_BPP),
        label="Target bits per pixel",
        help_text="Results of different bit rates are kept apart.",
    )
    judgments_per_task = forms.IntegerField(
        initial=3, label="Judgments per question", help_text="By different annotators."
    )
    judgments_per_annotator = forms.IntegerField(
        required=False,
        label="Questions per annotator",
        help_text="After so many they are thanked. Empty: as many as there are.",
    )
    instructions = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Shown to annotators before they begin. Empty: the standard ones alone.",
    )
    seed = forms.IntegerField(initial=0, help_text="Of task order, sides and the dataset's split.")

    def __init__(self, *args, project: Project, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.fields["images"].queryset = Collection.objects.known_to(project)
        available = [codec for codec in all_codecs().values() if not codec.unavailable()]
        self.fields["codecs"].choices = [(codec.name, codec.label) for codec in available]
        self.fields["codecs"].initial = USUAL_CODECS

    def clean(self) -> dict:
        values = super().clean()
        given = {name: value for name, value in values.items() if value not in (None, "")}
        if "images" in given:
            given["images"] = given["images"].name
        if "bpp" in given:
            given["bpp"] = given["bpp"].replace(",", " ").split()
        if not self.errors:
            try:
                self.specification = StudySpecification.from_mapping(given)
            except InvalidStudy as error:
                self.add_problems(error.problems)
        return values

    def add_problems(self, problems: dict[str, str]) -> None:
        for name, problem in problems.items():
            self.add_error(name if name in self.fields else None, f"This {problem}.")


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
