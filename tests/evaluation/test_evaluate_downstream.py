"""The command that measures what machines see: on small made-up sets, and on COCO's photographs."""

import contextlib
import io
import json

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from pycocotools.cocoeval import COCOeval

from codecs_registry.codecs.jpeg import Jpeg
from codecs_registry.pictures import write_png
from evaluation.downstream import scores
from evaluation.downstream.answers import answer_store
from evaluation.downstream.document import read_document
from evaluation.models import DownstreamEvaluation
from perceptual.downstream.coco import read_labels
from perceptual.downstream.yolox import Yolox
from tests import factories
from tests.downstream_models import write_labelled, write_onnx, yolox_answer
from tests.real_data import real_data


@pytest.fixture(autouse=True)
def data(settings, tmp_path):
    settings.CLOSER_DATA = tmp_path / "data"
    return settings.CLOSER_DATA


@pytest.fixture
def labelled(tmp_path):
    """Three photographs with labels, and a detector that finds one of the two things on each."""
    file = write_labelled(tmp_path / "photographs")
    answer = yolox_answer((4, 4, 12, 12, 0, 0.9), (4, 4, 12, 12, 1, 0.5))
    write_onnx(tmp_path / "yolox.onnx", {"output": answer})
    return {
        "--images": tmp_path / "photographs",
        "--annotations": file,
        "--detector": tmp_path / "yolox.onnx",
        "--codec": "jpeg",
        "--bpp": 1,
        "--jobs": 1,
    }


def run(asked: dict, *others) -> tuple[str, str]:
    """What the command prints on stdout, and on stderr."""
    out, err = io.StringIO(), io.StringIO()
    named = [str(part) for pair in asked.items() for part in pair]
    call_command("evaluate_downstream", *named, *others, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_the_document_says_what_was_found_and_can_be_read_again(labelled):
    found = read_document(run(labelled, "--json")[0].encode())
    assert (found["n_images"], found["n_labels"]) == (3, 6)
    assert found["classes"] == {"box": 2}
    assert found["measures"] == ["box_ap", "box_ap50", "box_ap75"]
    # All cats are met, and no person: one of two classes.
    assert found["uncompressed"]["box_ap"]["value"] == pytest.approx(50)
    assert found["uncompressed"]["box_ap"]["low"] is None
    assert "needs 8 of them" in found["uncompressed"]["box_ap"]["reason"]
    [row] = found["strata"]["1.0"]["codecs"]
    assert (row["codec"], row["version"]) == ("jpeg", Jpeg().version())
    assert row["actual_bpp"] == pytest.approx(1, rel=0.1)
    assert row["measures"]["box_ap"]["difference"] == 0
    assert found["provenance"]["models"]["boxes"]["file"] == "yolox.onnx"


def test_the_table_and_the_plot_have_the_codec_and_the_measure(labelled, tmp_path):
    plot = tmp_path / "plot.svg"
    out, err = run(labelled, "--plot", str(plot))
    assert "| jpeg | 50.0 |" in out
    assert "| codec | 1.0 bpp |" in out
    assert "uncompressed 50.0" in out
    assert f"Plot: {plot}" in err
    assert "jpeg" in plot.read_text()
    assert [path.name for path in tmp_path.glob(".*.part")] == []


def test_what_was_made_and_answered_is_not_made_and_asked_again(labelled, data, monkeypatch):
    first, said = run(labelled, "--json")
    assert "answers: 6 of 6" in said
    encoded = []
    monkeypatch.setattr(Jpeg, "encode", lambda self, *args: encoded.append(args))
    monkeypatch.setattr(Yolox, "detect", lambda self, pixels: encoded.append(pixels))
    again, said = run(labelled, "--json")
    assert again == first
    assert encoded == []
    assert "answers" not in said
    assert "3 of 3 are there already" in said
    assert (data / "downstream.sqlite3").is_file()


def test_a_run_that_was_stopped_goes_on_where_it_was(labelled, monkeypatch):
    detect, asked = Yolox.detect, []

    def stopped(self, pixels):
        asked.append(1)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return detect(self, pixels)

    monkeypatch.setattr(Yolox, "detect", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(labelled)
    assert "answers: 4 of 4" in run(labelled)[1], "two of six were kept"


@pytest.mark.django_db
def test_results_are_kept_on_the_pages_once(labelled):
    _, said = run(labelled, "--keep", "Ours")
    kept = DownstreamEvaluation.objects.get()
    assert kept.name == "Ours"
    assert kept.get_absolute_url() in said
    assert "kept already, as “Ours”" in run(labelled, "--keep", "Another")[1]
    assert DownstreamEvaluation.objects.count() == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"--bpp": 0}, "above 0"),
        ({"--jobs": 0}, "1 or more"),
        ({"--confidence": 1}, "between 0 and 1"),
        ({"--seed": -1}, "from 0 on"),
        ({"--codec": "nothing"}, "no codec is named 'nothing'"),
        ({"--annotations": "none.json"}, "none.json cannot be read"),
        ({"--detector": "none.onnx"}, "none.onnx cannot be read"),
        ({"--project": "Lab"}, "--keep"),
        ({"--plot": "/nowhere/plot.svg"}, "plot cannot be written"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(labelled, change, said):
    with pytest.raises(CommandError, match=said) as told:
        run(labelled | change)
    assert "\n" not in str(told.value)


def test_it_takes_a_model_at_least(labelled):
    del labelled["--detector"]
    with pytest.raises(CommandError, match="Name a model at least"):
        run(labelled)


def test_a_detector_of_other_classes_is_refused_before_anything_is_made(labelled, tmp_path):
    write_onnx(tmp_path / "yolox.onnx", {"output": yolox_answer(n_classes=80)})
    with pytest.raises(CommandError, match="80 classes apart; the annotation file has 2"):
        run(labelled)
    assert not (tmp_path / "data").exists()


def test_a_photograph_of_another_size_than_its_labels_say_is_named(labelled, tmp_path):
    other = factories.pixels(48, 64)
    (tmp_path / "photographs" / "photograph-1.png").write_bytes(write_png(other))
    with pytest.raises(CommandError, match=r"photograph-1\.png has 48 x 64 pixels"):
        run(labelled)


def test_ten_photographs_have_intervals_and_paired_differences(labelled, tmp_path):
    labelled["--annotations"] = write_labelled(tmp_path / "ten", 10)
    labelled["--images"] = tmp_path / "ten"
    found = json.loads(run(labelled, "--json")[0])
    [row] = found["strata"]["1.0"]["codecs"]
    # Every photograph is alike to this detector: nothing varies, and the document says so.
    assert row["measures"]["box_ap"]["low"] is None
    assert "nothing to vary" in row["measures"]["box_ap"]["reason"]


def test_on_coco_codecs_are_told_apart_and_the_numbers_are_pycocotools(tmp_path, settings):
    coco, weights = real_data("coco"), real_data("weights")
    labels = json.loads((coco / "instances_val2017_32.json").read_text())
    labels["images"] = labels["images"][:8]
    numbers = {each["id"] for each in labels["images"]}
    labels["annotations"] = [x for x in labels["annotations"] if x["image_id"] in numbers]
    file = tmp_path / "eight.json"
    file.write_text(json.dumps(labels))
    yolox = weights / "yolox_nano" / "yolox_nano.onnx"
    asked = {
        "--images": coco / "val2017",
        "--annotations": file,
        "--detector": yolox,
        "--segmenter": weights / "deeplab_voc" / "deeplabv3_mnv2_pascal_quant.tflite",
        "--codec": "jpeg",
        "--bpp": 0.37,
        "--jobs": 1,
    }
    found = json.loads(run(asked, "--json")[0])
    assert set(found["measures"]) == {
        *(f"{kind}_{name}" for kind in ("box", "mask") for name in ("ap", "ap50", "ap75")),
        "mean_iou",
    }
    [row] = found["strata"]["0.37"]["codecs"]
    for name, measure in row["measures"].items():
        assert measure["low"] < measure["value"] < measure["high"], name
        assert measure["difference_low"] <= measure["difference"] <= measure["difference_high"]
        plain = found["uncompressed"][name]["value"]
        assert measure["difference"] == pytest.approx(measure["value"] - plain)
    assert row["measures"]["mask_ap"]["value"] < found["uncompressed"]["mask_ap"]["value"]

    labelled = read_labels(file, coco / "val2017")
    machines = scores.Machines(detector=Yolox(yolox))
    digests = [scores.file_digest(each.file) for each in labelled.photographs]
    answers = machines.questions["boxes"].answers(digests, answer_store())
    by_image = {x.number: y for x, y in zip(labelled.photographs, answers, strict=True)}
    results = labelled.results(by_image, np.array(labelled.numbers))
    theirs = COCOeval(labelled.labels, results, "bbox")
    with contextlib.redirect_stdout(io.StringIO()):
        theirs.evaluate()
        theirs.accumulate()
        theirs.summarize()
    ours = [found["uncompressed"][name]["value"] for name in ("box_ap", "box_ap50", "box_ap75")]
    assert ours == pytest.approx(100 * theirs.stats[:3])
