"""The GAN stage of a ladder that a CPU trains within the hour: from realesrnet_x4_small, see README.md.

SqueezeNet's ImageNet weights are 5 MB; torchvision downloads them, or say where a file is: squeezenet=FILE.
"""

_base_ = ['realesrnet_x4_small_t91_general100_bsds500.py']
squeezenet = 'imagenet'
load_from = 'work_dirs/realesrnet_x4_small_t91_general100_bsds500/checkpoints/iter_010000.pth'
model = dict(
    type='GANRestorer',
    discriminator=dict(type='UNetDiscriminatorSN', num_features=16),
    losses=dict(perceptual=dict(
        type='PerceptualLoss', backbone='squeezenet1_0', weights=squeezenet, layers={'fire3': 5e-3, 'fire6': 8e-3},
    )),
    gan_loss=dict(type='GANLoss', weight=0.1),
    targets=dict(perceptual='gt_usm', gan='gt'),
    disc_init_iters=400,
)
max_iters = 3000
betas, schedule = (0.9, 0.99), dict(type='MultiStepLR', milestones=[max_iters // 2, max_iters * 3 // 4], gamma=0.5)
optim = dict(
    generator=dict(_delete_=True, optimizer=dict(type='Adam', lr=1e-4, betas=betas), scheduler=schedule),
    discriminator=dict(optimizer=dict(type='Adam', lr=2e-4, betas=betas), scheduler=schedule),
)
data = dict(
    val=dict(interval=500),
    test=dict(
        datasets=dict(degraded=_base_.degraded),
        metrics=dict(
            niqe=dict(type='NIQE', crop_border=_base_.scale),
            features=dict(  # of layers that the loss does not see
                type='FeatureDistance', backbone='squeezenet1_0', weights=squeezenet,
                layers=['fire2', 'fire4', 'fire8'], crop_border=_base_.scale,
            ),
        ),
    ),
)
hooks = dict(checkpoint=dict(interval=500, best=['degraded/psnr', 'degraded/niqe']))
