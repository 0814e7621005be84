"""The exported dataset, read back as others read it and compared with the database."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from django.db import connection, transaction
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from annotation import serving
from annotation.datasets import (
    FORMATS,
    Contents,
    FolderInUse,
    bapps_files,
    export_files,
    judgments_csv,
    pairs,
    split_by_source,
    write_folder,
)
from annotation.models import Campaign, Judgment
from annotation.populations import BOTH
from codecs_registry import blobs
from codecs_registry.models import Reconstruction, SourceImage
from evaluation.statistics import InvalidComparisons, read_comparisons
from tests import factories
from tests.factories import NOW, preferring

pytestmark = pytest.mark.django_db

AVIF_FIRST = preferring("avif", "jpeg", "webp")
WEBP_FIRST = preferring("webp", "jpeg", "avif")
JPEG_FIRST = preferring("jpeg", "webp", "avif")


def judged_campaign(sources: int = 5, *, judgments_per_task: int = 5, **fields) -> Campaign:
    """Three codecs at two rates, judged by three people and two simulated annotators."""
    campaign = factories.campaign(judgments_per_task=judgments_per_task, **fields)
    made: dict = {}
    for number in range(sources):
        source = factories.source_image(name=f"photo {number}.png")
        for bpp in ("0.37", "1.0"):
            for codecs in (("avif", "jpeg"), ("avif", "webp"), ("jpeg", "webp")):
                factories.task(campaign, source, codecs, bpp=bpp, made=made)
    for choose in (AVIF_FIRST, AVIF_FIRST, WEBP_FIRST):
        factories.judge_all(factories.annotator(campaign), choose=choose)
    for choose in (JPEG_FIRST, WEBP_FIRST):
        factories.judge_all(factories.annotator(campaign, is_simulated=True), choose=choose)
    return campaign


@pytest.fixture(scope="module")
def exported(django_db_setup, django_db_blocker, tmp_path_factory):
    """(campaign, folder) of one BAPPS export that the tests which only read it share."""
    folder = tmp_path_factory.mktemp("export") / "dataset"
    with django_db_blocker.unblock(), transaction.atomic():
        campaign = judged_campaign()
        write_folder(bapps_files(campaign, provenance={"study": "Sea"}), folder)
        yield campaign, folder
        transaction.set_rollback(True)


# --- an independent reader ------------------------------------------------------------------------


def lpips_files(root: Path, extension: str) -> list[str]:
    """As `make_dataset` of the LPIPS project finds them: every file below, by whole path."""
    found = []
    for folder, _, names in sorted(os.walk(root)):
        found += [os.path.join(folder, name) for name in names if name.endswith(extension)]  # noqa: PTH118
    return sorted(found)


def lpips_2afc(*roots: Path):
    """What the LPIPS project's TwoAFCDataset yields for subsets: files pair by sorted position."""
    paths = {
        part: sorted(
            path
            for root in roots
            for path in lpips_files(root / part, ".npy" if part == "judge" else ".png")
        )
        for part in ("p0", "p1", "ref", "judge")
    }
    for p0, p1, ref, judge in zip(*paths.values(), strict=True):
        images = [np.asarray(Image.open(path).convert("RGB")) for path in (p0, p1, ref)]
        yield (*images, np.load(judge).reshape((1, 1, 1)))


def subsets(folder: Path) -> dict[tuple[str, str], Path]:
    return {
        (path.parents[1].name, path.parent.name): path.parent
        for path in sorted(folder.glob("2afc/*/*/judge"))
    }


def manifest(folder: Path) -> list[dict]:
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def shares(campaign: Campaign, *, is_simulated: bool) -> dict:
    """By source, stratum and set of codecs: for each codec its share of votes, counted by SQL."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT source.sha256, task.target_bpp, task.id, winner.codec, count(*)
            FROM annotation_judgment judgment
            JOIN annotation_assignment assignment ON assignment.id = judgment.assignment_id
            JOIN annotation_annotator annotator ON annotator.id = assignment.annotator_id
            JOIN annotation_task task ON task.id = assignment.task_id
            JOIN codecs_registry_sourceimage source ON source.id = task.source_id
            JOIN codecs_registry_reconstruction winner
              ON winner.id = assignment.shown[array_position(judgment.ranks, 1::smallint)]
            WHERE task.campaign_id = %s AND annotator.is_simulated = %s
            GROUP BY 1, 2, 3, 4
            """,
            [campaign.id, is_simulated],
        )
        counted = cursor.fetchall()
    votes: dict = defaultdict(Counter)
    for sha256, bpp, task, codec, count in counted:
        codecs = frozenset(
            Reconstruction.objects.filter(tasks=task).values_list("codec", flat=True)
        )
        votes[sha256, bpp, codecs][codec] += count
    return {
        key: {codec: counts[codec] / counts.total() for codec in key[2]}
        for key, counts in votes.items()
    }


# --- the BAPPS layout -----------------------------------------------------------------------------


def test_the_lpips_projects_reader_finds_the_shares_and_pixels_of_the_database(exported):
    campaign, folder = exported
    found = 0
    for (split, subset), root in subsets(folder).items():
        rows = [row for row in manifest(folder) if (row["split"], row["subset"]) == (split, subset)]
        expected = shares(campaign, is_simulated=subset.startswith("simulated-"))
        for row, (p0, p1, ref, judge) in zip(rows, lpips_2afc(root), strict=True):
            source = SourceImage.objects.get(sha256=row["sha256"])
            codecs = frozenset([row["p0_codec"], row["p1_codec"]])
            share = expected[row["sha256"], Decimal(row["stratum"]), codecs][row["p1_codec"]]
            assert judge.item() == np.float32(share)
            for picture, blob in (
                (ref, source.png),
                *(
                    (
                        picture,
                        source.reconstructions.get(
                            codec=row[f"{side}_codec"], target_bpp=row["stratum"]
                        ).decoded,
                    )
                    for side, picture in (("p0", p0), ("p1", p1))
                ),
            ):
                stored = np.asarray(Image.open(io.BytesIO(blobs.read(blob))))
                assert np.array_equal(picture, stored)
            found += 1
    assert found == len(manifest(folder)) == 5 * 2 * 3 * 2, "every task, by people and simulations"


def test_several_subsets_read_together_pair_as_they_do_alone(exported):
    _, folder = exported
    roots = list(subsets(folder).values())
    together = list(lpips_2afc(*roots))
    alone = [each for root in roots for each in lpips_2afc(root)]
    assert len(together) == len(alone)
    for one, other in zip(together, alone, strict=True):
        assert all(map(np.array_equal, one, other))


def test_a_judge_file_holds_one_float32(exported):
    _, folder = exported
    for path in folder.glob("2afc/*/*/judge/*.npy"):
        judge = np.load(path, allow_pickle=False)
        assert (judge.dtype, judge.shape) == (np.float32, (1,))
        assert 0 <= judge[0] <= 1


def test_names_are_padded_and_count_up_from_zero_in_each_subset(exported):
    _, folder = exported
    for root in subsets(folder).values():
        names = [
            sorted(path.stem for path in (root / part).iterdir())
            for part in ("ref", "p0", "p1", "judge")
        ]
        assert names == 4 * [[f"{number:06d}" for number in range(len(names[0]))]]


def test_a_stratum_is_a_subset_and_simulations_have_subsets_of_their_own(exported):
    _, folder = exported
    people = {"bpp-0.37", "bpp-1.0"}
    assert {subset for _, subset in subsets(folder)} == people | {f"simulated-{p}" for p in people}
    assert {path.name for path in (folder / "2afc").iterdir()} == {"train", "val"}


def test_simulated_votes_are_never_mixed_with_peoples(exported):
    campaign, folder = exported
    for row in manifest(folder):
        is_simulated = row["subset"].startswith("simulated-")
        assert row["simulated"] == ("true" if is_simulated else "false")
        assert row["votes"] == ("2" if is_simulated else "3")
    # People chose AVIF over JPEG two to one; the simulated annotators never did.
    for is_simulated, share in ((False, 2 / 3), (True, 0.0)):
        for (_, _, codecs), by_codec in shares(campaign, is_simulated=is_simulated).items():
            if codecs == {"avif", "jpeg"}:
                assert by_codec["avif"] == pytest.approx(share)


def test_the_manifest_agrees_with_the_files_and_the_database(exported):
    _, folder = exported
    assert len({(row["split"], row["subset"], row["file"]) for row in manifest(folder)}) == 60
    for row in manifest(folder):
        judge = folder / "2afc" / row["split"] / row["subset"] / "judge" / f"{row['file']}.npy"
        assert np.float32(row["judge"]) == np.load(judge)[0]
        assert np.float32(int(row["votes_p1"]) / int(row["votes"])) == np.load(judge)[0]
        assert row["subset"].removeprefix("simulated-") == f"bpp-{row['stratum']}"
        source = SourceImage.objects.get(sha256=row["sha256"])
        assert row["content"] == source.name
        for side in ("p0", "p1"):
            made = source.reconstructions.get(codec=row[f"{side}_codec"], target_bpp=row["stratum"])
            assert row[f"{side}_version"] == made.codec_version
            assert float(row[f"{side}_bpp"]) == pytest.approx(made.actual_bpp, abs=1e-6)
            assert row[f"{side}_miss"] == made.miss


def test_a_reconstruction_that_missed_its_rate_is_marked_in_the_manifest():
    campaign, source = factories.campaign(), factories.source_image()
    missed = factories.reconstruction(source, "jpeg", miss="cannot go below 0.5 bpp")
    factories.task(campaign, source, made={(source.id, "jpeg", "0.37"): missed})
    factories.judge_all(factories.annotator(campaign))
    content = dict(bapps_files(campaign, provenance={}))["manifest.csv"]
    [row] = csv.DictReader(io.StringIO(content.decode()))
    misses = {row["p0_codec"]: row["p0_miss"], row["p1_codec"]: row["p1_miss"]}
    assert misses == {"jpeg": "cannot go below 0.5 bpp", "avif": ""}


def test_the_data_card_counts_what_the_folder_holds(exported):
    campaign, folder = exported
    card = json.loads((folder / "dataset.json").read_text())
    rows = manifest(folder)
    for name, simulated in (("judgments", "false"), ("simulated_judgments", "true")):
        votes = sum(int(row["votes"]) for row in rows if row["simulated"] == simulated)
        stored = Judgment.objects.filter(
            assignment__task__campaign=campaign,
            assignment__annotator__is_simulated=simulated == "true",
        )
        assert card[name] == votes == stored.count()
    assert card["pairs"] == len(rows)
    assert card["strata"] == ["0.37", "1.0"]
    assert card["seed"] == campaign.seed
    assert card["provenance"] == {"study": "Sea"}


def test_an_export_during_judging_is_one_moment_of_it():
    campaign = factories.open_campaign(3, judgments_per_task=2)
    factories.judge_all(factories.annotator(campaign))
    files = bapps_files(campaign, provenance={})
    written = dict([next(files)])
    factories.judge_all(factories.annotator(campaign))
    written |= dict(files)
    rows = list(csv.DictReader(io.StringIO(written["manifest.csv"].decode())))
    card = json.loads(written["dataset.json"])
    assert sum(int(row["votes"]) for row in rows) == card["judgments"] == 3


# --- the split ------------------------------------------------------------------------------------


def test_no_source_image_is_on_both_sides_of_the_split(exported):
    _, folder = exported
    sides = defaultdict(set)
    for row in manifest(folder):
        sides[row["sha256"]].add(row["split"])
    assert sorted(map(sorted, sides.values())) == [["train"]] * 4 + [["val"]]


sources = st.lists(
    st.tuples(st.integers(1, 10**6), st.sampled_from([f"{n:064x}" for n in range(40)])),
    max_size=40,
    unique_by=lambda each: each[0],
)


@given(sources=sources, seed=st.integers(0, 2**63 - 1), chance=st.randoms())
def test_the_split_follows_from_the_images_and_the_seed_alone(sources, seed, chance):
    split = split_by_source(sources, seed=seed)
    shuffled = [*sources, *sources[:3]]
    chance.shuffle(shuffled)
    assert split_by_source(shuffled, seed=seed) == split
    assert split.keys() == {source_id for source_id, _ in sources}


@given(sources=sources, seed=st.integers(0, 2**63 - 1))
def test_one_in_five_and_at_least_one_of_several_is_for_validation(sources, seed):
    n_validation = Counter(split_by_source(sources, seed=seed).values())["val"]
    if len(sources) >= 2:
        assert n_validation >= 1
        assert abs(n_validation - len(sources) / 5) <= 1
    else:
        assert n_validation == 0, "what cannot be split is for training"


def test_another_seed_splits_otherwise():
    sources = [(n, f"{n:064x}") for n in range(20)]
    splits = [split_by_source(sources, seed=seed) for seed in range(10)]
    assert len({tuple(split.items()) for split in splits}) == 10


# --- p0 and p1 ------------------------------------------------------------------------------------


def test_no_codec_is_more_often_p0_because_of_its_name():
    campaign = factories.campaign()
    made: dict = {}
    picture = factories.pixels(9, 9)
    for number in range(30):
        source = factories.source_image(picture + np.uint8(number))
        for codecs in (("avif", "jpeg"), ("jpeg", "webp"), ("webp", "avif")):
            factories.task(campaign, source, codecs, made=made, places_left=1)
    for _ in campaign.tasks.all():
        [assignment] = serving.lease(factories.annotator(campaign), now=NOW, ahead=1)
        serving.judge(assignment, answer="left", response_ms=1, viewing={}, now=NOW)
    found = pairs(campaign)
    assert len(found) == 90
    p0 = Counter(pair.p0.codec for pair in found)
    # Each codec is in 60 pairs: three standard deviations are 12, and the seed is fixed.
    assert all(18 <= p0[codec] <= 42 for codec in ("avif", "jpeg", "webp"))
    alphabetical = sum(pair.p0.codec < pair.p1.codec for pair in found)
    assert 30 <= alphabetical <= 60


def test_which_is_p0_stays_when_more_is_judged_and_changes_with_the_seed():
    campaign = factories.open_campaign(12, judgments_per_task=2)
    factories.judge_all(factories.annotator(campaign))
    before = [(pair.file, pair.split, pair.p0.id) for pair in pairs(campaign)]
    factories.judge_all(factories.annotator(campaign))
    assert [(pair.file, pair.split, pair.p0.id) for pair in pairs(campaign)] == before
    Campaign.objects.update(seed=2)
    campaign.refresh_from_db()
    assert {pair.p0.id for pair in pairs(campaign)} != {p0 for _, _, p0 in before}


# --- comparison files -----------------------------------------------------------------------------


def test_the_comparison_file_is_read_by_our_statistics_as_what_the_database_holds():
    campaign = judged_campaign(2)
    file = "".join(judgments_csv(campaign))
    with pytest.raises(InvalidComparisons, match="people's and simulated ones"):
        read_comparisons(io.StringIO(file))
    rows = rows_of(read_comparisons(io.StringIO(file), simulated=False))
    simulated = rows_of(read_comparisons(io.StringIO(file), simulated=True))
    expected = {False: [], True: []}
    for judgment in Judgment.objects.filter(assignment__task__campaign=campaign):
        assignment = judgment.assignment
        shown = Reconstruction.objects.in_bulk(assignment.shown)
        left, right = (shown[each] for each in assignment.shown)
        is_simulated = assignment.annotator.is_simulated
        expected[is_simulated].append(
            (
                f"{'simulated' if is_simulated else 'annotator'}-{assignment.annotator_id}",
                left.source.name,
                left.stratum,
                left.codec,
                right.codec,
                1.0 if judgment.ranks[0] == 1 else 0.0,
            )
        )
    assert rows == sorted(expected[False])
    assert simulated == sorted(expected[True])
    assert rows
    assert simulated


def rows_of(table) -> list[tuple]:
    return sorted(
        (
            table.annotators[table.annotator[i]],
            table.contents[table.content[i]],
            table.strata[table.stratum[i]],
            table.conditions[table.a[i]],
            table.conditions[table.b[i]],
            table.outcome[i],
        )
        for i in range(len(table.outcome))
    )


def test_source_images_of_one_name_are_two_contents_in_files():
    campaign = factories.campaign()
    for _ in range(2):
        factories.task(campaign, factories.source_image(name="IMG_1.png"))
    factories.judge_all(factories.annotator(campaign))
    table = read_comparisons(io.StringIO("".join(judgments_csv(campaign))))
    assert len(table.contents) == 2
    written = dict(bapps_files(campaign, provenance={}))["manifest.csv"].decode()
    assert {row["content"] for row in csv.DictReader(io.StringIO(written))} == set(table.contents)


@pytest.mark.parametrize("name", ['a,b "c".png', "zwei\nzeilen.png", "日本.png", "=1+1.png"])
def test_any_file_name_survives_the_comparison_file(name):
    campaign = factories.campaign()
    factories.task(campaign, factories.source_image(name=name))
    factories.judge_all(factories.annotator(campaign))
    table = read_comparisons(io.BytesIO("".join(judgments_csv(campaign)).encode()))
    assert table.contents == (name,)


def exported_bytes(form: str, contents: Contents) -> dict[str, bytes]:
    return {each.name: b"".join(each.chunks) for each in export_files(FORMATS[form], contents)}


def test_a_comparison_file_and_its_card_tell_simulated_judgments():
    campaign = judged_campaign(1)
    files = exported_bytes("csv", Contents(campaign, BOTH))
    told = files["judgments-people-and-simulated.csv"].decode()
    rows = list(csv.DictReader(io.StringIO(told)))
    marked = Counter(row["simulated"] for row in rows)
    assert marked == {"false": 18, "true": 12}
    card = json.loads(files["dataset.json"])
    assert (card["judgments"], card["simulated_judgments"]) == (18, 12)


# --- folders --------------------------------------------------------------------------------------


def few_files():
    yield "2afc/train/bpp-0.37/ref/000000.png", b"png"
    yield "manifest.csv", b"split"
    yield "dataset.json", b"{}"


def test_a_new_or_empty_folder_is_filled(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "new" / "deep", tmp_path / "empty"):
        assert write_folder(few_files(), folder) == 4, "and their checksums"
        assert (folder / "2afc/train/bpp-0.37/ref/000000.png").read_bytes() == b"png"
        assert folder.stat().st_mode & 0o777 == 0o755
    assert {path.name for path in tmp_path.iterdir()} == {"new", "empty"}


def test_a_folder_that_holds_something_is_refused_and_left_as_it_was(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FolderInUse, match="not empty"):
        write_folder(few_files(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(FolderInUse):
        write_folder(few_files(), tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("trouble", [RuntimeError, KeyboardInterrupt, SystemExit, OSError])
def test_an_interrupted_export_leaves_no_folder(tmp_path, trouble):
    def files():
        yield from few_files()
        raise trouble

    with pytest.raises(trouble):
        write_folder(files(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_is_killed_leaves_nothing_that_looks_complete(tmp_path):
    script = """
import os, signal, sys
import django
django.setup()
from pathlib import Path
from annotation.datasets import write_folder

def files():
    yield "2afc/train/bpp-0.37/ref/000000.png", b"png"
    yield "dataset.json", b"{}"
    os.kill(os.getpid(), signal.SIGKILL)
    yield "never", b""

write_folder(files(), Path(sys.argv[1]))
"""
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "out")],
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings"},
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    assert all(path.name.startswith("out.partial-") for path in tmp_path.iterdir())
    assert write_folder(few_files(), tmp_path / "out") == 4, "and the next run is not in its way"
