"""The forms by which a file of judgments is uploaded, looked at and imported."""

from collections.abc import Mapping

from django import forms

from evaluation.importing import MOST_BYTES
from evaluation.models import PEOPLE, SIMULATED, Study
from evaluation.statistics.file_formats import FORMATS
from projects.models import Project

JUDGED_BY = {"": None, PEOPLE: False, SIMULATED: True}


class FileForm(forms.Form):
    file = forms.FileField(
        label="File",
        help_text="CSV in UTF-8. Drop it on the field, or choose it.",
        widget=forms.ClearableFileInput(attrs={"accept": ".csv,.txt,text/csv"}),
    )
    study = forms.ModelChoiceField(
        Study.objects.none(),
        to_field_name="slug",
        required=False,
        empty_label="No study: it stands alone",
        label="Belongs to",
        help_text="Of a study: rows that name other codecs, images or bit rates than its own fail. "
        "Its own judgments stay apart.",
    )

    def __init__(self, *args, project: Project, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.fields["study"].queryset = project.studies.all()

    def clean_file(self):
        file = self.cleaned_data["file"]
        if file.size > MOST_BYTES:
            raise forms.ValidationError(f"At most {MOST_BYTES // 2**20} MB.")
        return file


def format_asked(asked: Mapping[str, str]) -> str:
    name = asked.get("format", "auto")
    return name if name in FORMATS else "auto"


def columns_asked(asked: Mapping[str, str], header: list[str]) -> dict[str, str]:
    """What the selects of a preview say: the file's name of each column of the format, where it is
    another. They are of the format that was shown; of another they say nothing."""
    name = format_asked(asked)
    if asked.get("columns_of") != name:
        return {}
    chosen = {asked.get(f"column-{i}", ""): column for i, column in enumerate(header)}
    of_format = (*FORMATS[name].required, *FORMATS[name].optional)
    return {
        column: chosen.get(column, "")
        for column in of_format
        if chosen.get(column, "") != column and (column in chosen or column in header)
    }


def taken_twice(asked: Mapping[str, str], header: list[str]) -> list[str]:
    """Columns of the format that several columns of the file were chosen for."""
    chosen = [asked.get(f"column-{i}", "") for i in range(len(header))]
    return sorted({each for each in chosen if each and chosen.count(each) > 1})
