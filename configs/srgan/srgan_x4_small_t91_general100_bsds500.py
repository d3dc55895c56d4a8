"""The GAN stage of a ladder that a CPU trains within an hour: from ../srresnet's small MSRResNet, see README.md.

SqueezeNet's ImageNet weights are 5 MB; torchvision downloads them, or say where a file is: squeezenet=FILE.
"""

_base_ = ['../srresnet/msrresnet_x4_small_t91_general100_bsds500.py']
squeezenet = 'imagenet'
load_from = 'work_dirs/msrresnet_x4_small_t91_general100_bsds500/checkpoints/iter_010000.pth'
model = dict(
    type='GANRestorer',
    discriminator=dict(
        type='VGGDiscriminator', input_size=64, channels=[32, 32, 64, 64, 128, 128, 256, 256], fc=[100], norm=None,
    ),
    losses=dict(
        pixel=dict(weight=1e-1),
        perceptual=dict(
            type='PerceptualLoss', backbone='squeezenet1_0', weights=squeezenet,
            layers={'fire3': 5e-3, 'fire6': 8e-3},  # about one half each at the start
        ),
    ),
    gan_loss=dict(type='GANLoss', kind='vanilla', weight=0.1),
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
    test=dict(metrics=dict(
        features=dict(  # of layers that the loss does not see
            type='FeatureDistance', backbone='squeezenet1_0', weights=squeezenet, layers=['fire2', 'fire4', 'fire8'],
            crop_border=4,
        ),
        energy=dict(type='GradientEnergyRatio', crop_border=4),
        colour=dict(type='ColourDrift', crop_border=4),
    )),
)
hooks = dict(checkpoint=dict(interval=500, best=['set5/psnr', 'set5/ssim']))
