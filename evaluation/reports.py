"""An analysis as a page, as one HTML file that opens anywhere (plots and pictures inside, nothing
loaded from elsewhere), and as PDF."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import vl_convert
from django.contrib.staticfiles import finders
from django.template.loader import render_to_string

from evaluation.methods import methods
from evaluation.models import PILOT, Study
from evaluation.plots import MOST_IMAGES, Plot, all_plots
from evaluation.question_pictures import KINDS, with_pictures

PLOT_FORMATS = ("svg", "png", "csv")
SIMULATED_TITLE = "Simulated judgments"
PILOT_TITLE = "Judgments of the pilot"
_KIND_TITLES = dict(zip(KINDS, ("Most agreed", "Least agreed"), strict=True))


def report_html(
    analysis: dict, *, title: str, is_simulated: bool = False, study: Study | None = None
) -> str:
    """The report of what `analysis.analyse_study` or `analyse_file` returned.

    study : whose pictures it shows.
    """
    context = results_context(analysis, is_simulated=is_simulated, study=study)
    style = "\n".join(
        Path(finders.find(name)).read_text() for name in ("closer.css", "evaluation/results.css")
    )
    return render_to_string("evaluation/report.html", context | {"title": title, "style": style})


def results_context(
    analysis: dict,
    *,
    is_simulated: bool,
    study: Study | None = None,
    plots: list[Plot] | None = None,
) -> dict:
    """What the template `evaluation/results.html` needs.

    study : whose pictures stand beside the questions on which annotators agreed most and least.
    plots : those of the document (result_plots), where they were drawn before.
    """
    if plots is None:
        plots = result_plots(analysis, is_simulated=is_simulated)
    pictures = with_pictures(analysis, study)
    return {
        "analysis": analysis,
        "is_simulated": is_simulated,
        "plots": {plot.name.replace("-", "_"): plot for plot in plots},
        "plot_formats": PLOT_FORMATS,
        "vega_version": vl_convert.__version__,
        "images_about": _images_about(analysis),
        "questions": {
            stratum: [
                {
                    "title": _KIND_TITLES[kind],
                    "shown": kinds[kind],
                    "reason": analysis["strata"][stratum]["questions"][f"{kind}_reason"],
                }
                for kind in KINDS
            ]
            for stratum, kinds in pictures.items()
            if analysis["strata"][stratum]["n_judgments"]
        },
        "methods": methods(analysis, is_simulated=is_simulated),
        "n_annotators": len(analysis["annotators"]),
        "annotators_shown": ":",  # all
    }


def result_plots(analysis: dict, *, is_simulated: bool) -> list[Plot]:
    """Those of a document; each document's are made once."""
    return _plots_of(json.dumps(analysis, allow_nan=False), plot_title(analysis, is_simulated))


def plot_title(analysis: dict, is_simulated: bool) -> str:
    """What must not be lost when a plot is cut out: that it is not of what people judged in the
    study itself."""
    if is_simulated:
        return SIMULATED_TITLE
    return PILOT_TITLE if analysis["provenance"].get("population") == PILOT else ""


@lru_cache(maxsize=16)
def _plots_of(document: str, title: str) -> list[Plot]:
    return all_plots(json.loads(document), title=title)


def _images_about(analysis: dict) -> str:
    n = len({each["image"] for values in analysis["strata"].values() for each in values["images"]})
    about = "Share of the judgments on an image that a codec won."
    if n > MOST_IMAGES:
        about += (
            f" Of {n} source images the {MOST_IMAGES} whose shares are furthest from those "
            "over all; the plotted data hold all of them."
        )
    return about
