"""Wrappers, roles and prefixes: every one the field uses, averaged weights first, nothing invented."""

from __future__ import annotations

import pytest
import torch

from srtoolbox.errors import CheckpointError
from srtoolbox.registry import NETWORKS
from srtoolbox.weights.recognise import AVERAGED, PREFIXES, WRAPPERS, find_weights

CONFIG = {"type": "ESPCN", "scale": 2, "kernels": [3, 3], "channels": [4]}
State = dict[str, torch.Tensor]


@pytest.fixture
def tensors() -> State:
    torch.manual_seed(3)
    return NETWORKS.build(CONFIG).state_dict()


def same(a: State, b: State) -> bool:
    return list(a) == list(b) and all(torch.equal(a[key], b[key]) for key in a)


def prefixed(tensors: State, prefix: str) -> State:
    return {prefix + key: value for key, value in tensors.items()}


@pytest.mark.parametrize("wrapper", ["", "state_dict"])
def test_an_average_that_keeps_both_networks(wrapper: str, tensors: State) -> None:
    """As ema-pytorch saves it, with its counters beside."""
    raw = {key: value + 1 for key, value in tensors.items()}
    state = {**prefixed(raw, "online_model.module."), **prefixed(tensors, "ema_model.module.")}
    state |= {"initted": torch.tensor(True), "step": torch.tensor(3)}
    state = {wrapper: state} if wrapper else state
    assert same(find_weights(state, "x").tensors, tensors) and find_weights(state, "x").averaged
    assert same(find_weights(state, "x", weights="raw").tensors, raw)


def test_settings_of_an_average_are_no_weights(tensors: State) -> None:
    state = {"model": tensors, "ema": {"decay": torch.tensor(0.999), "shadow_params": [torch.ones(1)]}}
    assert same(find_weights(state, "x").tensors, tensors) and not find_weights(state, "x").averaged


@pytest.mark.parametrize("wrapper", ["", "ema"])
def test_averages_of_parameters_alone_take_the_running_statistics(wrapper: str) -> None:
    network = NETWORKS.build({"type": "SRResNet", "scale": 2, "num_features": 4, "num_blocks": 1})
    trained = prefixed(network.state_dict(), "module.")
    averaged = {key: value.detach() + 1 for key, value in network.named_parameters()}
    state = {"params": trained, "params_ema": {**averaged, "n_averaged": torch.ones(1)}}
    found = find_weights({wrapper: state} if wrapper else state, "x")
    assert found.averaged and found.tensors.keys() == network.state_dict().keys()
    assert all(torch.equal(found.tensors[key], value) for key, value in averaged.items())
    assert torch.equal(found.tensors["body.0.bn1.running_var"], trained["module.body.0.bn1.running_var"])
    other = find_weights({**state, "params": {"else.running_mean": torch.ones(2)}}, "x")
    assert other.tensors.keys() == averaged.keys()


@pytest.mark.parametrize(
    "wrapper",
    [*AVERAGED, "params", "state_dict", "model_state_dict", "model", "net", "generator", "netG"],
)
@pytest.mark.parametrize(
    "prefix",
    ["", "module.", "_orig_mod.", "generator.", "netG.", "model.", "module._orig_mod.", "generator.module.", "net."],
)
def test_wrapper_and_prefix(wrapper: str, prefix: str, tensors: State) -> None:
    found = find_weights({wrapper: prefixed(tensors, prefix), "epoch": 3}, "x")
    assert same(found.tensors, tensors)
    assert found.averaged == (wrapper in AVERAGED)


def test_the_lists_are_short() -> None:
    assert (len(AVERAGED), len(WRAPPERS), len(PREFIXES)) == (10, 10, 5)


def test_bare_and_nested(tensors: State) -> None:
    assert same(find_weights(tensors, "x").tensors, tensors)
    nested = {"model": {"state_dict": prefixed(tensors, "module.")}, "iter": 5}
    assert same(find_weights(nested, "x").tensors, tensors)


@pytest.mark.parametrize("wrapper", AVERAGED)
def test_averaged_weights_go_first_unless_raw_ones_are_wanted(tensors: State, wrapper: str) -> None:
    raw = {key: value + 1 for key, value in tensors.items()}
    state = {"params": raw, wrapper: tensors}
    assert same(find_weights(state, "x").tensors, tensors) and find_weights(state, "x").averaged
    assert same(find_weights(state, "x", weights="raw").tensors, raw)
    assert not find_weights(state, "x", weights="raw").averaged
    assert same(find_weights({**state, wrapper: {}}, "x").tensors, raw)


def test_torchs_averaged_model_counts_and_prefixes(tensors: State) -> None:
    model = torch.nn.Conv2d(1, 1, 1)
    averaged = torch.optim.swa_utils.AveragedModel(model)
    found = find_weights({"state_dict": tensors, "ema_state_dict": averaged.state_dict(), "epoch": 3}, "x")
    assert found.averaged and same(found.tensors, model.state_dict())


def test_a_training_of_several_networks(tensors: State) -> None:
    """As MMagic saves it: the generator, its average and the discriminator in one state_dict, with counters beside."""
    raw = {key: value + 1 for key, value in tensors.items()}
    disc = {"conv0_0.weight": torch.ones(1)}
    state = {
        **prefixed(raw, "generator."),
        **prefixed(tensors, "generator_ema.module."),
        **prefixed(disc, "discriminator."),
    }
    state |= {"generator_ema.steps": torch.tensor(5), "step_counter": torch.tensor(7)}
    state |= {"data_preprocessor.mean": torch.zeros(3)}
    wrapped = {"state_dict": state, "meta": {"iter": 5}}
    assert same(find_weights(wrapped, "x").tensors, tensors) and find_weights(wrapped, "x").averaged
    assert same(find_weights(wrapped, "x", weights="raw").tensors, raw)
    assert same(find_weights(wrapped, "x", network="discriminator").tensors, disc)


def test_a_prefix_of_some_keys_is_part_of_their_names() -> None:
    mixed = {"model.head.weight": torch.ones(1), "tail.weight": torch.ones(1)}
    assert list(find_weights(mixed, "x").tensors) == list(mixed)


def test_other_entries_are_left_out(tensors: State) -> None:
    assert same(find_weights({**tensors, "epoch": 3, "name": "x"}, "x").tensors, tensors)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"epoch": 3, "lr": 0.1}, r"x.pth: holds no weights \(its keys: epoch, lr\)"),
        ({"params": {}}, "holds no weights"),
        ({"state": {0: {}}, "param_groups": []}, "state of an optimizer"),
        ({"epoch": 1, "iter": 5, "optimizers": [], "schedulers": []}, r"training state of BasicSR.*net_g_"),
    ],
)
def test_no_weights_at_all(state: dict, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        find_weights(state, "x.pth")


class Counted(dict):
    """A dictionary that counts how often it is asked for a key."""

    asked = 0

    def get(self, *arguments: object) -> object:
        self.asked += 1
        return super().get(*arguments)


def test_a_container_under_many_names_is_looked_into_once() -> None:
    innermost = nested = Counted(x=1)
    for _ in range(3):
        nested = dict.fromkeys(WRAPPERS, nested)
    with pytest.raises(CheckpointError, match=r"x\.pth: holds no weights"):
        find_weights(nested, "x.pth")
    # below a wrapper of the outermost one, each of which is asked for tensors
    assert innermost.asked == len(WRAPPERS) * len({*AVERAGED, *WRAPPERS})
    for _ in range(700):  # files may be nested so deep, see `load_tensors`
        nested = {"params": nested}
    with pytest.raises(CheckpointError, match=r"x\.pth: holds no weights"):
        find_weights(nested, "x.pth")
