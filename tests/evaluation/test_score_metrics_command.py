"""`manage.py score_metrics`: what it takes, what it prints, and what it refuses."""

import csv
import io
import json

import pytest
from django.core.management import CommandError, call_command

from evaluation.management.commands import score_metrics
from tests.perceptual.datasets import MANIFEST_COLUMNS, a_row, write_pair


@pytest.fixture(autouse=True)
def data(settings, tmp_path):
    settings.CLOSER_DATA = tmp_path / "data"
    return settings.CLOSER_DATA


@pytest.fixture
def dataset(tmp_path):
    """Ten photographs at two bit rates; two in ten are for validation. PSNR is right of p0."""
    folder, rows = tmp_path / "dataset", []
    for photograph in range(10):
        split = "val" if photograph < 2 else "train"
        for stratum in ("0.23", "1.0"):
            place = {"split": split, "subset": f"bpp-{stratum}", "file": f"{photograph:06d}"}
            subset = folder / "2afc" / split / f"bpp-{stratum}"
            share = (photograph % 3) / 4
            write_pair(subset, place["file"], share=share, photograph=photograph, size=(16, 16))
            rows.append(
                a_row(
                    **place,
                    content=f"{photograph}",
                    stratum=stratum,
                    votes=4,
                    votes_p1=photograph % 3,
                )
            )
    write_manifest(folder, rows)
    return folder


def write_manifest(folder, rows):
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, MANIFEST_COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def read_manifest(folder):
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def run(*arguments):
    """What the command prints on stdout, and on stderr."""
    out, err = io.StringIO(), io.StringIO()
    call_command("score_metrics", *map(str, arguments), stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


SIMPLE = ("--metric", "psnr", "--metric", "ssim")


def test_json_holds_what_the_design_says(dataset):
    out, err = run("--dataset", dataset, *SIMPLE, "--json")
    found = json.loads(out)
    assert found["n_pairs"] == 20
    assert {"score", "low", "high"} <= set(found["human_ceiling"])
    assert [each["name"] for each in found["metrics"]] == ["psnr", "ssim"]
    # p0 is always nearer: credit is 1 - share, of shares 0, 1/4 and 1/2.
    mean = sum(1 - (n % 3) / 4 for n in range(10)) / 10
    assert found["metrics"][0]["score"] == pytest.approx(100 * mean)
    assert found["metrics"][0]["low"] < 100 * mean < found["metrics"][0]["high"]
    assert set(found["strata"]) == {"0.23", "1.0"}
    for values in found["strata"].values():
        assert values["n_pairs"] == 10
        assert {"human_ceiling", "metrics"} <= set(values)
    assert found["provenance"]["dataset"]["split"] == "all"
    assert len(found["provenance"]["dataset"]["digest"]) == 64
    assert "PSNR: 20 of 20 distances" in err


def test_a_split_can_be_asked_for(dataset):
    out, _ = run("--dataset", dataset, *SIMPLE, "--split", "val", "--json")
    assert json.loads(out)["n_pairs"] == 4


def test_a_second_run_finds_the_distances(dataset, data, monkeypatch):
    first, _ = run("--dataset", dataset, *SIMPLE, "--json")
    assert (data / "distances.sqlite3").exists()
    monkeypatch.setattr("evaluation.distances._reckoned", lambda missing, metric: iter(missing))
    second, _ = run("--dataset", dataset, *SIMPLE, "--json")
    assert first == second


def test_a_table_is_printed_otherwise(dataset):
    out, _ = run("--dataset", dataset, *SIMPLE)
    lines = out.splitlines()
    assert lines[0] == "20 pairs of 10 source images, judged by people; 95% intervals"
    assert lines[1].startswith("  Human ceiling: ")
    assert any(line.startswith("  PSNR  ") for line in lines)
    assert any("against PSNR" in line for line in lines)
    assert "0.23 bpp: 10 pairs of 10 source images" in lines


def test_the_plot_is_written(dataset, tmp_path):
    _, err = run("--dataset", dataset, *SIMPLE, "--plot", tmp_path / "scores.svg")
    assert (tmp_path / "scores.svg").read_text().startswith("<svg")
    assert "scores.svg" in err


def test_people_and_simulations_are_told_apart(dataset):
    write_pair(dataset / "2afc" / "val" / "simulated-bpp-0.23", "000000", size=(16, 16))
    rows = read_manifest(dataset)
    rows.append(a_row(split="val", subset="simulated-bpp-0.23", simulated="true"))
    write_manifest(dataset, rows)
    with pytest.raises(CommandError, match="say --people or --simulated"):
        run("--dataset", dataset, *SIMPLE)
    out, _ = run("--dataset", dataset, *SIMPLE, "--people", "--json")
    assert (json.loads(out)["n_pairs"], json.loads(out)["simulated"]) == (20, False)
    out, _ = run("--dataset", dataset, *SIMPLE, "--simulated")
    assert "1 pairs of 1 source images, judged by simulated annotators" in out
    assert "Ceiling among simulated annotators" in out


def test_any_folder_in_the_layout_of_bapps_will_do(tmp_path):
    write_pair(tmp_path / "bapps" / "val" / "cnn", "000000", share=0.2, size=(16, 16))
    write_pair(tmp_path / "bapps" / "val" / "superres", "000000", share=0.4, size=(16, 16))
    out, _ = run("--dataset", tmp_path / "bapps", *SIMPLE, "--json")
    found = json.loads(out)
    assert found["metrics"][0]["score"] == pytest.approx(70)
    assert found["human_ceiling"] is None
    assert "does not say how many votes" in found["reason"]
    assert set(found["subsets"]) == {"cnn", "superres"}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--metric", "dists", "--confidence", "2"], "--confidence takes a share"),
        (["--metric", "psnr", "--seed", "-1"], "--seed takes a whole number"),
        (["--metric", "nothing.safetensors"], "nothing.safetensors"),
        (["--metric", "psnr", "--simulated"], "holds no simulated judgments"),
        (["--metric", "psnr", "--plot", "/nowhere/at/all.svg"], "The plot cannot be written"),
    ],
)
def test_bad_input_is_one_clear_line(dataset, arguments, reason):
    with pytest.raises(CommandError, match=reason) as refused:
        run("--dataset", dataset, *arguments)
    assert "\n" not in str(refused.value)


def test_a_damaged_dataset_is_one_clear_line(dataset):
    (dataset / "2afc" / "val" / "bpp-1.0" / "judge" / "000001.npy").write_bytes(b"")
    with pytest.raises(CommandError, match=r"000001\.npy cannot be read"):
        run("--dataset", dataset, *SIMPLE)


def test_a_metric_that_is_asked_for_must_run(dataset, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CommandError, match="Butteraugli needs the program"):
        run("--dataset", dataset, "--metric", "psnr", "--metric", "butteraugli")


@pytest.mark.django_db
def test_an_unknown_metric_is_refused_with_those_that_there_are(dataset):
    with pytest.raises(CommandError, match=r"no metric 'vmaf'; there are psnr.*none yet"):
        run("--dataset", dataset, "--metric", "vmaf")


@pytest.mark.django_db
def test_without_names_all_metrics_are_told_of(dataset):
    found, unavailable = score_metrics.find_metrics([])
    assert set(found) | set(unavailable) == set(score_metrics.metric_names())
    assert {"psnr", "ssim", "ms-ssim", "ssimulacra2"} <= set(found)
