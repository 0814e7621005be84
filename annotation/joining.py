"""How somebody becomes an annotator of a campaign."""

from django.core import signing

from annotation.models import Annotator, Campaign

SIMULATED = "annotation.simulated"


class NotOpen(Exception):
    """The campaign takes no annotators now."""


class InvalidPass(Exception):
    """A pass for simulated annotators that this installation did not issue."""


def issue_simulation_pass(campaign: Campaign) -> str:
    """What a simulated annotator presents when it joins; only this installation can make it."""
    return signing.dumps(campaign.token, salt=SIMULATED)


def join(campaign: Campaign, *, simulation_pass: str = "") -> Annotator:
    """Make a new annotator. With a pass it is marked as simulated, for good.

    Raises NotOpen or InvalidPass.
    """
    if campaign.state != Campaign.State.OPEN:
        raise NotOpen
    if simulation_pass:
        try:
            named = signing.loads(simulation_pass, salt=SIMULATED)
        except signing.BadSignature:
            raise InvalidPass from None
        if named != campaign.token:
            raise InvalidPass
    return Annotator.objects.create(campaign=campaign, is_simulated=bool(simulation_pass))
