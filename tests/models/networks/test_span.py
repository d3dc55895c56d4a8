from __future__ import annotations

import copy
import pickle

import pytest
import torch

from srtoolbox.apps.export.form import ExportForm
from srtoolbox.apps.networks import Checkpoint, make_upscaler
from srtoolbox.interfaces import fuse_branches
from srtoolbox.models.networks.span import SPAN, BranchedConv

BRANCHES = ["sk", "conv.0", "conv.1", "conv.2", "eval_conv"]
X = torch.rand(2, 3, 9, 14, generator=torch.Generator().manual_seed(2))


def small(**options: object) -> SPAN:
    torch.manual_seed(0)
    return SPAN(2, num_features=6, num_blocks=2, img_range=1.0, **options)


@pytest.mark.parametrize(
    ("scale", "num_features", "parameters"),
    [(2, 52, 481_324), (4, 52, 498_208), (2, 48, 410_700), (4, 48, 426_288)],
)
def test_the_papers_sizes(scale, num_features, parameters):
    """481 K and 498 K of SPAN, 411 K and 426 K of SPAN-S: fused."""
    with torch.device("meta"):
        network = SPAN(scale, num_features=num_features, fused=True)
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_state_dict_keys_are_the_authors():
    branched = ["conv_1", "conv_2", *(f"block_{n}.c{m}_r" for n in range(1, 7) for m in (1, 2, 3))]
    plain = {"conv_cat", "upsampler.0"}
    layers = {key.rpartition(".")[0] for key in SPAN(4).state_dict()}
    assert layers == plain | {f"{conv}.{branch}" for conv in branched for branch in BRANCHES}
    layers = {key.rpartition(".")[0] for key in SPAN(4, fused=True).state_dict()}
    assert layers == plain | {f"{conv}.eval_conv" for conv in branched}
    assert "no_norm" in SPAN(4, norm=False).state_dict()


def test_the_fused_convolution_is_the_sum_of_the_branches():
    conv = BranchedConv(3, 5, fused=False).double()
    image = X.double()
    summed = conv.train()(image)
    torch.testing.assert_close(conv.eval()(image), summed)
    weight, bias = conv.state_dict()["eval_conv.weight"], conv.state_dict()["eval_conv.bias"]
    torch.testing.assert_close(torch.nn.functional.conv2d(image, weight, bias, padding=1), summed)


@torch.no_grad()
def test_in_eval_mode_the_branches_count_as_they_are():
    """Averaged weights change while their network is in eval mode; what a file says of the sum is not believed."""
    network = small().eval()
    before = network(X)
    state = {key: value * 0 if "eval_conv" in key else value for key, value in network.state_dict().items()}
    network.load_state_dict(state)
    assert torch.equal(network(X), before)
    network.conv_1.sk.weight.mul_(2)
    assert not torch.equal(network(X), before)
    torch.testing.assert_close(network(X), network.train()(X))
    stale = network.state_dict()["conv_1.eval_conv.weight"]
    assert torch.equal(stale, network.conv_1.fused()[0])


@torch.no_grad()
def test_the_fused_form_computes_the_same():
    network = small().eval()
    fused = copy.deepcopy(network)
    assert fuse_branches(fused) and fuse_branches(fused)
    torch.testing.assert_close(fused(X), network(X))
    own = small(fused=True).eval()
    own.load_state_dict(fused.state_dict())
    assert torch.equal(own(X), fused(X))
    assert not fuse_branches(torch.nn.Conv2d(3, 3, 1))


def test_it_is_pickled_and_exported_fused():
    network = small().eval()
    again = pickle.loads(pickle.dumps(network))
    assert torch.equal(again(X), network(X)) and again.state_dict().keys() == network.state_dict().keys()
    form = ExportForm(network)
    assert not any("sk" in key for key in form.state_dict()) and any("sk" in key for key in network.state_dict())
    torch.testing.assert_close(form(X), network(X))


def test_a_file_is_upscaled_with_fused_and_a_module_as_it_is(tmp_path):
    network = small().eval()
    torch.save(network.state_dict(), tmp_path / "x.pth")
    settings = {"dtype": "fp32"}
    opened = make_upscaler(Checkpoint(tmp_path / "x.pth", trial=False), "cpu", settings)
    given = make_upscaler(network, "cpu", settings)
    assert "sk" not in str(opened._modules) and "sk" in str(given._modules) and hasattr(network.conv_1, "sk")
