"""Configs of MMEditing and MMagic become configs of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from srtoolbox.apps.import_config import Imported
from srtoolbox.apps.import_config.record import Fate
from srtoolbox.errors import ConfigError
from tests.apps.importing import checked, told

RUNTIME = """default_scope = 'mmagic'
save_dir = './work_dirs'
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    checkpoint=dict(type='CheckpointHook', interval=500, out_dir=save_dir, max_keep_ckpts=10, save_best='PSNR'),
)
env_cfg = dict(cudnn_benchmark=False)
load_from = None
resume = False
"""
MMAGIC = """_base_ = ['./runtime.py']
experiment_name = 'srgan_small'
work_dir = f'./work_dirs/{experiment_name}'
scale = 4
model = dict(
    type='ESRGAN',
    generator=dict(
        type='MSRResNet', in_channels=3, out_channels=3, mid_channels=16, num_blocks=1, upscale_factor=scale,
        init_cfg=dict(type='Pretrained', checkpoint='https://example.org/a/msr.pth', prefix='generator.')),
    discriminator=dict(type='ModifiedVGG', in_channels=3, mid_channels=8),
    pixel_loss=dict(type='L1Loss', loss_weight=1e-2, reduction='mean'),
    perceptual_loss=dict(
        type='PerceptualLoss', layer_weights={'34': 1.0}, vgg_type='vgg19', perceptual_weight=1.0, style_weight=0,
        norm_img=False),
    gan_loss=dict(type='GANLoss', gan_type='vanilla', loss_weight=5e-3, real_label_val=1.0, fake_label_val=0),
    train_cfg=dict(),
    data_preprocessor=dict(type='DataPreprocessor', mean=[0., 0., 0.], std=[255., 255., 255.]))
train_pipeline = [
    dict(type='LoadImageFromFile', key='img', color_type='color', channel_order='rgb'),
    dict(type='LoadImageFromFile', key='gt', color_type='color', channel_order='rgb'),
    dict(type='SetValues', dictionary=dict(scale=scale)),
    dict(type='PairedRandomCrop', gt_patch_size=128),
    dict(type='Flip', keys=['img', 'gt'], flip_ratio=0.5, direction='horizontal'),
    dict(type='Flip', keys=['img', 'gt'], flip_ratio=0.25, direction='vertical'),
    dict(type='RandomTransposeHW', keys=['img', 'gt'], transpose_ratio=0.5),
    dict(type='ColorTwister'),
    dict(type='PackInputs')]
val_pipeline = train_pipeline[:2] + train_pipeline[-1:]
data_root = 'data'
train_dataloader = dict(
    num_workers=2, batch_size=4, sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='BasicImageDataset', ann_file='list.txt', metainfo=dict(dataset_type='div2k', task_name='sisr'),
        data_root=data_root + '/DIV2K', data_prefix=dict(img='X4', gt='HR'), filename_tmpl=dict(img='{}x4', gt='{}'),
        pipeline=train_pipeline))
val_dataloader = dict(
    num_workers=2,
    dataset=dict(
        type='BasicImageDataset', metainfo=dict(dataset_type='set5', task_name='sisr'), data_root=data_root + '/Set5',
        data_prefix=dict(img='LR', gt='GT'), pipeline=val_pipeline))
val_evaluator = dict(type='Evaluator', metrics=[dict(type='PSNR', crop_border=scale), dict(type='SWD')])
test_dataloader = [val_dataloader]
test_evaluator = [[dict(type='SSIM', crop_border=scale, convert_to='Y', prefix='Set5')]]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=1000, val_interval=250)
val_cfg = dict(type='MultiValLoop')
optim_wrapper = dict(
    constructor='MultiOptimWrapperConstructor',
    generator=dict(
        type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-4, betas=(0.9, 0.999)),
        clip_grad=dict(max_norm=2), paramwise_cfg=dict(custom_keys={'conv_last': dict(lr_mult=0.1)})),
    discriminator=dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-4, betas=(0.9, 0.999))))
param_scheduler = dict(
    type='CosineRestartLR', by_epoch=False, periods=[500, 500], restart_weights=[1, 1], eta_min=1e-7)
custom_hooks = [dict(
    type='ExponentialMovingAverageHook', module_keys=('generator_ema'), interval=1, interp_cfg=dict(momentum=0.001))]
randomness = dict(seed=3)
"""
MMEDITING = """exp_name = 'srcnn'
scale = 4
model = dict(
    type='BasicRestorer',
    generator=dict(type='SRCNN', channels=(3, 64, 32, 3), kernel_sizes=(9, 1, 5), upscale_factor=scale),
    pixel_loss=dict(type='MSELoss', loss_weight=1.0, reduction='mean'))
train_cfg = None
test_cfg = dict(metrics=['PSNR'], crop_border=scale, convert_to='y')
pipeline = [
    dict(type='LoadImageFromFile', io_backend='disk', key='lq', flag='unchanged'),
    dict(type='LoadImageFromFile', io_backend='disk', key='gt', flag='unchanged'),
    dict(type='RescaleToZeroOne', keys=['lq', 'gt']),
    dict(type='Normalize', keys=['lq', 'gt'], mean=[0, 0, 0], std=[1, 1, 1], to_rgb=True),
    dict(type='PairedRandomCrop', gt_patch_size=128),
    dict(type='Collect', keys=['lq', 'gt'], meta_keys=['lq_path', 'gt_path'])]
data = dict(
    workers_per_gpu=8,
    train_dataloader=dict(samples_per_gpu=16, drop_last=True),
    val_dataloader=dict(samples_per_gpu=1),
    train=dict(type='RepeatDataset', times=1000, dataset=dict(
        type='SRFolderDataset', lq_folder='data/X4', gt_folder='data/HR', pipeline=pipeline, scale=scale)),
    val=dict(
        type='SRFolderDataset', lq_folder='data/val_set5/LR', gt_folder='data/val_set5/Set5', pipeline=pipeline,
        scale=scale, filename_tmpl='{}'))
optimizers = dict(generator=dict(
    type='SGD', lr=1e-2, paramwise_cfg=dict(custom_keys={'conv3': dict(lr_mult=0.1)})))
total_iters = 1000
lr_config = dict(policy='Step', by_epoch=False, step=[400, 800], gamma=0.5)
checkpoint_config = dict(interval=500, save_optimizer=True, by_epoch=False)
evaluation = dict(interval=250, save_image=True, gpu_collect=True)
log_config = dict(interval=100, hooks=[dict(type='TextLoggerHook', by_epoch=False)])
work_dir = f'./work_dirs/{exp_name}'
resume_from = None
workflow = [('train', 1)]
"""


@pytest.fixture
def made(tmp_path: Path):
    """Import a text; returns the result and the config that was written."""

    def make(text: str) -> tuple[Imported, dict[str, Any]]:
        (tmp_path / "runtime.py").write_text(RUNTIME, encoding="utf-8")
        return checked(tmp_path, text, "theirs.py")

    return make


def test_a_gan_of_mmagic(made) -> None:
    imported, values = made(MMAGIC)
    assert imported.origin.project == "mmagic" and imported.origin.version.startswith("1.x")
    model = values["model"]
    assert model["type"] == "GANRestorer"
    assert model["generator"] == {"type": "MSRResNet", "scale": 4, "num_features": 16, "num_blocks": 1}
    assert model["losses"]["perceptual"] == {"type": "PerceptualLoss", "layers": {"conv5_4": 1.0}}
    assert model["gan_loss"] == {"type": "RelativisticGANLoss", "weight": 2.5e-3}
    assert values["load_from"] == "weights/msr.pth" and values["work_dir"] == "work_dirs/srgan_small"
    assert values["seed"] == 3 and values["max_iters"] == 1000
    adam = {"type": "Adam", "lr": 1e-4, "betas": (0.9, 0.999)}
    schedule = {"type": "CosineAnnealingWarmRestarts", "T_0": 500, "eta_min": 1e-7}
    assert values["optim"]["discriminator"] == {"optimizer": adam, "scheduler": schedule}
    generator = values["optim"]["generator"]
    assert generator["clip"] == 2.0 and generator["param_groups"]["conv_last"]["lr"] == pytest.approx(1e-5)
    dataset = values["data"]["train"]["dataset"]
    assert (dataset["gt"], dataset["lq"]) == ("data/DIV2K/HR", "data/DIV2K/X4") and dataset["lq_name"] == "{}x4"
    vertical = {"type": "RandomVerticalFlip", "p": 0.25}
    assert dataset["gt_size"] == 128 and dataset["transforms"][1] == vertical and len(dataset["transforms"]) == 3
    assert values["data"]["val"]["metrics"] == {"psnr": {"type": "PSNR", "crop_border": 4, "y_channel": False}}
    assert values["data"]["test"]["metrics"] == {"ssim": {"type": "SSIM", "crop_border": 4}}
    assert values["data"]["val"]["interval"] == 250
    hooks = values["hooks"]
    assert hooks["ema"] == {"type": "EMAHook", "decay": 0.999} and hooks["logger"]["interval"] == 50
    assert hooks["checkpoint"]["keep_last"] == 10 and hooks["checkpoint"]["best"] == ["set5/psnr"]
    lost = told(imported, Fate.LOST)
    assert set(lost) == {"train_dataloader.dataset.pipeline[7].type", "val_evaluator.metrics[1].type"}
    assert "nothing is downloaded" in told(imported, Fate.DIFFERENT)["model.generator.init_cfg"]
    places = {entry.key: entry.place for entry in imported.record.entries}
    assert places["default_hooks.checkpoint.interval"] == "runtime.py:6" and places["work_dir"] == "3"


def test_a_network_of_mmediting(made) -> None:
    imported, values = made(MMEDITING)
    assert imported.origin.project == "mmediting" and imported.is_whole
    srcnn = {"type": "SRCNN", "scale": 4, "colour": "rgb", "padding": "zeros", "init": "torch"}
    assert values["model"]["generator"] == srcnn  # as their convolutions are
    generator = values["optim"]["generator"]
    assert generator["param_groups"] == {"conv3": {"lr": pytest.approx(1e-3)}}
    assert generator["scheduler"] == {"type": "MultiStepLR", "milestones": [400, 800], "gamma": 0.5}
    assert values["data"]["train"]["batch_size"] == 16 and values["data"]["train"]["workers"] == 8
    assert values["data"]["val"]["datasets"]["set5"]["gt"] == "data/val_set5/Set5"
    assert values["data"]["val"]["metrics"] == {"psnr": {"type": "PSNR", "crop_border": 4}}


def test_steps_are_counted_as_there(made) -> None:
    text = MMAGIC.replace("train_cfg=dict(),", "train_cfg=dict(disc_steps=2, disc_init_steps=3),")
    text = text.replace("clip_grad=dict(max_norm=2),", "accumulative_counts=4,")
    imported, values = made(text)
    assert values["model"]["disc_steps"] == 2 and values["model"]["disc_init_iters"] == 3 and values["accumulate"] == 4
    different = told(imported, Fate.DIFFERENT)
    assert "of 4 batches" in different["optim_wrapper.generator.accumulative_counts"]
    assert not any("disc_steps" in key for key in different)


def test_a_perceptual_loss_that_says_little_is_as_there(made) -> None:
    imported, values = made(MMAGIC.replace("style_weight=0,\n        norm_img=False)", ")"))
    assert values["model"]["losses"]["perceptual"]["style_weight"] == 1.0
    assert "[-1, 1]" in told(imported, Fate.LOST)["model.perceptual_loss.norm_img"]


def test_networks_of_the_same_size(made) -> None:
    noise = (
        "dict(type='RandomNoise', params=dict(noise_type=['gaussian'], noise_prob=[1], gaussian_sigma=[15, 15]), "
        "keys=['img']),\n    dict(type='ColorTwister')"
    )
    swinir = "dict(type='SwinIRNet', upscale=1, window_size=8, depths=[2], num_heads=[2], embed_dim=20, upsampler='')"
    start, end = MMAGIC.index("dict(\n        type='MSRResNet'"), MMAGIC.index("    discriminator=")
    text = MMAGIC[:start] + swinir + ",\n" + MMAGIC[end:]
    text = text.replace("scale = 4", "scale = 1").replace("img='X4', gt='HR'", "img='', gt=''")
    text = text.replace("dict(type='ColorTwister')", noise)
    _imported, values = made(text)
    dataset = values["data"]["train"]["dataset"]
    assert dataset["type"] == "GTOnlyDataset" and dataset["gt"] == "data/DIV2K" and values["scale"] == 1
    assert dataset["degradations"] == [{"type": "GaussianNoise", "sigma": [15.0, 15.0]}]
    assert values["model"]["generator"]["mlp_ratio"] == 4.0  # theirs, where the file says nothing


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("'ESRGAN'", "'BasicVSR'", r"theirs.py:6: model.type: the model 'BasicVSR' has no counterpart"),
        ("'MSRResNet'", "'IconVSRNet'", "the network 'IconVSRNet' has no counterpart"),
        ("'BasicImageDataset', ann", "'REDSDataset', ann", "the dataset 'REDSDataset' has no counterpart"),
        ("max_iters=1000", "max_iters=0", "does not say how many iterations"),
    ],
)
def test_other_tasks_are_refused(made, old: str, new: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        made(MMAGIC.replace(old, new))


REAL = """[
    dict(type='LoadImageFromFile', key='gt', channel_order='rgb'),
    dict(type='SetValues', dictionary=dict(scale=scale)),
    dict(type='Crop', keys=['gt'], crop_size=(400, 400), random_crop=True),
    dict(type='UnsharpMasking', keys=['gt'], kernel_size=51, sigma=0, weight=0.5, threshold=10),
    dict(type='CopyValues', src_keys=['gt_unsharp'], dst_keys=['img']),
    dict(type='RandomBlur', keys=['img'], params=dict(
        prob=0.8, kernel_size=[7, 9, 21], kernel_list=['iso', 'aniso', 'sinc'], kernel_prob=[0.6, 0.3, 0.1],
        sigma_x=[0.2, 3], sigma_y=[0.2, 3], beta_gaussian=[0.5, 4], beta_plateau=[1, 2])),
    dict(type='RandomResize', keys=['img'], params=dict(
        resize_mode_prob=[0.2, 0.7, 0.1], resize_scale=[0.15, 1.5], resize_opt=['bilinear', 'area', 'bicubic'])),
    dict(type='RandomNoise', keys=['img'], params=dict(
        noise_type=['gaussian', 'poisson'], noise_prob=[0.5, 0.5], gaussian_sigma=[1, 30],
        gaussian_gray_noise_prob=0.4, poisson_scale=[0.05, 3], poisson_gray_noise_prob=0.4)),
    dict(type='DegradationsWithShuffle', keys=['img'], degradations=[
        dict(type='RandomJPEGCompression', params=dict(quality=[5, 50])),
        [dict(type='RandomResize', params=dict(target_size=(100, 100), resize_opt=['bilinear', 'area', 'bicubic'])),
         dict(type='RandomBlur', params=dict(
             prob=0.8, kernel_size=[7, 21], kernel_list=['sinc'], kernel_prob=[1], omega=[3.1416 / 3, 3.1416]))]]),
    dict(type='PairedRandomCrop', gt_patch_size=128),
    dict(type='UnsharpMasking', keys=['gt'], kernel_size=51, sigma=0, weight=0.5, threshold=10),
    dict(type='PackInputs')]
val_pipeline = [
    dict(type='LoadImageFromFile', key='img'), dict(type='LoadImageFromFile', key='gt'), dict(type='PackInputs')]
"""


def test_degradations_of_a_pipeline(made) -> None:
    start, end = MMAGIC.index("train_pipeline = ") + len("train_pipeline = "), MMAGIC.index("data_root = ")
    text = MMAGIC[:start] + REAL + MMAGIC[end:]
    text = text.replace("type='ESRGAN',", "type='RealESRGAN', is_use_sharpened_gt_in_pixel=True,")
    imported, values = made(text.replace(", dict(type='SWD')", ""))
    assert imported.is_whole
    model = values["model"]
    assert model["targets"] == {"pixel": "gt_usm"} and values["data"]["train"]["dataset"]["gt_size"] == 400
    preprocess = model["preprocess"]
    assert preprocess["gt_size"] == 128 and preprocess["sharpen"] == {"type": "USMSharpening"}
    assert "share" not in preprocess  # each image has parameters of its own, there as here
    steps = preprocess["steps"]
    assert list(steps) == ["blur", "resize", "noise", "last"] and steps["blur"]["p"] == 0.8
    (blur,) = steps["blur"]["transforms"]
    assert blur["kinds"] == {"iso": 0.6, "aniso": 0.3} and blur["sinc"] == 0.1 and blur["kernel_size"] == (7, 21)
    jpeg, to_lq = steps["last"]["transforms"]
    assert jpeg == {"type": "JPEGCompression", "quality": (5, 50)}  # by the codec, as theirs
    assert [step["type"] for step in to_lq["transforms"]] == ["Resize", "SincFilter"]
    assert to_lq["transforms"][1]["cutoff"] == (pytest.approx(1 / 3, abs=1e-4), 1.0)
