"""An analysis as one HTML file that opens anywhere: plots inside, nothing loaded from elsewhere."""

from pathlib import Path

from django.contrib.staticfiles import finders
from django.template.loader import render_to_string

from evaluation import plots


def report_html(analysis: dict, *, title: str, is_simulated: bool = False) -> str:
    """The report of what `analysis.analyse_study` or `analyse_file` returned."""
    context = results_context(analysis, is_simulated=is_simulated)
    style = Path(finders.find("closer.css")).read_text()
    return render_to_string("evaluation/report.html", context | {"title": title, "style": style})


def results_context(analysis: dict, *, is_simulated: bool) -> dict:
    """What the template `evaluation/results.html` needs."""
    title = "Simulated judgments" if is_simulated else ""
    return {
        "analysis": analysis,
        "is_simulated": is_simulated,
        "win_share_plot": plots.win_share_plot(analysis, title=title),
        "scale_plot": plots.scale_plot(analysis, title=title),
        "n_annotators": len(analysis["annotators"]),
        "annotators_shown": ":",  # all
    }
