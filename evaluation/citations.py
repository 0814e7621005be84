"""The works that results rest on, as they are cited."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Citation:
    """short : as it stands in a text.   kind, fields : of its BibTeX entry."""

    short: str
    kind: str
    fields: dict[str, str]

    def bibtex(self, key: str) -> str:
        lines = ",\n".join(f"  {name} = {{{value}}}" for name, value in self.fields.items())
        return f"@{self.kind}{{{key},\n{lines}\n}}"

    @property
    def line(self) -> str:
        """As in a list of references."""
        named = self.fields
        where = [
            named.get(name, "") for name in ("journal", "booktitle", "publisher", "institution")
        ]
        place = " ".join(filter(None, [*where, named.get("volume", "")]))
        pages = f", {named['pages'].replace('--', '–')}" if "pages" in named else ""
        text = f"{named['author'].replace(' and ', ', ')} ({named['year']}). {named['title']}."
        return f"{text} {place}{pages}.".replace("{", "").replace("}", "")


def _article(
    short: str, author: str, title: str, journal: str, volume: str, pages: str
) -> Citation:
    year = short.rsplit(" ", 1)[1]
    return Citation(
        short,
        "article",
        {
            "author": author,
            "title": title,
            "journal": journal,
            "volume": volume,
            "pages": pages,
            "year": year,
        },
    )


CITATIONS = {
    "bradley1952": _article(
        "Bradley and Terry 1952",
        "Bradley, R. A. and Terry, M. E.",
        "Rank analysis of incomplete block designs: {I}. The method of paired comparisons",
        "Biometrika",
        "39",
        "324--345",
    ),
    "thurstone1927": _article(
        "Thurstone 1927",
        "Thurstone, L. L.",
        "A law of comparative judgment",
        "Psychological Review",
        "34",
        "273--286",
    ),
    "davidson1970": _article(
        "Davidson 1970",
        "Davidson, R. R.",
        "On extending the {Bradley-Terry} model to accommodate ties in paired comparison "
        "experiments",
        "Journal of the American Statistical Association",
        "65",
        "317--328",
    ),
    "rao1967": _article(
        "Rao and Kupper 1967",
        "Rao, P. V. and Kupper, L. L.",
        "Ties in paired-comparison experiments: a generalization of the {Bradley-Terry} model",
        "Journal of the American Statistical Association",
        "62",
        "194--204",
    ),
    "chen2013": Citation(
        "Chen et al. 2013",
        "inproceedings",
        {
            "author": "Chen, X. and Bennett, P. N. and Collins-Thompson, K. and Horvitz, E.",
            "title": "Pairwise ranking aggregation in a crowdsourced setting",
            "booktitle": "Proceedings of the Sixth ACM International Conference on Web Search "
            "and Data Mining",
            "pages": "193--202",
            "year": "2013",
        },
    ),
    "liang1986": _article(
        "Liang and Zeger 1986",
        "Liang, K.-Y. and Zeger, S. L.",
        "Longitudinal data analysis using generalized linear models",
        "Biometrika",
        "73",
        "13--22",
    ),
    "cameron2011": _article(
        "Cameron et al. 2011",
        "Cameron, A. C. and Gelbach, J. B. and Miller, D. L.",
        "Robust inference with multiway clustering",
        "Journal of Business and Economic Statistics",
        "29",
        "238--249",
    ),
    "holm1979": _article(
        "Holm 1979",
        "Holm, S.",
        "A simple sequentially rejective multiple test procedure",
        "Scandinavian Journal of Statistics",
        "6",
        "65--70",
    ),
    "piepho2004": _article(
        "Piepho 2004",
        "Piepho, H.-P.",
        "An algorithm for a letter-based representation of all-pairwise comparisons",
        "Journal of Computational and Graphical Statistics",
        "13",
        "456--466",
    ),
    "wilson1927": _article(
        "Wilson 1927",
        "Wilson, E. B.",
        "Probable inference, the law of succession, and statistical inference",
        "Journal of the American Statistical Association",
        "22",
        "209--212",
    ),
    "plackett1975": _article(
        "Plackett 1975",
        "Plackett, R. L.",
        "The analysis of permutations",
        "Applied Statistics",
        "24",
        "193--202",
    ),
    "efron1993": Citation(
        "Efron and Tibshirani 1993",
        "book",
        {
            "author": "Efron, B. and Tibshirani, R. J.",
            "title": "An Introduction to the Bootstrap",
            "publisher": "Chapman and Hall",
            "year": "1993",
        },
    ),
    "zhang2018": Citation(
        "Zhang et al. 2018",
        "inproceedings",
        {
            "author": "Zhang, R. and Isola, P. and Efros, A. A. and Shechtman, E. and Wang, O.",
            "title": "The unreasonable effectiveness of deep features as a perceptual metric",
            "booktitle": "Proceedings of the IEEE Conference on Computer Vision and Pattern "
            "Recognition",
            "pages": "586--595",
            "year": "2018",
        },
    ),
    "krippendorff2011": Citation(
        "Krippendorff 2011",
        "techreport",
        {
            "author": "Krippendorff, K.",
            "title": "Computing {Krippendorff's} alpha-reliability",
            "institution": "Annenberg School for Communication, University of Pennsylvania",
            "year": "2011",
        },
    ),
    "kendall1939": _article(
        "Kendall and Babington Smith 1939",
        "Kendall, M. G. and Babington Smith, B.",
        "The problem of m rankings",
        "Annals of Mathematical Statistics",
        "10",
        "275--287",
    ),
    "kendall1945": _article(
        "Kendall 1945",
        "Kendall, M. G.",
        "The treatment of ties in ranking problems",
        "Biometrika",
        "33",
        "239--251",
    ),
    "spearman1904": _article(
        "Spearman 1904",
        "Spearman, C.",
        "The proof and measurement of association between two things",
        "American Journal of Psychology",
        "15",
        "72--101",
    ),
}


def bibtex(keys: Iterable[str]) -> str:
    """A BibTeX file of these works, each once, in the order given."""
    return "\n\n".join(CITATIONS[key].bibtex(key) for key in dict.fromkeys(keys)) + "\n"
