"""What results are called, on pages, in reports and in a terminal."""

AGREEMENT = {
    "human_ceiling": "Human ceiling",
    "leave_one_out": "Against the majority of the others",
    "krippendorff_alpha": "Krippendorff’s alpha",
    "krippendorff_alpha_ordinal": "Krippendorff’s alpha, ordinal",
    "fleiss_kappa": "Fleiss’ kappa",
    "gwet_ac1": "Gwet’s AC1",
    "kendall_w": "Kendall’s W",
    "repeat_agreement": "Agreement with oneself",
}
AMONG_SIMULATED = "Ceiling among simulated annotators"


def stratum_title(stratum: str) -> str:
    """'0.37 bpp'; a stratum that is no bit rate, as it is."""
    try:
        float(stratum)
    except ValueError:
        return stratum
    return f"{stratum} bpp"


def agreement_label(name: str, *, is_simulated: bool) -> str:
    return AMONG_SIMULATED if is_simulated and name == "human_ceiling" else AGREEMENT[name]
