"""Every format, read back by who reads it elsewhere, and held against the database."""

import contextlib
import csv
import io
import itertools
import json
import shutil
import subprocess
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
import webdataset
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from annotation import records
from annotation.datasets import FORMATS, Contents, DataChanged, Moment, export_files, write_folder
from annotation.datasets import contents as export_contents
from annotation.datasets import shards as shard_sizes
from annotation.datasets.contents import FILE_NAMES
from annotation.models import Annotator, Assignment, Judgment
from annotation.people import withdraw
from annotation.populations import BOTH, PEOPLE, SIMULATED
from tests import factories
from tests.bulk import judged_in_bulk
from tests.factories import NOW

pytestmark = pytest.mark.django_db

ABOUT = {"study": "Sea", "licence": "CC BY 4.0", "provenance": {"closer": "1"}}
PAIR_FORMATS = ["bapps", "webdataset", "huggingface"]


def judged_campaign():
    """Two codecs at two rates on five photographs, judged by three people, of whom one sees no
    difference, and two programs."""
    campaign = factories.campaign(judgments_per_task=5, allows_ties=True)
    made: dict = {}
    for _ in range(5):
        source = factories.source_image()
        for bpp in ("0.37", "1.0"):
            factories.task(campaign, source, bpp=bpp, made=made)
    people = [factories.annotator(campaign) for _ in range(3)]
    programs = [factories.annotator(campaign, is_simulated=True) for _ in range(2)]
    for who, prefers in zip(
        (*people, *programs), ("avif", "jpeg", "", "avif", "avif"), strict=True
    ):
        judge_quickly(who, prefers)
    return campaign


def judge_quickly(who: Annotator, prefers: str) -> None:
    """All tasks, without being served: the codec that they prefer is closest, if any is."""
    for task in who.campaign.tasks.order_by("id"):
        codecs = dict(task.reconstructions.order_by("?").values_list("id", "codec"))
        assignment = Assignment.objects.create(
            task=task, annotator=who, shown=list(codecs), leased_at=NOW
        )
        ranks = [1 if codec == prefers or not prefers else 2 for codec in codecs.values()]
        Judgment.objects.create(
            assignment=assignment, ranks=ranks, response_ms=700 + task.id, judged_at=NOW
        )


@pytest.fixture(scope="module")
def campaign(django_db_setup, django_db_blocker):
    with django_db_blocker.unblock(), transaction.atomic():
        yield judged_campaign()
        transaction.set_rollback(True)


def exported(campaign, form: str, population: str, folder: Path) -> Path:
    write_folder(export_files(FORMATS[form], Contents(campaign, population, ABOUT)), folder)
    return folder


@pytest.fixture(scope="module")
def folders(campaign, tmp_path_factory):
    """A folder of each format and population, in shards so small that there are several."""
    where = tmp_path_factory.mktemp("exports")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_sizes.shards, "__kwdefaults__", {"most_pairs": 3, "most_bytes": 2**20})
        patch.setattr(export_contents, "ROWS_IN_A_PART", 12)
        return {
            (form, population): exported(campaign, form, population, where / form / population)
            for form, population in itertools.product(FORMATS, FILE_NAMES)
        }


# --- independent readers: votes by (simulated, photograph, stratum, codec) ------------------------


def votes_of_rows(rows) -> Counter:
    """Of rows that have a manifest's columns."""
    votes: Counter = Counter()
    for row in rows:
        simulated = row["simulated"] in (True, "true")
        n, n_p1 = int(row["votes"]), float(row["votes_p1"])
        where = simulated, row["sha256"], row["stratum"]
        votes[(*where, row["p0_codec"])] += n - n_p1
        votes[(*where, row["p1_codec"])] += n_p1
    return votes


def votes_of_judgments(rows) -> Counter:
    """Of rows that have `left`, `right` and `chosen`."""
    votes: Counter = Counter()
    for row in rows:
        where = row["simulated"] in (True, "true"), row["content"], row["stratum"]
        share = {"left": 1, "right": 0, "tie": 0.5}[row["chosen"]]
        votes[(*where, row["left"])] += share
        votes[(*where, row["right"])] += 1 - share
    return votes


def csv_rows(path: Path) -> list[dict]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def samples(folder: Path) -> list[dict]:
    """What the webdataset package finds in the shards."""
    shards = [
        {"url": str(path), "stream": io.BytesIO(path.read_bytes())}
        for path in sorted(folder.glob("*/*.tar"))
    ]
    pipeline = webdataset.DataPipeline(
        lambda: iter(shards),
        webdataset.tariterators.tar_file_expander,
        webdataset.tariterators.group_by_keys,
        webdataset.decode("rgb8"),
    )
    return list(pipeline)


def hugging_face_rows(folder: Path) -> list[dict]:
    return [
        row
        for path in sorted(folder.glob("data/*/*.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]


def votes_of(form: str, folder: Path) -> Counter:
    match form:
        case "bapps":
            return votes_of_rows(csv_rows(folder / "manifest.csv"))
        case "webdataset":
            return votes_of_rows(each["json"] for each in samples(folder))
        case "huggingface":
            return votes_of_rows(hugging_face_rows(folder))
        case "parquet":
            [path] = folder.glob("pairs-*.parquet")
            return votes_of_rows(pq.read_table(path).to_pylist())
        case _:
            [path] = folder.glob("judgments-*.csv")
            return votes_of_judgments(csv_rows(path))


def by_name(votes: Counter, campaign) -> Counter:
    """The photographs by their names, as files of judgments have them."""
    names = dict(campaign.tasks.values_list("source__sha256", "source__name"))
    return Counter({(k[0], names.get(k[1], k[1]), *k[2:]): n for k, n in votes.items()})


def stored_votes(campaign, population: str) -> Counter:
    judgments = Judgment.objects.filter(assignment__task__campaign=campaign)
    if population != BOTH:
        judgments = judgments.filter(assignment__annotator__is_simulated=population == SIMULATED)
    votes: Counter = Counter()
    for each in judgments.select_related("assignment__task__source", "assignment__annotator"):
        task = each.assignment.task
        codecs = dict(task.reconstructions.values_list("id", "codec"))
        for position, shown in enumerate(each.assignment.shown):
            rank = each.ranks[position]
            share = 0.5 if each.ranks == [1, 1] else float(rank == 1)
            where = each.assignment.annotator.is_simulated, task.source.name, task.stratum
            votes[(*where, codecs[shown])] += share
    return votes


@pytest.mark.parametrize("population", FILE_NAMES)
@pytest.mark.parametrize("form", FORMATS)
def test_every_format_holds_the_votes_of_the_database(campaign, folders, form, population):
    found = by_name(votes_of(form, folders[form, population]), campaign)
    expected = stored_votes(campaign, population)
    assert found == expected
    assert expected.total() == {PEOPLE: 30, SIMULATED: 20, BOTH: 50}[population]


PREFERENCES = st.lists(st.sampled_from(["avif", "jpeg", ""]), min_size=1, max_size=4)


@settings(max_examples=4)
@given(preferences=PREFERENCES)
def test_the_votes_of_every_format_are_equal_whoever_judged(preferences, tmp_path_factory):
    with transaction.atomic():
        campaign = factories.open_campaign(2, allows_ties=True)
        for prefers in preferences:
            judge_quickly(factories.annotator(campaign), prefers)
        where = tmp_path_factory.mktemp("any")
        found = [
            by_name(votes_of(form, exported(campaign, form, PEOPLE, where / form)), campaign)
            for form in FORMATS
        ]
        transaction.set_rollback(True)
    assert found[0].total() == 2 * len(preferences)
    assert all(each == found[0] for each in found)


# --- populations ----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_populations_are_apart_unless_both_are_asked_for_and_all_says_so(folders, form):
    for population, kinds in ((PEOPLE, {False}), (SIMULATED, {True}), (BOTH, {False, True})):
        folder = folders[form, population]
        assert {key[0] for key in votes_of(form, folder)} == kinds
        card = json.loads((folder / "dataset.json").read_text())
        assert card["population"] == population
        assert bool(card["judgments"]) == (False in kinds)
        assert bool(card["simulated_judgments"]) == (True in kinds)
        readme = (folder / "README.md").read_text()
        assert ("simulated annotators" in readme) == (True in kinds)
        names = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
        assert any("simulated" in name for name in names) == (True in kinds)


# --- card and checksums ---------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_sha256sum_finds_every_file_whole_and_notices_one_that_is_not(folders, form, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(folders[form, BOTH], folder)
    command = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    assert subprocess.run(command, cwd=folder, check=False).returncode == 0
    listed = {line.split("  ")[1] for line in (folder / "SHA256SUMS").read_text().splitlines()}
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert listed == there - {"SHA256SUMS"}
    with (folder / "README.md").open("a") as file:
        file.write("!")
    assert subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 1


@pytest.mark.parametrize("form", FORMATS)
def test_the_card_tells_who_how_how_many_and_every_column(campaign, folders, form):
    folder = folders[form, PEOPLE]
    card = json.loads((folder / "dataset.json").read_text())
    assert (card["study"], card["licence"], card["made_by"]) == ("Sea", "CC BY 4.0", "not stated")
    assert (card["judgments"], card["pairs"], card["annotators"]) == (30, 10, 3)
    assert (card["seed"], card["strata"]) == (campaign.seed, ["0.37", "1.0"])
    readme = (folder / "README.md").read_text()
    for words in ("CC BY 4.0", "0.37, 1.0", "avif 1", "| Made by | not stated |"):
        assert words in readme
    for columns in card["columns"].values():
        assert all(f"| {each['name']} |" in readme for each in columns)
    told = {each["name"] for columns in card["columns"].values() for each in columns}
    match form:
        case "csv":
            columns = csv_rows(folder / "judgments-people.csv")[0].keys()
        case "bapps":
            columns = csv_rows(folder / "manifest.csv")[0].keys()
        case "webdataset":
            columns = samples(folder)[0]["json"].keys()
        case "huggingface":
            columns = hugging_face_rows(folder)[0].keys()
        case _:
            columns = pq.read_table(folder / "judgments-people").column_names
            columns += pq.read_table(folder / "pairs-people.parquet").column_names
    assert told == set(columns)


@pytest.mark.parametrize("form", FORMATS)
def test_a_campaign_without_judgments_gives_files_that_say_so(form, tmp_path):
    folder = exported(factories.open_campaign(2), form, PEOPLE, tmp_path / "out")
    card = json.loads((folder / "dataset.json").read_text())
    assert (card["judgments"], card["simulated_judgments"], card["pairs"]) == (0, 0, 0)
    assert votes_of(form, folder) == Counter()
    assert not list(folder.rglob("*.png"))


# --- each format's own ----------------------------------------------------------------------------


def test_parquet_has_a_typed_row_a_judgment_in_files_of_bounded_length(campaign, folders):
    folder = folders["parquet", PEOPLE]
    table = pyarrow.dataset.dataset(folder / "judgments-people").to_table()
    rows = table.to_pylist()
    stored = {
        each.id: each
        for each in Judgment.objects.filter(assignment__task__campaign=campaign).select_related(
            "assignment__task__source"
        )
    }
    assert len(list((folder / "judgments-people").iterdir())) == 3  # of twelve rows at most
    assert len({row["judgment"] for row in rows}) == len(rows) == 30
    for row in rows:
        judgment = stored[row["judgment"]]
        assignment = judgment.assignment
        assert row["judged_at"] == judgment.judged_at
        assert (row["ranks"], row["response_ms"]) == (judgment.ranks, judgment.response_ms)
        assert (row["purpose"], row["sampling"]) == (assignment.purpose, "balanced")
        assert row["content"] == assignment.task.source.name
        assert row["target_bpp"] == float(assignment.task.target_bpp)
        codecs = {each.id: each.codec for each in assignment.task.reconstructions.all()}
        shown = [codecs[each] for each in assignment.shown]
        assert [each["codec"] for each in row["shown"]] == [row["left"], row["right"]] == shown
    assert str(table.schema.field("judged_at").type) == "timestamp[us, tz=UTC]"
    assert str(table.schema.field("simulated").type) == "bool"


def test_parquet_keeps_viewing_events_gold_and_practice():
    study = factories.study(bpp=("0.23", "1.0"), practice={"tasks": 1}, judgments_per_task=1)
    who = factories.annotator(study.campaign, practice_owed=1, conditions={"px_per_mm": 3.8})
    factories.judge_all(who)
    files = {
        each.name: b"".join(each.chunks)
        for each in export_files(FORMATS["parquet"], Contents(study.campaign))
    }
    rows = pq.read_table(io.BytesIO(files["judgments-people/00000.parquet"])).to_pylist()
    assert [row["purpose"] for row in rows] == ["practice"] + ["measure"] * 4
    practised = rows[0]
    assert dict(practised["conditions"]) == {"px_per_mm": 3.8}
    assert practised["shown"][practised["closest"]]["target_bpp"] == 1.0
    assert practised["left"].split("@")[0] == practised["right"].split("@")[0]


def test_a_rankings_parquet_has_the_order_and_its_pairs_have_a_vote_each():
    study = factories.study(sources=2, codecs=("avif", "jpeg", "webp"), task="ranking")
    factories.judge_all(factories.annotator(study.campaign), choose=lambda each: [2, 1, 3])
    contents = Contents(study.campaign)
    files = {
        each.name: b"".join(each.chunks) for each in export_files(FORMATS["parquet"], contents)
    }
    rows = pq.read_table(io.BytesIO(files["judgments-people/00000.parquet"])).to_pylist()
    pairs = pq.read_table(io.BytesIO(files["pairs-people.parquet"])).to_pylist()
    assert len(rows) == 2
    assert len(pairs) == json.loads(files["dataset.json"])["pairs"] == 2 * 3
    for row in rows:
        first, second, third = (each["codec"] for each in row["shown"])
        assert row["ranking"] == f"{second} > {first} > {third}"


def test_webdataset_reads_pictures_and_shares_from_shards_of_bounded_size(folders):
    folder = folders["webdataset", BOTH]
    pictures = {
        (row["split"], row["subset"], row["file"]): row
        for row in csv_rows(folders["bapps", BOTH] / "manifest.csv")
    }
    for each in samples(folder):
        row = each["json"]
        assert each["judge.npy"].dtype == np.float32
        assert each["judge.npy"] == np.float32(row["votes_p1"] / row["votes"])
        place = folders["bapps", BOTH] / "2afc" / row["split"] / row["subset"]
        for part in ("ref", "p0", "p1"):
            same = np.asarray(Image.open(place / part / f"{row['file']}.png").convert("RGB"))
            assert np.array_equal(each[f"{part}.png"], same)
        assert pictures.pop((row["split"], row["subset"], row["file"]))
    assert not pictures
    sizes = Counter(each["__url__"] for each in samples(folder))
    assert max(sizes.values()) == 3
    assert len({each["__key__"] for each in samples(folder)}) == 20


def test_hugging_faces_layout_has_its_head_its_features_and_its_pictures(folders):
    folder = folders["huggingface", BOTH]
    head = (folder / "README.md").read_text().split("---")[1]
    configs = {each["config_name"]: each["data_files"] for each in json.loads(head)["configs"]}
    assert configs.keys() == {PEOPLE, SIMULATED}
    for files in configs.values():
        assert [each["split"] for each in files] == ["train", "validation"]
        rows = [pq.read_table(path) for each in files for path in folder.glob(each["path"])]
        assert sum(map(len, rows)) == 10
    path = next(folder.glob("data/people/train-*.parquet"))
    told = json.loads(pq.read_schema(path).metadata[b"huggingface"])["info"]["features"]
    assert told["ref"] == {"_type": "Image"}
    assert told["judge"] == {"dtype": "float32", "_type": "Value"}
    assert told.keys() == set(pq.read_schema(path).names)
    for row in hugging_face_rows(folder):
        where = folders["bapps", BOTH] / "2afc" / row["split"] / row["subset"]
        for part in ("ref", "p0", "p1"):
            file = where / part / f"{row['file']}.png"
            assert row[part]["bytes"] == file.read_bytes()


@pytest.mark.parametrize("form", PAIR_FORMATS)
def test_no_photograph_is_in_both_splits(folders, form):
    folder = folders[form, PEOPLE]
    rows = {
        "bapps": lambda: csv_rows(folder / "manifest.csv"),
        "webdataset": lambda: [each["json"] for each in samples(folder)],
        "huggingface": lambda: hugging_face_rows(folder),
    }[form]()
    sides = {(row["sha256"], row["split"]) for row in rows}
    assert len(sides) == len({sha256 for sha256, _ in sides}) == 5
    assert Counter(split for _, split in sides) == {"train": 4, "val": 1}


# --- one moment, constant memory ------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_judged_meanwhile_is_in_no_file(form):
    campaign = factories.open_campaign(3, judgments_per_task=2)
    factories.judge_all(factories.annotator(campaign))
    files = export_files(FORMATS[form], Contents(campaign))
    first = next(files)
    written = {first.name: b"".join(first.chunks)}
    factories.judge_all(factories.annotator(campaign))
    written |= {each.name: b"".join(each.chunks) for each in files}
    assert json.loads(written["dataset.json"])["judgments"] == 3


def test_an_export_during_which_somebody_withdraws_says_that_its_files_may_not_fit():
    campaign = factories.open_campaign(2)
    who = factories.annotator(campaign)
    factories.judge_all(who)
    files = export_files(FORMATS["bapps"], Contents(campaign))
    next(files)
    withdraw(who, now=NOW)
    with pytest.raises(DataChanged), contextlib.suppress(KeyError):
        list(files)


def test_a_moment_does_not_hold_once_a_judgment_came_late_from_below():
    campaign = factories.open_campaign(2)
    factories.judge_all(factories.annotator(campaign))
    moment = Moment.now(campaign)
    assert moment.holds(campaign)
    assert Moment(**moment.as_dict()) == moment
    factories.judge_all(factories.annotator(campaign))
    assert moment.holds(campaign), "new ones are behind it"
    assert not Moment(Judgment.objects.latest("id").id, moment.judgments, 2).holds(campaign)


def test_memory_does_not_grow_with_judgments(monkeypatch):
    monkeypatch.setattr(records, "PAGE", 1000)
    campaign = judged_in_bulk(20_000)
    ids = Judgment.objects.order_by("id").values_list("id", flat=True)

    def peaks(form: str, held: Callable[[], int]) -> list[int]:
        """The most that was held while 2,000 judgments were written, and while 20,000 were."""
        found = []
        for judgments in (2_000, 20_000):
            until = Moment.of(campaign, until=ids[judgments - 1])
            files = export_files(FORMATS[form], Contents(campaign, moment=until))
            sizes = [(len(chunk), held()) for file in files for chunk in file.chunks]
            assert sum(size for size, _ in sizes) > judgments * 5, "it is all there"
            found.append(max(amount for _, amount in sizes))
        return found

    tracemalloc.start()
    few, many = peaks("csv", lambda: tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert many < 1.5 * few
    few, many = peaks("parquet", pyarrow.total_allocated_bytes)
    assert many < 1.5 * few
