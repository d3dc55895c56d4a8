"""Small networks of spandrel's own classes, of each architecture, and of those that are refused."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

import torch
from torch import nn

from srtoolbox.models.networks.spandrel import architectures

_WINDOWS = {"img_size": 16, "embed_dim": 12, "num_heads": [2], "window_size": 4, "upscale": 2}
_SHUFFLE = {"upsampler": "pixelshuffle"}


class Small(NamedTuple):
    """How a small network of an architecture is made."""

    architecture: str
    name: str  # of the class
    arguments: dict[str, Any]
    is_quick: bool = False  # in the default run


SMALL = [
    Small("Compact", "SRVGGNetCompact", {"num_feat": 8, "num_conv": 2, "upscale": 2}),
    Small("SwiftSRGAN", "Generator", {"num_channels": 8, "num_blocks": 2, "upscale_factor": 2}),
    Small("HAT", "HAT", {**_WINDOWS, "depths": [2], "compress_ratio": 3, "squeeze_factor": 3}),
    Small(
        "GRL",
        "GRL",
        {
            **{"embed_dim": 16, "upscale": 4, "depths": [2], "num_heads_window": [2], "num_heads_stripe": [2]},
            **{"window_size": 8, "stripe_size": [64, 64], "anchor_window_down_factor": 4, **_SHUFFLE},
        },
    ),
    Small("Swin2SR", "Swin2SR", {**_WINDOWS, **_SHUFFLE, "depths": [2]}),
    Small("SwinIR", "SwinIR", {**_WINDOWS, **_SHUFFLE, "depths": [2]}),
    Small("OmniSR", "OmniSR", {"num_feat": 16, "up_scale": 2}),
    Small("SCUNet", "SCUNet", {"config": [2] * 7}),
    Small("FBCNN", "FBCNN", {"nc": [8, 8, 8, 512], "nb": 2}),
    Small("Uformer", "Uformer", {"embed_dim": 8, "depths": [1] * 9}),
    Small("RGT", "RGT", {"embed_dim": 16, "depth": [2], "num_heads": [2]}),
    Small("DAT", "DAT", {"embed_dim": 16, "depth": [2], "num_heads": [2], "split_size": [4, 8], "img_size": 16}, True),
    Small("CRAFT", "CRAFT", {"embed_dim": 24, "depths": [2], "num_heads": [6], "upscale": 2}),
    Small("KBNet", "KBNet_s", {"width": 8, "middle_blk_num": 1, "enc_blk_nums": [1, 1], "dec_blk_nums": [1, 1]}),
    Small("KBNet", "KBNet_l", {"dim": 48, "num_blocks": [1] * 4, "num_refinement_blocks": 1}),
    Small("DITN", "DITN_Real", {"dim": 16, "ITL_blocks": 1, "SAL_blocks": 1, "upscale": 2}, True),
    Small("MMRealSR", "MMRRDBNet_test", dict(num_in_ch=3, num_out_ch=3, num_feat=8, num_block=1, num_grow_ch=4)),
    Small("SPAN", "SPAN", {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 8, "upscale": 2}),
    Small("RealCUGAN", "UpCunet2x", {}),
    Small("RealCUGAN", "UpCunet2x_fast", {}),
    Small("RealCUGAN", "UpCunet3x", {"pro": True}),
    Small("RealCUGAN", "UpCunet4x", {}),
    Small("SAFMN", "SAFMN", {"dim": 8, "n_blocks": 2, "upscaling_factor": 2}),
    Small("SAFMNBCIE", "SAFMN_BCIE", {"dim": 8, "n_blocks": 1, "num_layers": 1}, True),
    Small("DCTLSA", "DCTLSA", {"nf": 20, "upscale": 2}),
    Small("FFTformer", "FFTformer", {"dim": 8, "num_blocks": [1] * 3, "num_refinement_blocks": 1}),
    Small("NAFNet", "NAFNet", {"width": 8, "enc_blk_nums": [1, 1], "dec_blk_nums": [1, 1]}, True),
    Small("ATD", "ATD", {**_WINDOWS, **_SHUFFLE, "depths": [2], "window_size": 8, "num_tokens": 8}),
    Small("MixDehazeNet", "MixDehazeNet", {"embed_dims": [8] * 5, "depths": [1] * 5}),
    Small("DRUNet", "DRUNet", {"in_nc": 4, "out_nc": 3, "nc": [8] * 4, "nb": 2}, True),
    Small("DnCNN", "DnCNN", {"in_nc": 1, "out_nc": 1, "nc": 8}, True),
    Small("IPT", "IPT", {"patch_size": 24, "n_feats": 12, "num_layers": 1, "scale": [2]}),
    Small("DRCT", "DRCT", {**_WINDOWS, **_SHUFFLE, "embed_dim": 16, "depths": [6], "gc": 8}),
    Small("ESRGAN", "RRDBNet", {"num_filters": 8, "num_blocks": 1, "plus": True}),
    Small("PLKSR", "PLKSR", {"dim": 16, "n_blocks": 2, "upscaling_factor": 2}, True),
    Small("PLKSR", "RealPLKSR", {"dim": 16, "n_blocks": 2, "upscaling_factor": 2, "dysample": True}),
    Small("RetinexFormer", "RetinexFormer", {"n_feat": 8, "stage": 1}),
    Small("HVICIDNet", "CIDNet", {"channels": [8, 8, 16, 16]}),
    Small("SeemoRe", "SeemoRe", {"scale": 2, "num_experts": 3, "num_layers": 1, "embedding_dim": 16}),
    Small("MoSR", "MoSR", {"upscale": 2, "n_block": 2, "dim": 16}, True),
    Small("MoESR", "MoESR", {"scale": 2, "dim": 16, "n_blocks": 2, "n_block": 1}, True),
    Small("RCAN", "RCAN", {"scale": 2, "n_resgroups": 2, "n_resblocks": 2, "n_feats": 16, "reduction": 4}),
    Small("FDAT", "FDAT", {"scale": 2, "embed_dim": 16, "num_groups": 1, "depth_per_group": 2, "num_heads": 2}),
    Small(
        "AuraSR",
        "UnetUpsampler",
        {
            **{"dim": 4, "image_size": None, "input_image_size": None, "skip_connect_scale": 0.4},
            **{"style_network": {"dim_in": 8, "dim_out": 32, "depth": 1}, "self_attn_dim_head": 4},
            **{"attn_depths": (1,) * 5, "mid_attn_depth": 1, "num_conv_kernels": 2},
        },
    ),
]
"""At least one of each architecture of the main registry whose purpose is SR or restoration."""
EXTRA = [
    Small("SRFormer", "SRFormer", {**_WINDOWS, **_SHUFFLE, "depths": [2], "img_size": 24, "window_size": 12}),
    Small("DDColor", "DDColor", dict(encoder_name="convnext-t", num_queries=8, dec_layers=3, num_output_channels=2)),
    Small("AdaCode", "AdaCodeSRNet_Contrast", dict(codebook_params=[[32, 16, 8]], scale_factor=2, LQ_stage=True)),
    Small("FeMaSR", "FeMaSRNet", {"codebook_params": [[32, 16, 8]], "scale_factor": 2, "LQ_stage": True}),
    Small("M3SNet", "M3SNet", {"width": 8, "enc_blk_nums": [1] * 4}),
    Small("Restormer", "Restormer", {"dim": 8, "num_blocks": [1] * 4, "num_refinement_blocks": 1}),
    Small("MPRNet", "MPRNet", {"n_feat": 8, "scale_unetfeats": 4, "scale_orsnetfeats": 4, "num_cab": 1}),
    Small("MIRNet2", "MIRNet_v2", {"n_feat": 16, "n_MRB": 1}),
]
"""Those of spandrel_extra_arches."""
REFUSED = [
    Small("GFPGAN", "GFPGANv1Clean", {"narrow": 0.25}),
    Small("RestoreFormer", "RestoreFormer", {"ch": 32, "n_embed": 16}),
    Small("LaMa", "LaMa", {"in_nc": 4}),
    Small("CodeFormer", "CodeFormer", {}),
    Small("MAT", "MAT", {}),
]
"""Those that need a mask or a face."""


def made(small: Small) -> nn.Module:
    """A network of spandrel's own class, with parameters that all matter; statistics stay as they are."""
    module = inspect.getmodule(type(architectures()[small.architecture].architecture))
    kind = next(value for value in vars(module).values() if getattr(value, "__name__", "") == small.name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = kind(**small.arguments).eval()
        for key, parameter in network.named_parameters():
            if "mean" not in key and parameter.numel() and parameter.amin() == parameter.amax():
                parameter.data += 0.05 * torch.randn_like(parameter)
    return network
