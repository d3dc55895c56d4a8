"""Files of architectures that have no network here, opened through spandrel, an extra.

The file is read here, and its tensors are found as those of any other file. spandrel gets them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from srtoolbox.errors import CheckpointError
from srtoolbox.models.networks.spandrel import (
    INSTALL,
    INSTALL_EXTRA,
    Spandrel,
    architectures,
    describe_tensors,
    has_extra_architectures,
    is_installed,
    open_state,
    release,
)
from srtoolbox.text import first_line
from srtoolbox.weights.formats import fits

if TYPE_CHECKING:  # an extra, which may be missing
    from spandrel import Architecture, ImageModelDescriptor

FACES, MASKS = "faces", "inpainting"
REFUSED = {
    FACES: "restores aligned faces alone: cut out and turned by another network; programs for faces do that",
    MASKS: "fills holes of an image, for which it needs a mask; programs for inpainting ask for one",
}
"""What is not opened, and why."""
MOST_DISTANCES, FARTHEST, LONGEST = 10_000, 100.0, 100_000
"""Of windows: places in a table of distances, pixels; and an empty tensor's longest side."""
SWINIR, UNSHUFFLED = "conv_first.bias layers.0.residual_group.blocks.0.attn.qkv.weight", (12, 27, 48)
"""The names of SwinIR, and the channels of an image of three colours with pixels as channels."""
INTENDED = ("low light", "dehazing", "colour", "deblurring")
"""What changes an image by intent, so that a trial on a photograph says nothing."""


class Family(NamedTuple):
    """An architecture of spandrel, and how its files are told where spandrel is not installed."""

    architecture: str  # spandrel's identifier
    does: str  # 'SR', 'restoration', or a key of REFUSED or one of INTENDED
    marks: str
    """Patterns of keys that all files of it have, see `formats.fits`: the special go first."""


FAMILIES = tuple(
    Family(*row)
    for row in (
        ("LaMa", MASKS, "1.bn_l.running_mean"),
        ("MAT", MASKS, "synthesis.first_stage.conv_first.conv.resample_filter"),
        ("GFPGAN", FACES, "toRGB.0.weight stylegan_decoder.style_mlp.1.weight"),
        ("CodeFormer", FACES, "position_emb idx_pred_layer.1.weight"),
        ("CodeFormer", FACES, "blocks.0.weight blocks.1.norm1.weight blocks.2.q.weight"),  # its generator
        ("RestoreFormer", FACES, "encoder.conv_in.weight decoder.conv_in.weight quant_conv.weight quantize.*"),
        ("HAT", "SR", "layers.0.residual_group.overlap_attn.*"),
        ("ATD", "SR", "layers.0.residual_group.td"),
        ("Swin2SR", "SR", "layers.0.residual_group.blocks.0.attn.logit_scale"),
        ("SRFormer", "SR", "layers.0.residual_group.blocks.0.attn.q.weight"),
        ("SwinIR", "SR", "layers.0.residual_group.blocks.0.attn.qkv.weight"),
        ("DRCT", "SR", "layers.0.adjust1.weight layers.0.swin1.*"),
        ("RGT", "SR", "layers.0.blocks.0.gamma before_RG.*"),
        ("DAT", "SR", "layers.0.blocks.0.attn.* before_RG.*"),
        ("GRL", "SR", "(model_g.)?layers.0.blocks.0.attn.window_attn.*"),
        ("CRAFT", "SR", "biases_v biases_h conv_first.weight"),
        ("OmniSR", "SR", "residual_layer.0.residual_layer.0.*"),
        ("DITN", "SR", "sft.weight UFONE.0.*"),
        ("MMRealSR", "SR", "am_list.0.fc.0.weight dd_embed.0.weight"),
        ("SPAN", "SR", "block_1.c1_r.sk.weight conv_cat.weight"),
        ("RealCUGAN", "SR", "unet1.conv1.conv.0.weight unet2.*"),
        ("SAFMNBCIE", "restoration", "to_feat.1.weight feats.0.layers.0.safm.*"),
        ("SAFMN", "SR", "to_feat.weight feats.0.safm.*"),
        ("DCTLSA", "SR", "B1.* c1.0.weight fea_conv.*"),
        ("IPT", "SR", "body.encoder.layers.0.self_attn.in_proj_weight head.0.0.weight"),
        ("PLKSR", "SR", "feats.0.weight feats.1.(lk|plk).*"),
        ("SeemoRe", "SR", "body.0.local_block.*"),
        ("MoSR", "SR", "gblocks.0.weight upsampler.*"),
        ("MoESR", "SR", "in_to_dim.weight upscale.MetaUpsample"),
        ("RCAN", "SR", "body.0.body.0.body.3.conv_du.0.weight"),
        ("FDAT", "SR", "groups.0.blocks.0.n1.weight"),
        ("AuraSR", "SR", "style_network.net.0.weight ups.4.1.0.conv.weight"),
        ("SwiftSRGAN", "SR", "initial.cnn.depthwise.weight"),
        ("AdaCode", "SR", "weight_predictor.* quantize_group.*"),
        ("FeMaSR", "SR", "after_quant_group.0.conv.weight quantize_group.*"),
        ("SCUNet", "restoration", "m_head.0.weight m_body.0.trans_block.*"),
        ("FBCNN", "restoration", "qf_pred.0.res.0.weight"),
        ("DRUNet", "restoration", "m_head.weight m_body.0.res.0.weight"),
        ("Uformer", "restoration", "input_proj.proj.0.weight encoderlayer_0.*"),
        ("KBNet", "restoration", "encoders.0.0.attgamma"),
        ("KBNet", "restoration", "latent.0.attn.ga1"),
        ("M3SNet", "restoration", "intro.weight middle.0.0.beta"),
        ("NAFNet", "restoration", "intro.weight encoders.0.0.conv1.weight"),
        ("FFTformer", "deblurring", "encoder_level1.0.ffn.fft"),
        ("Restormer", "restoration", "encoder_level1.0.attn.qkv.weight"),
        ("MPRNet", "restoration", "shallow_feat1.0.weight concat12.weight"),
        ("MIRNet2", "low light", "conv_in.weight body.0.body.0.*"),
        ("MixDehazeNet", "dehazing", "patch_embed.proj.weight layer1.blocks.0.norm1.running_mean skip1.weight"),
        ("RetinexFormer", "low light", "body.0.estimator.conv1.weight"),
        ("HVICIDNet", "low light", "trans.density_k"),
        ("DDColor", "colour", "refine_net.0.0.* encoder.arch.norm.weight"),
        ("ESRGAN", "SR", "1.sub.0.RDB1.conv1.0.weight"),
        ("DnCNN", "restoration", "0.weight 2.weight 14.weight"),
        ("Compact", "SR", "body.0.weight body.1.weight body.2.weight"),
    )
)


EXTRA = ("AdaCode", "DDColor", "FeMaSR", "M3SNet", "MIRNet2", "MPRNet", "Restormer", "SRFormer")
"""Those of spandrel_extra_arches."""


class Opened(NamedTuple):
    """A network that spandrel knows."""

    config: dict[str, Any]  # of `Spandrel`
    tensors: dict[str, Tensor]  # its state_dict
    words: list[str]  # ['HAT', 'x4', 'medium', 'opened by spandrel 0.4.2']
    is_tried: bool  # a photograph tells whether it is what it seems
    network: Spandrel  # with these tensors


def family_of(tensors: Mapping[str, Tensor]) -> Family | None:
    """Return the family that the names of tensors are of."""
    return next((family for family in FAMILIES if fits(family.marks, tensors)), None)


def refuse(tensors: Mapping[str, Tensor], source: str) -> None:
    """Raise a CheckpointError for a network that needs more than an image."""
    family = family_of(tensors)
    if family is not None and family.does in REFUSED:
        raise CheckpointError(f"{source}: {family.architecture}, which {REFUSED[family.does]}")


def advice_to_install(tensors: Mapping[str, Tensor]) -> str:
    """Return what opens a file of one of the families where spandrel is missing; '' for others."""
    family = family_of(tensors)
    if family is None or (has_extra_architectures() if family.architecture in EXTRA else is_installed()):
        return ""
    return f"{INSTALL_EXTRA if family.architecture in EXTRA else INSTALL} opens {family.architecture}"


def open_by_spandrel(tensors: Mapping[str, Tensor], source: str) -> Opened | None:
    """Return the network that spandrel takes tensors for; None: none, or it is not installed.

    Args:
        tensors: without wrappers and prefixes.
        source: the file, for messages.

    Raises:
        CheckpointError: it knows the architecture, and cannot open it, or needs a mask or a face,
            or would take all memory for it.
    """
    if not is_installed():
        return None
    excess = next((key for key, value in tensors.items() if _claims_too_much(key, value)), None)
    if excess is not None:
        raise CheckpointError(f"{source}: {excess} is of windows that are larger than any")
    state = {
        key: value.detach().float() if value.is_floating_point() else value.detach() for key, value in tensors.items()
    }
    first = state.get("conv_first.weight")
    if first is not None and fits(SWINIR, state) and first.dim() == 4 and first.shape[1] in UNSHUFFLED:
        # so spandrel knows it, and calls it otherwise when it is open
        state |= {f"conv_first.1.{leaf}": state.pop(f"conv_first.{leaf}") for leaf in ("weight", "bias")}
    # some architectures have this prefix in their own names, others in those of their trainings
    for names in (state, {f"model.{key}": value for key, value in state.items()}):
        for support in architectures().values():
            if _is_detected(support.detect, names):
                return _opened(support.architecture, names, source)
    return None


def _claims_too_much(name: str, tensor: Tensor) -> bool:
    """True for a tensor by which spandrel makes tables that take all memory."""
    if 0 in tensor.shape:
        return max(tensor.shape) > LONGEST
    if name.endswith("relative_position_bias_table"):
        return tensor.dim() > 0 and len(tensor) > MOST_DISTANCES
    return name.endswith("rpe_biases") and float(tensor.double().abs().max()) > FARTHEST


def _is_detected(detect: Any, names: Mapping[str, Tensor]) -> bool:  # noqa: ANN401 - of spandrel
    try:
        return bool(detect(dict(names)))
    except Exception:  # names may be such that a rule stumbles
        return False


def _opened(architecture: Architecture, state: Mapping[str, Tensor], source: str) -> Opened:
    name = architecture.name
    try:
        descriptor: ImageModelDescriptor = open_state(architecture.id, state)
        if descriptor.purpose in ("FaceSR", "Inpainting"):
            why = REFUSED[FACES if descriptor.purpose == "FaceSR" else MASKS]
            raise CheckpointError(f"{source}: {name}, which {why}")
        places = getattr(descriptor.model, "absolute_pos_embed", None)
        if places is not None:
            count = places.shape[1]
            raise CheckpointError(f"{source}: {name} of images of {count} pixels alone: it has learnt a value for each")
        network = Spandrel.of(descriptor)
    except CheckpointError:
        raise
    except Exception as error:  # it may raise anything at tensors that are not as it thinks
        reason = first_line(error).removesuffix(":") or type(error).__name__
        raise CheckpointError(f"{source}: looks like {name}, but spandrel cannot open it ({reason})") from error
    config = {"type": "Spandrel", "scale": network.scale, "colour": network.colour, "architecture": architecture.id}
    words = [name, f"x{network.scale}", *descriptor.tags, *(["luma"] if network.colour == "y" else [])]
    does = {family.architecture: family.does for family in FAMILIES}.get(architecture.id)
    is_tried = does not in INTENDED and not network.colours_gray
    if does in INTENDED:
        words.append(f"for {does}")
    words.append(f"opened by spandrel {release()}")
    return Opened({**config, "tensors": describe_tensors(state)}, network.state_dict(), words, is_tried, network)
