from __future__ import annotations

import pytest
import torch

from srtoolbox.errors import ConfigError
from srtoolbox.models.networks.rdn import RDN
from srtoolbox.weights.recognise import recognise
from tests.weights.formats.test_recognise import agree, randomised


@pytest.mark.parametrize(
    ("scale", "parameters", "steps"),
    [(2, 22_123_395, set()), (3, 22_308_035, set()), (4, 22_271_107, {"UPNet.4"})],
)
def test_the_papers_sizes_and_the_authors_keys(scale, parameters, steps):
    """Later papers list 22.1, 22.3 and 22.3 M."""
    with torch.device("meta"):
        state = RDN(scale).state_dict()
    assert sum(value.numel() for value in state.values()) == parameters
    dense = {f"RDBs.{n}.convs.{m}.conv.0" for n in range(16) for m in range(8)} | {f"RDBs.{n}.LFF" for n in range(16)}
    common = dense | {"SFENet1", "SFENet2", "GFF.0", "GFF.1", "UPNet.0", "UPNet.2"}
    assert {key.rpartition(".")[0] for key in state} == common | steps


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_yjn870s_names(scale):
    ours = randomised(RDN(scale, num_features=8, num_blocks=3, num_convs=2, growth_channels=8, img_range=1.0))
    theirs = {}
    for key, value in ours.state_dict().items():
        key = key.replace("SFENet", "sfe").replace("RDBs", "rdbs").replace("convs", "layers").replace("conv.0", "conv")
        key = key.replace("LFF", "lff").replace("GFF", "gff").replace("UPNet", "upscale")
        theirs[key.replace(f"upscale.{4 if scale == 4 else 2}", "output")] = value
    found = recognise({"state_dict": {f"generator.{key}": value for key, value in theirs.items()}}, "x.pth")
    assert found.sentence == f"RDN, yjn870's names, x{scale}, 3 blocks, 8 features"
    assert found.config["img_range"] == 1
    opened = RDN(**{key: value for key, value in found.config.items() if key != "type"}).eval()
    opened.load_state_dict(found.tensors)
    agree(opened, ours, torch.rand(1, 3, 9, 12))


def test_impossible_arguments_are_named():
    with pytest.raises(ConfigError, match="RDN: scale=8 is not possible; allowed: 2, 3, 4"):
        RDN(8)
    with pytest.raises(ConfigError, match="RDN: num_convs=0 is not possible"):
        RDN(2, num_convs=0)
