"""A row for each judged pair, as text: what a manifest.csv says."""

from annotation.datasets.pairs import Pair

MANIFEST_COLUMNS = (
    *("split", "subset", "file", "content", "sha256", "crop", "stratum"),
    *("p0_codec", "p0_version", "p0_bpp", "p0_miss", "p1_codec", "p1_version", "p1_bpp", "p1_miss"),
    *("votes", "votes_p1", "judge", "simulated"),
)


def manifest_row(pair: Pair, content: str) -> dict:
    """A pair's row of MANIFEST_COLUMNS. content : names its source image."""
    row = {
        "split": pair.split,
        "subset": pair.subset,
        "file": pair.file,
        "content": content,
        "sha256": pair.task.source.sha256,
        "crop": " ".join(map(str, pair.task.crop or ())),
        "stratum": pair.task.stratum,
        "votes": pair.votes,
        "votes_p1": f"{pair.votes_p1:g}",
        "judge": pair.judge[0],
        "simulated": "true" if pair.is_simulated else "false",
    }
    for side, reconstruction in (("p0", pair.p0), ("p1", pair.p1)):
        row |= side_columns(
            side,
            codec=reconstruction.codec,
            codec_version=reconstruction.codec_version,
            bpp=reconstruction.actual_bpp,
            miss=reconstruction.miss,
        )
    return row


def side_columns(
    side: str, *, codec: str, codec_version: str, bpp: float, miss: str
) -> dict[str, str]:
    """What a manifest's row says of "p0" or "p1"."""
    return {
        f"{side}_codec": codec,
        f"{side}_version": codec_version,
        f"{side}_bpp": f"{bpp:.6f}",
        f"{side}_miss": miss,
    }
