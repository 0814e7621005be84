"""Numbers and settings as the pages of a codec's training print them."""

import math
from datetime import UTC, datetime

from django import template

register = template.Library()

TERMS = (
    ("mse_weight", "255² MSE"),
    ("ms_ssim_weight", "(1 − MS-SSIM)"),
    ("charbonnier_weight", "Charbonnier’s penalty"),
)


@register.filter
def at_time(seconds: float) -> datetime:
    """Of seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)


@register.filter
def number_or_none(value: float) -> str:
    """To three decimals; of a loss that grew beyond all bounds, that it is none."""
    return f"{value:.3f}" if math.isfinite(value) else "not a number"


@register.filter
def bits_change(percents: float) -> str:
    """BD-rate with its unit: −12.3 %."""
    return f"{round(percents, 1) or 0:+.1f} %".replace("-", "\N{MINUS SIGN}")


@register.filter
def objective_words(objective: dict) -> str:
    """Distortion as a sum: '255² MSE + 20 × closer-lpips-comp, salient places count more'."""
    weights = [(objective.get(name), what) for name, what in TERMS]
    weights.insert(1, (objective.get("metric_weight"), objective.get("metric")))
    terms = [what if weight == 1 else f"{weight:g} × {what}" for weight, what in weights if weight]
    told = " + ".join(terms)
    if objective.get("saliency"):
        floor = objective.get("saliency_floor")
        told += f"; places count by {objective['saliency']}’s saliency, {floor} where there is none"
    return told


@register.filter
def schedule_words(settings: dict) -> str:
    """How the learning rate goes: 'rises to 0.0005 in 1000 steps, stays'."""
    told = f"rises to {settings.get('learning_rate')} in {settings.get('warm_up')} steps, "
    falls = settings.get("cool_down")
    return told + (f"falls to 0 over the last {falls}" if falls else "stays")
