"""DISTS, SSIMULACRA 2, Butteraugli and ColorVideoVDP beside their authors' programs."""

import shutil
import subprocess
import sys
import types
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from perceptual.backbones import load_backbone
from perceptual.colorvideovdp import GaussianBlur
from perceptual.dists import Dists
from perceptual.lpips import untrained
from perceptual.metric import DEFAULT, Metric
from perceptual.pairs import pixels
from perceptual.ssimulacra2 import RADIUS, SIGMA, cosine_window
from tests.perceptual.scenes import make, noisy, scenes
from tests.real_data import real_data


class TestDists:
    @pytest.fixture
    def authors(self, monkeypatch):
        """The class that its authors publish, with random weights of VGG16."""

        def vgg16(pretrained):
            return types.SimpleNamespace(features=list(load_backbone("vgg16", "random").features))

        # Their module asks torchvision for the network and nothing else.
        torchvision = types.ModuleType("torchvision")
        torchvision.models = types.SimpleNamespace(vgg16=vgg16)
        torchvision.transforms = None
        monkeypatch.setitem(sys.modules, "torchvision", torchvision)
        module = import_module("DISTS_pytorch.DISTS_pt")
        found = module.DISTS(load_weights=False)
        weights = torch.load(Path(module.__file__).with_name("weights.pt"), weights_only=True)
        found.alpha.data, found.beta.data = weights["alpha"], weights["beta"]
        return found

    @pytest.mark.parametrize("side", [64, 97])
    def test_it_is_that_of_its_authors(self, authors, side):
        x = scenes(2, side=side)
        y = noisy(x, 0.1)
        found = Dists(load_backbone("vgg16", "random")).distance(x, y)
        torch.testing.assert_close(found, authors(x, y).detach(), rtol=1e-4, atol=1e-6)


class TestSsimulacra2:
    # Printed by libjxl 0.11.2's `ssimulacra2`, of the same files.
    EXAMPLES = {"exp0.png": 16.32755761, "exp1.png": -26.29658374}

    @pytest.mark.parametrize("name", EXAMPLES)
    def test_it_is_that_of_its_authors_program(self, name):
        folder = real_data("judgments/lpips_examples")
        original, distorted = (pixels(folder / each)[None] for each in ("exref.png", name))
        found = 100 - Metric.load("ssimulacra2").distance(original, distorted).item()
        # The program filters recursively in float32, and approximates roots.
        assert found == pytest.approx(self.EXAMPLES[name], abs=0.02)

    @pytest.mark.parametrize("shape", [(176, 176), (97, 130), (33, 17), (8, 8), (65, 31)])
    @pytest.mark.parametrize("amount", [0.01, 0.1])
    def test_it_is_that_of_its_authors_program_where_that_is_installed(
        self, tmp_path, shape, amount
    ):
        program = shutil.which("ssimulacra2")
        if program is None:
            pytest.skip("the program ssimulacra2 of libjxl is not on the PATH")
        x = scenes(1)[..., : shape[0], : shape[1]]
        y = noisy(x, amount)
        for name, each in (("x", x), ("y", y)):
            samples = (each[0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
            Image.fromarray(samples).save(tmp_path / f"{name}.png")
        said = subprocess.run(
            [program, tmp_path / "x.png", tmp_path / "y.png"], capture_output=True, text=True
        )
        found = 100 - Metric.load("ssimulacra2").distance(x, y).item()
        assert found == pytest.approx(float(said.stdout), abs=0.1)

    def test_its_window_has_the_sum_and_the_variance_of_the_gaussian(self):
        window = np.array(cosine_window(SIGMA, RADIUS))
        places = np.arange(-RADIUS, RADIUS + 1)
        assert window.sum() == pytest.approx(1)
        assert (window * places**2).sum() == pytest.approx(SIGMA**2)
        gaussian = np.exp(-0.5 * (places / SIGMA) ** 2) / (SIGMA * np.sqrt(2 * np.pi))
        assert np.abs(window - gaussian).max() < 0.01


class TestColorVideoVdp:
    def test_equal_pictures_have_ten_jods_and_heavy_noise_has_few(self):
        metric = make("cvvdp")
        x = scenes(1)
        jods = metric.jod(x, torch.cat([x, noisy(x, 0.02), noisy(x, 0.3)]))
        assert jods[0] == 10
        assert 8 < jods[1] < 10
        assert jods[2] < 8

    def test_the_blur_that_stands_in_for_torchvisions_is_gaussian(self):
        plane = torch.rand(2, 1, 40, 30, generator=torch.Generator().manual_seed(0))
        found = GaussianBlur(13, 3.0).forward(plane)
        expected = [
            ndimage.gaussian_filter(each[0].astype(np.float64), 3.0, radius=6, mode="mirror")
            for each in plane.numpy()
        ]
        np.testing.assert_allclose(found[:, 0].numpy(), expected, atol=1e-6)

    def test_torchvision_is_not_left_behind(self):
        make("cvvdp")
        assert "torchvision" not in sys.modules or hasattr(
            sys.modules["torchvision"], "__version__"
        )


class TestButteraugli:
    def test_what_is_just_seen_is_about_one(self):
        metric = make("butteraugli")
        x = scenes(1)
        found = metric.distance(x, torch.cat([noisy(x, 0.005), noisy(x, 0.2)]))
        assert found[0] < 1.5
        assert found[1] > 5


class TestTheExampleOfLpips:
    """The patches that come with the program of Zhang et al. 2018: people find exp1 closer."""

    def distances(self, metric: Metric) -> list[float]:
        folder = real_data("judgments/lpips_examples")
        original, *versions = (pixels(folder / f"{each}.png") for each in ("exref", "exp0", "exp1"))
        found: list[float] = metric.distance(original[None], torch.stack(versions)).tolist()
        return found

    def test_deep_features_see_it_as_people_do_before_any_training(self):
        exp0, exp1 = self.distances(untrained(load_backbone("efficientnet-lite0")))
        assert exp1 < exp0

    def test_the_metric_that_comes_with_closer_sees_it_as_people_do(self):
        exp0, exp1 = self.distances(make(DEFAULT))
        assert exp1 < exp0

    @pytest.mark.parametrize("name", ["psnr", "ssim", "ssimulacra2"])
    def test_metrics_of_pixels_and_contrasts_do_not(self, name):
        exp0, exp1 = self.distances(Metric.load(name))
        assert exp0 < exp1
