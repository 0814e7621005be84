"""The form of a rule that retrains the metric."""

from django import forms

from evaluation.metric_models import RetrainingRule

# Those of perceptual, told here again (tests hold them to that): to import it takes PyTorch.
BACKBONES = {
    "efficientnet-lite0": "EfficientNet-Lite0",
    "vgg16": "VGG16",
    "alexnet": "AlexNet",
    "squeezenet": "SqueezeNet 1.1",
}
VARIANTS = {
    "linear": "Weights only (seconds)",
    "tuned": "Weights and backbone (hours without a GPU)",
    "scratch": "All from random weights (needs very many judgments)",
}


class RuleForm(forms.ModelForm):
    backbone = forms.ChoiceField(
        choices=list(BACKBONES.items()),
        help_text="All but the first need their ImageNet weights on the worker's machine.",
    )
    variant = forms.ChoiceField(choices=list(VARIANTS.items()), label="What is trained")
    with_psnr = forms.BooleanField(
        required=False, label="With a component of pixel error", initial=True
    )

    class Meta:
        model = RetrainingRule
        fields = ["is_on", "every_judgments", "is_nightly"]
        labels = {
            "is_on": "Retrain by itself",
            "every_judgments": "After so many new judgments",
            "is_nightly": "Every night, if there are new ones",
        }
        help_texts = {"every_judgments": "Empty: not by their number.", "is_nightly": ""}

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        for name in ("backbone", "variant", "with_psnr"):
            if name in self.instance.settings:
                self.fields[name].initial = self.instance.settings[name]

    def clean(self) -> dict:
        values = super().clean()
        if values.get("every_judgments") == 0:
            self.add_error("every_judgments", "Counting begins at 1.")
        says_when = values.get("every_judgments") or values.get("is_nightly")
        if values.get("is_on") and not says_when and not self.errors:
            self.add_error("is_on", "Say when: after so many judgments, or every night.")
        return values

    def save(self, commit: bool = True) -> RetrainingRule:
        """Keep what the form does not ask, such as the seed."""
        asked = {name: self.cleaned_data[name] for name in ("backbone", "variant", "with_psnr")}
        self.instance.settings = self.instance.settings | asked
        return super().save(commit)
