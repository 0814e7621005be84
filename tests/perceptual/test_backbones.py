"""The networks whose features are compared."""

import numpy as np
import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image

from perceptual.backbones import BACKBONES, RANDOM, BackboneUnavailable, load_backbone
from perceptual.backbones.efficientnet_lite import TAPS, packaged_weights
from tests.real_data import real_data

NAMES = list(BACKBONES)


def noise(height: int, width: int, *, n: int = 1) -> torch.Tensor:
    return torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(1))


def test_the_default_has_the_features_of_its_makers_network():
    """Their port keeps normalisation apart; ours is folded into the convolutions."""
    theirs = EfficientNet.from_name("efficientnet-lite0").eval()
    theirs.load_state_dict(torch.load(packaged_weights(), weights_only=True))
    ours = load_backbone("efficientnet-lite0")
    pictures = noise(224, 224)
    with torch.no_grad():
        x = theirs._swish(theirs._bn0(theirs._conv_stem((pictures * 255 - 127) / 128)))
        expected = []
        for block in theirs._blocks:
            x = block(x)
            expected.append(x)
        found = ours(pictures)
    assert [each.shape[1] for each in found] == [16, 24, 40, 112, 320]
    for each, at in zip(found, TAPS, strict=True):
        torch.testing.assert_close(each, expected[at], rtol=1e-4, atol=2e-4)


def test_the_default_wants_pictures_about_grey_127_and_not_imagenets_mean():
    """The first layer's normalisation remembers how its inputs varied when it was trained."""
    state = torch.load(packaged_weights(), weights_only=True)
    files = sorted(real_data("images/kodak").glob("*.png"))
    pictures = torch.stack(
        [
            torch.from_numpy(np.array(Image.open(each).convert("RGB").resize((224, 224))))
            for each in files
        ]
    )
    pictures = pictures.permute(0, 3, 1, 2) / 255

    def variances_met(mean, sd) -> float:
        normal = (pictures - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(sd).view(
            1, 3, 1, 1
        )
        seen = torch.nn.functional.conv2d(normal, state["_conv_stem.weight"], stride=2)
        return float((seen.var((0, 2, 3)) / state["_bn0.running_var"]).median())

    ours = load_backbone("efficientnet-lite0")
    assert 0.5 < variances_met(ours.mean, ours.sd) < 2
    assert variances_met((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)) > 3


@pytest.mark.parametrize("name", NAMES)
def test_features_are_told_the_finest_first_with_their_channels(name):
    network = load_backbone(name, RANDOM)
    maps = network(noise(97, 130, n=2))
    assert tuple(each.shape[1] for each in maps) == network.channels
    heights = [each.shape[2] for each in maps]
    assert heights == sorted(heights, reverse=True)
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_the_smallest_picture_has_features_in_every_layer(name):
    network = load_backbone(name, RANDOM)
    side = network.smallest_side
    assert all(each.numel() > 0 for each in network(noise(side, side)))


def test_random_weights_follow_from_the_seed():
    first, again, other = (load_backbone("alexnet", RANDOM, seed=seed) for seed in (1, 1, 2))
    assert first.digest == again.digest != other.digest


def test_torchvisions_file_of_weights_is_taken_from_a_folder_that_the_user_names(
    tmp_path, monkeypatch
):
    drawn = load_backbone("squeezenet", RANDOM, seed=3)
    file = tmp_path / BACKBONES["squeezenet"].file_name
    torch.save(drawn.state_dict() | {"classifier.1.weight": torch.zeros(2)}, file)
    monkeypatch.setenv("CLOSER_BACKBONES", str(tmp_path))
    assert load_backbone("squeezenet").digest == drawn.digest
    assert load_backbone("squeezenet", file).digest == drawn.digest


def test_weights_trained_by_others_in_that_layout_are_taken():
    [file] = sorted(real_data("weights/squeezenet").glob("*.pt"))
    network = load_backbone("squeezenet", file)
    assert all(torch.isfinite(each).all() for each in network(noise(64, 64)))


def test_a_backbone_that_is_not_at_hand_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("CLOSER_BACKBONES", str(tmp_path))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(BackboneUnavailable, match=r"vgg16-397923af.pth .*CLOSER_BACKBONES"):
        load_backbone("vgg16")


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04"])
def test_a_file_that_holds_no_weights_is_refused(tmp_path, content):
    file = tmp_path / "weights.pth"
    file.write_bytes(content)
    with pytest.raises(BackboneUnavailable, match="no file of weights"):
        load_backbone("alexnet", file)


def test_weights_of_another_network_are_refused(tmp_path):
    file = tmp_path / "weights.pth"
    torch.save(load_backbone("squeezenet", RANDOM).state_dict(), file)
    with pytest.raises(BackboneUnavailable, match="does not hold weights of AlexNet"):
        load_backbone("alexnet", file)


def test_a_name_that_is_none_is_told_which_there_are():
    with pytest.raises(ValueError, match="there is no backbone 'resnet'; there are efficientnet-"):
        load_backbone("resnet")
