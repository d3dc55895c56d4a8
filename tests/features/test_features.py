"""Features of torchvision's networks against torchvision's own forward, watched by hooks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from srtoolbox.errors import CheckpointError, ConfigError, SrtoolboxError
from srtoolbox.features import FeatureNetwork
from srtoolbox.features.backbones import BACKBONES, filled_backbone, layer_faults, papers_names, weight_faults
from srtoolbox.features.torchvision import torchvision_models
from srtoolbox.image import to_tensor

SQUEEZENET = "songhan_SqueezeNet-Deep-Compression__squeezenet1_0.converted.pth"
MEAN, STD = (
    torch.tensor(v, dtype=torch.float64).view(1, 3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
)

# the layers as the papers count them, and the torchvision module whose output each is
LAYERS = {
    "vgg11": {"conv1_1": "features.0", "relu5_2": "features.19", "pool5": "features.20"},
    "vgg13": {"conv2_2": "features.7", "conv5_2": "features.22"},
    "vgg16": {"relu2_2": "features.8", "conv5_3": "features.28"},
    "vgg19": {"conv2_2": "features.7", "conv5_4": "features.34", "relu5_4": "features.35"},
    "vgg11_bn": {"conv5_2": "features.25", "bn5_2": "features.26"},
    "vgg13_bn": {"conv3_2": "features.17"},
    "vgg16_bn": {"relu4_3": "features.32"},
    "vgg19_bn": {"conv5_4": "features.49", "bn5_4": "features.50", "relu5_4": "features.51"},
    "resnet18": {"block1": "layer1.0", "block4": "layer2.1", "block8": "layer4.1"},
    "resnet34": {"block3": "layer1.2", "block5": "layer2.1", "block16": "layer4.2"},
    "resnet50": {"block3": "layer1.2", "block7": "layer2.3"},
    "squeezenet1_0": {"conv1": "features.0", "fire2": "features.3", "fire5": "features.7", "fire9": "features.12"},
    "squeezenet1_1": {"pool3": "features.5", "fire9": "features.12"},
    "alexnet": {"conv1": "features.0", "relu2": "features.4", "conv5": "features.10", "pool5": "features.12"},
}


@pytest.fixture(scope="module")
def image(photo: np.ndarray) -> torch.Tensor:
    """(1, 3, 97, 110), sides that no pooling divides."""
    return to_tensor(photo[60:157, 100:210])


def hooked(model: nn.Module, names: list[str], images: torch.Tensor) -> dict[str, torch.Tensor]:
    """What torchvision's own forward gives at some modules."""
    found: dict[str, torch.Tensor] = {}
    for name in names:
        model.get_submodule(name).register_forward_hook(
            lambda _, __, output, name=name: found.update({name: output.clone()})
        )
    model((images - MEAN) / STD)
    return found


def random_model(backbone: str) -> nn.Module:
    """torchvision's network without its classifier, with statistics that batch normalisation cannot hide."""
    with torch.device("meta"):
        model = torchvision_models().get_model(backbone, weights=None)
    setattr(model, "fc" if hasattr(model, "fc") else "classifier", nn.Identity())
    model.to_empty(device="cpu").eval()
    generator = torch.Generator().manual_seed(0)
    for key, value in model.state_dict().items():
        if value.dim() == 4:
            nn.init.kaiming_normal_(value, generator=generator)
        else:
            value.copy_(torch.rand(value.shape, generator=generator) + (0.5 if key.endswith("running_var") else -0.3))
    return model


def test_every_backbone_is_tested():
    assert set(LAYERS) == set(BACKBONES)


@pytest.mark.parametrize(
    "backbone",
    [
        pytest.param(
            name,
            marks=pytest.mark.slow if name.startswith(("vgg13", "vgg16")) or name in ("vgg19_bn", "resnet34") else (),
        )
        for name in BACKBONES
    ],
)
def test_layers_are_those_of_torchvisions_forward(backbone, image, tmp_path):
    model = random_model(backbone)
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    features = FeatureNetwork(backbone, list(LAYERS[backbone]), weights=str(tmp_path / "weights.pth"))
    with torch.no_grad():
        got = features.double()(image)
        expected = hooked(model.double(), list(LAYERS[backbone].values()), image.double())
    by_name = FeatureNetwork(backbone, list(LAYERS[backbone].values()), weights=str(tmp_path / "weights.pth"))
    by_module = by_name(image)
    for paper, module in LAYERS[backbone].items():
        torch.testing.assert_close(got[paper], expected[module], rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(by_module[module].double(), got[paper], rtol=1e-3, atol=1e-3)


def test_nothing_beyond_the_deepest_layer_is_kept_or_run(image):
    features = FeatureNetwork("vgg19", ["conv2_2", "conv1_1"], weights="random")
    assert len(features.steps) == 8
    assert list(features(image)) == ["conv2_2", "conv1_1"]


def test_it_is_frozen_and_in_no_checkpoint():
    owner = nn.Sequential(FeatureNetwork("vgg11_bn", ["relu2_1"], weights="random"), nn.Conv2d(1, 1, 1))
    assert list(owner.state_dict()) == ["1.weight", "1.bias"]
    assert [name for name, _ in owner.named_parameters()] == ["1.weight", "1.bias"]
    assert not any(module.training for module in owner.train()[0].modules())
    owner.load_state_dict(owner.state_dict(), strict=True)
    assert {buffer.dtype for buffer in owner.to(torch.float64)[0].buffers()} >= {torch.float64}


def test_gradients_reach_the_image_and_autocast_does_not_matter(image):
    features = FeatureNetwork("squeezenet1_0", ["conv1", "fire3"], weights="random")
    images = image.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        under = features(images)
    plain = features(image)
    assert all(torch.equal(under[name], plain[name]) for name in plain)
    sum(value.sum() for value in under.values()).backward()
    assert images.grad.abs().sum() > 0


def test_built_during_evaluation_it_serves_training(image):
    with torch.inference_mode():
        features = FeatureNetwork("alexnet", ["relu2"], weights="random")
    features(image.clone().requires_grad_())["relu2"].sum().backward()


def test_built_where_nothing_has_memory_it_still_has_its_weights(image):
    with torch.device("meta"):
        features = FeatureNetwork("alexnet", ["relu2"], weights="random")
    assert features(image)["relu2"].isfinite().all()


def test_random_weights_are_the_same_everywhere_and_draw_nothing():
    torch.manual_seed(3)
    first = filled_backbone("resnet18", "random")
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(1))
    assert torch.equal(first.conv1.weight, filled_backbone("resnet18", "random").conv1.weight)


def test_compiles_to_the_same(image):
    features = FeatureNetwork("squeezenet1_1", ["fire3"], weights="random")
    compiled = torch.compile(features, backend="eager", fullgraph=True)
    assert torch.equal(compiled(image)["fire3"], features(image)["fire3"])


@pytest.mark.parametrize(
    ("backbone", "layers", "told"),
    [
        ("vgg18", ["conv5_4"], "Did you mean 'vgg1"),
        ("vgg19", ["conv54"], "Did you mean 'conv5_4'"),
        ("vgg16", ["conv5_4"], "has no layer 'conv5_4'"),
        ("resnet18", ["block9"], "It has block1, block2"),
        ("vgg19", [], "at least one layer"),
        ("vgg19", "conv5_4", "at least one layer"),
    ],
)
def test_wrong_names_are_told_without_weights(backbone, layers, told):
    faults = layer_faults(backbone, layers)
    assert len(faults) == 1 and told in faults[0]
    if layers and not isinstance(layers, str):
        with pytest.raises(ConfigError):
            FeatureNetwork(backbone, layers, weights="random")


def test_names_begin_with_the_papers():
    assert papers_names("vgg19")[-3:] == ["conv5_4", "relu5_4", "pool5"]
    assert papers_names("resnet34")[:2] == ["block1", "block2"]


def test_wrong_files_are_told(tmp_path, weights_dir_of_another):
    assert weight_faults("random") == weight_faults("imagenet") == weight_faults(str(weights_dir_of_another)) == []
    assert "no such file" in weight_faults(str(tmp_path / "absent.pth"))[0]
    with pytest.raises(ConfigError, match="no such file"):
        filled_backbone("vgg11", str(tmp_path / "absent.pth"))
    with pytest.raises(CheckpointError, match=r"does not hold torchvision's vgg13.*missing"):
        filled_backbone("vgg13", str(weights_dir_of_another))
    state = torch.load(weights_dir_of_another, weights_only=True)
    state["features.0.weight"][0, 0, 0, 0] = torch.nan
    torch.save(state, tmp_path / "nan.pth")
    with pytest.raises(CheckpointError, match="not finite"):
        filled_backbone("vgg11", str(tmp_path / "nan.pth"))


@pytest.fixture
def weights_dir_of_another(tmp_path: Path) -> Path:
    """A file with the convolutions of a vgg11, without its classifier."""
    path = tmp_path / "vgg11.pth"
    state = filled_backbone("vgg11", "random").state_dict()
    torch.save({key: value for key, value in state.items() if key.startswith("features")}, path)
    return path


def test_a_failed_download_says_how_to_give_a_file(monkeypatch, tmp_path):
    def refuse(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(CheckpointError, match=r"no route to host.*copy it to .*weights='/path/to/vgg19-.*\.pth'"):
        filled_backbone("vgg19", "imagenet")


def test_images_that_do_not_fit_are_told():
    features = FeatureNetwork("vgg11", ["conv5_1"], weights="random")
    with pytest.raises(SrtoolboxError, match=r"RGB images \(N, 3, H, W\), got \(1, 1, 32, 32\)"):
        features(torch.rand(1, 1, 32, 32))
    with pytest.raises(SrtoolboxError, match="15x40 px is too small for vgg11's layer 'conv5_1'"):
        features(torch.rand(1, 3, 15, 40))
    assert features(torch.rand(1, 3, 16, 16))["conv5_1"].shape == (1, 512, 1, 1)


def test_real_weights_know_a_cat(weights_root, photo):
    """The features before the classifier are those that classify: the 1000 classes' 281 ... 285 are cats."""
    path = weights_root / SQUEEZENET
    if not path.is_file():
        pytest.skip(f"needs {SQUEEZENET} in SRTOOLBOX_WEIGHTS")
    model = filled_backbone("squeezenet1_0", str(path)).eval()
    model.classifier.to_empty(device="cpu").load_state_dict(
        {key.removeprefix("classifier."): value for key, value in torch.load(path, weights_only=True).items()
         if key.startswith("classifier.")}
    )  # fmt: skip
    features = FeatureNetwork("squeezenet1_0", ["fire9"], weights=str(path))
    image = nn.functional.interpolate(to_tensor(photo)[..., 20:270, 60:310], (224, 224), mode="bilinear")
    best = model.classifier(features(image)["fire9"]).flatten().argmax().item()
    assert best in range(281, 286)
