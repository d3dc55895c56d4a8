from __future__ import annotations

import pytest
import torch
from torch import nn

from srtoolbox.errors import ConfigError
from srtoolbox.models.networks.patch_discriminator import PatchDiscriminator


def test_the_papers_network():
    network = PatchDiscriminator(norm="batch")
    convs = [module for module in network.model if isinstance(module, nn.Conv2d)]
    assert [(c.out_channels, c.stride[0], c.bias is not None) for c in convs] == [
        (64, 2, True), (128, 2, False), (256, 2, False), (512, 1, False), (1, 1, True)
    ]  # fmt: skip
    assert all(conv.kernel_size == (4, 4) and conv.padding == (1, 1) for conv in convs)
    layers = {key.rpartition(".")[0] for key in network.state_dict()}
    assert layers == {f"model.{i}" for i in (0, 2, 3, 5, 6, 8, 9, 11)}
    # pix2pix prints 2.769 M for it, with six input channels
    assert sum(p.numel() for p in network.parameters()) + 3 * 64 * 16 == 2_768_705
    assert convs[2].weight.std().item() == pytest.approx(0.02, rel=0.05)


def test_widths_stop_at_eight_times_the_first():
    convs = [module for module in PatchDiscriminator(5, 4).model if isinstance(module, nn.Conv2d)]
    assert [conv.out_channels for conv in convs] == [4, 8, 16, 32, 32, 32, 1]


@pytest.mark.parametrize(("layers", "patch"), [(1, 16), (2, 34), (3, 70), (4, 142)])
def test_a_logit_sees_the_papers_patch(layers, patch):
    torch.manual_seed(0)
    network = PatchDiscriminator(layers, 2, norm=None).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    image = torch.rand(1, 3, 200, 200, dtype=torch.float64, requires_grad=True)
    logits = network(image)
    middle = logits.shape[-1] // 2
    logits[0, 0, middle, middle].backward()
    seen = image.grad.abs().sum((0, 1, 2)).nonzero().flatten()
    assert int(seen.max() - seen.min()) + 1 == patch


@pytest.mark.parametrize("size", [24, 64, 70, 129])
def test_size_of_the_map(size):
    assert PatchDiscriminator(3, 2)(torch.rand(2, 3, size, size)).shape[-1] == size // 8 - 2


@pytest.mark.parametrize(("norm", "biased"), [("batch", False), ("instance", True), (None, True)])
def test_norms(norm, biased):
    network = PatchDiscriminator(2, 4, norm=norm)
    kinds = {"batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d, None: nn.Identity}
    assert sum(isinstance(module, kinds[norm]) for module in network.model) == 2
    assert (network.model[2].bias is not None) == biased
    assert isinstance(network.model[-1], nn.Conv2d)


def test_only_batch_norm_looks_at_the_other_images():
    torch.manual_seed(0)
    images = torch.rand(3, 3, 32, 32)
    for norm in ("batch", "instance", None):
        network = PatchDiscriminator(2, 4, norm=norm)
        alone = torch.allclose(network(images)[:1], network(images[:1]), atol=1e-5)
        assert alone == (norm != "batch")


def test_too_small_images_are_refused():
    with pytest.raises(ConfigError, match="needs at least 24 pixels each way, got 32 x 23"):
        PatchDiscriminator(3, 2)(torch.rand(1, 3, 32, 23))
    dataset = {"gt_size": 40}
    assert PatchDiscriminator.check({"num_layers": 4}, {"data": {"train": {"dataset": dataset}}}) == [
        "num_layers 4 needs 48 pixels, but data.train.dataset.gt_size is 40"
    ]
    assert not PatchDiscriminator.check({}, {"data": {"train": {"dataset": dataset}}})
    with pytest.raises(ConfigError, match="allowed: 'batch', 'instance', None"):
        PatchDiscriminator(norm="layer")
