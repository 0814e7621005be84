"""What an annotator's screen is measured to be, once before they begin."""

from collections.abc import Mapping

from annotation.models import Annotator
from annotation.options import Requirements

CARD_MM = 85.60  # the width of a bank card, ISO/IEC 7810 ID-1
LEAST_SEEN = 2  # of four patches at each end, the two that are farthest from black and from white
PX_PER_MM = (1.0, 40.0)  # CSS pixels; from a projector to a phone at its densest
PIXEL_RATIO = (0.1, 20.0)  # device pixels of one CSS pixel, at all zooms


class InvalidScreen(Exception):
    """A measurement that cannot be, or will not do: of "size" or of "contrast"."""


def lacks_measuring(annotator: Annotator) -> bool:
    """Whether the campaign asks for a measurement that the annotator has not made."""
    requirements = annotator.campaign.options.requirements
    if annotator.is_simulated:
        return False
    lacks_size = requirements.size_calibration and "px_per_mm" not in annotator.conditions
    lacks_contrast = requirements.contrast_check and "dark_seen" not in annotator.conditions
    return lacks_size or lacks_contrast


def measured(requirements: Requirements, given: Mapping[str, str]) -> dict[str, float]:
    """What was measured, of a form: px_per_mm, CSS pixels of one millimetre, from the width in CSS
    pixels that a bank card has on the screen; device_pixel_ratio, meanwhile, if the browser told
    it: another one later tells of a zoom; dark_seen and bright_seen, how many of the darkest
    and brightest patches can be told from their surround, as the annotator says.

    Raises InvalidScreen.
    """
    found = {}
    if requirements.size_calibration:
        px_per_mm = _number(given, "card_px") / CARD_MM
        if not PX_PER_MM[0] <= px_per_mm <= PX_PER_MM[1]:
            raise InvalidScreen("size")
        found["px_per_mm"] = round(px_per_mm, 3)
        ratio = _number(given, "device_pixel_ratio")
        if PIXEL_RATIO[0] <= ratio <= PIXEL_RATIO[1]:
            found["device_pixel_ratio"] = round(ratio, 4)
    if requirements.contrast_check:
        for name in ("dark_seen", "bright_seen"):
            seen = _number(given, name)
            if seen not in range(5):
                raise InvalidScreen("contrast")
            found[name] = int(seen)
        if min(found["dark_seen"], found["bright_seen"]) < LEAST_SEEN:
            raise InvalidScreen("contrast")
    return found


def _number(given: Mapping[str, str], name: str) -> float:
    try:
        return float(given.get(name, ""))
    except ValueError:
        return -1.0
