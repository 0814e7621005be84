"""Training LPIPS-Comp: it learns what is planted, holds out what it must, and survives a kill."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from perceptual import lpips, training
from perceptual.backbones import RANDOM, load_backbone
from perceptual.components import ComponentStore, table_of
from perceptual.lpips import channel_differences, error_decibels
from perceptual.pairs import Pair, pixels, read_dataset
from perceptual.scoring import credit
from perceptual.training import CannotTrain, Settings
from tests.perceptual.planted import blur_haters

QUICK = Settings(epochs=100, patience=100, batch=8, decay=1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return blur_haters(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def dataset(folder):
    return read_dataset(folder)


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    return tmp_path_factory.mktemp("features") / "features.sqlite"


@pytest.fixture(scope="module")
def trained(dataset, features, tmp_path_factory):
    return training.train(dataset, QUICK, folder=tmp_path_factory.mktemp("run"), features=features)


def score(metric, pairs) -> float:
    distances = [
        [
            float(metric.distance(pixels(pair.reference)[None], pixels(side)[None]))
            for side in (pair.p0, pair.p1)
        ]
        for pair in pairs
    ]
    d0, d1 = torch.tensor(distances).unbind(1)
    return float(credit(d0, d1, torch.tensor([pair.share for pair in pairs])).mean())


def test_it_learns_what_people_look_at_and_pixel_error_does_not_know(trained, dataset):
    pixel_error = lpips.untrained(load_backbone("efficientnet-lite0"), with_psnr=True)
    pixel_error.weight.data.zero_()[-1] = 1
    assert score(pixel_error, dataset.val) < 0.5
    assert score(trained.metric, dataset.val) > 0.9
    assert trained.held_out_score == pytest.approx(score(trained.metric, dataset.val))


def test_no_weight_is_negative(trained):
    assert float(trained.metric.weight.min()) >= 0


def test_the_card_says_what_it_was_trained_on(trained, dataset):
    told = trained.metric.card.trained_on
    assert told["dataset"] == dataset.digest
    fitted, watched = set(told["fitted_contents"]), set(told["watched_contents"])
    assert not fitted & watched
    assert fitted | watched == {pair.content for pair in dataset.train}
    assert set(told["held_out_contents"]) == {pair.content for pair in dataset.val}
    assert told["pairs"] == len(dataset.train)
    assert told["votes"] == 5 * len(dataset.train)
    assert told["simulated_pairs"] == len(dataset.train)


def test_the_same_seed_gives_the_same_bytes_and_another_others(dataset, features, tmp_path):
    short = replace(QUICK, epochs=8)
    first, again, other = (
        lpips.to_bytes(
            training.train(
                dataset, replace(short, seed=seed), folder=tmp_path / name, features=features
            ).metric
        )
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    assert first == again != other


def test_what_is_held_out_changes_no_weight(dataset, features, tmp_path):
    contrary = replace(
        dataset,
        pairs=tuple(
            replace(pair, share=1 - pair.share) if pair.split == "val" else pair
            for pair in dataset.pairs
        ),
    )
    one, other = (
        training.train(each, replace(QUICK, epochs=8), folder=tmp_path / name, features=features)
        for each, name in ((dataset, "one"), (contrary, "other"))
    )
    assert torch.equal(one.metric.weight, other.metric.weight)
    assert one.held_out_score == pytest.approx(1 - other.held_out_score)


def test_without_the_component_of_pixel_error_there_is_a_weight_less(dataset, features, tmp_path):
    settings = replace(QUICK, epochs=3, with_psnr=False)
    metric = training.train(dataset, settings, folder=tmp_path, features=features).metric
    assert metric.weight.shape == (512,)


def test_votes_count_a_judgment_each(features, tmp_path, dataset):
    """Nine who disagree with one, on the same pictures: the nine are learned."""
    disputed = []
    for pair in dataset.pairs:
        mine = {"content": pair.content, "split": pair.split}
        disputed += [replace(pair, votes=9, **mine)]
        disputed += [replace(pair, votes=1, share=1 - pair.share, **mine)]
    found = training.train(
        replace(dataset, pairs=tuple(disputed)), QUICK, folder=tmp_path, features=features
    )
    assert score(found.metric, dataset.val) > 0.9


def test_it_goes_on_from_another_metric(trained, dataset, features, tmp_path):
    settings = replace(QUICK, epochs=6, learning_rate=1e-5)
    further = training.train(
        dataset, settings, folder=tmp_path, features=features, start=trained.metric
    )
    torch.testing.assert_close(further.metric.weight, trained.metric.weight, rtol=0.05, atol=0.01)
    other = replace(settings, with_psnr=False)
    with pytest.raises(CannotTrain, match="component of pixel error"):
        training.train(dataset, other, folder=tmp_path, features=features, start=trained.metric)


@pytest.mark.parametrize("variant", ["tuned", "scratch"])
def test_a_variant_that_trains_its_backbone_keeps_it_in_its_file(dataset, tmp_path, variant):
    few = replace(dataset, pairs=dataset.pairs[::4])
    settings = Settings(
        variant=variant, backbone="alexnet", epochs=6, batch=4, crop=63, learning_rate=3e-3
    )
    begun = load_backbone("alexnet", RANDOM, seed=0)
    before = begun.digest
    trained = training.train(few, settings, folder=tmp_path / "run", backbone=begun)
    file = tmp_path / "metric.safetensors"
    file.write_bytes(lpips.to_bytes(trained.metric))
    back = lpips.load(file)
    assert back.card.variant == variant
    assert back.backbone.digest == trained.metric.backbone.digest != before
    assert all(np.isfinite(epoch.loss) for epoch in trained.curve)
    # And whoever begins from it begins from that backbone.
    idle = replace(settings, variant="tuned", epochs=1, learning_rate=1e-12)
    further = training.train(
        few, idle, folder=tmp_path / "on", backbone=load_backbone("alexnet", RANDOM), start=back
    )
    for mine, theirs in zip(
        further.metric.backbone.parameters(), back.backbone.parameters(), strict=True
    ):
        torch.testing.assert_close(mine, theirs)
    for other in ("linear", "scratch"):
        with pytest.raises(CannotTrain, match=r"backbone of its own|begins from nothing"):
            training.train(few, replace(idle, variant=other), folder=tmp_path / other, start=back)


def test_a_training_of_one_epoch_keeps_what_it_learned(dataset, features, tmp_path):
    trained = training.train(dataset, replace(QUICK, epochs=1), folder=tmp_path, features=features)
    assert (trained.metric.weight != 1).all()


def test_progress_is_told_of_pictures_and_then_of_epochs(dataset, tmp_path):
    told = []
    training.train(dataset, replace(QUICK, epochs=6), folder=tmp_path, tell=told.append)
    assert [each.stage for each in told if each.stage == "features"][-1:] == ["features"]
    assert told[-1].stage == "epochs"
    assert (told[-1].done, told[-1].total) == (6, 6)
    assert told[-1].epoch.number == 6
    assert told[-1].seconds_left == 0


def test_pairs_of_one_source_image_are_too_few(dataset, tmp_path):
    one = replace(dataset, pairs=tuple(pair for pair in dataset.pairs if pair.content == "photo-0"))
    with pytest.raises(CannotTrain, match="of 1 source images"):
        training.train(one, QUICK, folder=tmp_path)


# --- features are looked at once ------------------------------------------------------------------


def test_a_frozen_backbone_looks_at_each_picture_once(dataset, features, trained, monkeypatch):
    network = load_backbone("efficientnet-lite0")
    monkeypatch.setattr(network, "features_of", None)  # whoever looks again fails
    table = table_of(dataset.pairs, network, ComponentStore(features))
    assert table.shape == (len(dataset.pairs), 2, 5, 513)


def test_what_is_kept_is_what_the_metric_sees(dataset, features, trained):
    network = load_backbone("efficientnet-lite0")
    pair: Pair = dataset.pairs[3]
    [found] = table_of([pair], network, ComponentStore(features))
    reference, version = (pixels(each)[None] for each in (pair.reference, pair.p1))
    with torch.no_grad():
        whole = channel_differences(network(reference), network(version))[0]
    torch.testing.assert_close(found[1, 0, :-1], whole, rtol=1e-4, atol=1e-8)
    assert float(found[1, 0, -1]) == pytest.approx(float(error_decibels(reference, version)))
    quarter = error_decibels(reference[..., :32, 32:], version[..., :32, 32:])
    assert float(found[1, 2, -1]) == pytest.approx(float(quarter), rel=1e-5)
    torch.testing.assert_close(found[1, 1:, :-1].mean(0), found[1, 0, :-1], rtol=1e-3, atol=1e-7)


# --- kills ----------------------------------------------------------------------------------------

SCRIPT = """
import sys
from pathlib import Path
from perceptual import lpips, training
from perceptual.pairs import read_dataset
from perceptual.training import Settings, distributed, run
run.SAVED_EVERY_S = 0.0
distributed.begin()
folder, features, dataset = map(Path, sys.argv[1:])
def tell(progress):
    print(progress.stage, progress.done, flush=True)
settings = Settings(epochs=150, patience=150, batch=8)
data = read_dataset(dataset)
trained = training.train(data, settings, folder=folder, features=features, tell=tell)
(folder / f"metric-{distributed.rank()}").write_bytes(lpips.to_bytes(trained.metric))
distributed.end()
"""


def run(*arguments, launcher=()) -> subprocess.Popen:
    script = [sys.executable, *launcher, *map(str, arguments)]
    return subprocess.Popen(
        script, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )


def test_a_training_that_is_killed_ends_as_if_it_had_not_been(folder, features, trained, tmp_path):
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    whole = run(script, tmp_path / "whole", features, folder)
    whole.communicate()
    killed = run(script, tmp_path / "killed", features, folder)
    with killed:
        for line in killed.stdout:
            if line.startswith("epochs") and int(line.split()[1]) >= 5:
                killed.send_signal(signal.SIGKILL)
                break
    assert not (tmp_path / "killed" / "metric-0").exists()
    again = run(script, tmp_path / "killed", features, folder)
    told, _ = again.communicate()
    assert int(told.split()[1]) >= 5, "it went on from where it was"
    results = [(tmp_path / name / "metric-0").read_bytes() for name in ("whole", "killed")]
    assert results[0] == results[1]


def test_half_a_checkpoint_is_begun_anew(dataset, features, tmp_path):
    settings = replace(QUICK, epochs=6)
    (tmp_path / "checkpoint.pt").write_bytes(b"half of one")
    found = training.train(dataset, settings, folder=tmp_path, features=features)
    assert len(found.curve) == 6


def test_processes_of_a_launcher_take_the_same_steps(folder, features, trained, tmp_path):
    script = tmp_path / "train.py"
    script.write_text(SCRIPT.replace("epochs=150, patience=150", "epochs=7"))
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    started = time.monotonic()
    both = run(script, tmp_path / "both", features, folder, launcher=launcher)
    both.communicate()
    assert both.returncode == 0, f"after {time.monotonic() - started:.0f} s"
    first, second = (lpips.load(tmp_path / "both" / f"metric-{rank}").weight for rank in range(2))
    torch.testing.assert_close(first, second)
    assert (first != 1).all(), "they took some"
