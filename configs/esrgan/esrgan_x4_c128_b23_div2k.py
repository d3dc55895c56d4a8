"""ESRGAN x4, 23 blocks: the GAN stage after rrdb_x4_psnr_c128_b23_div2k.py, 8 000 epochs of DIV2K, crops of 128.

Wang et al. 2018 (arXiv:1809.00219): L1 of VGG19 conv5_4 before activation, relativistic average GAN 5e-3, L1 of
pixels 1e-2. VGG19's ImageNet weights are downloaded by torchvision, or say where a file is: vgg19=FILE.
"""

_base_ = ['rrdb_x4_psnr_c128_b23_div2k.py']
vgg19 = 'imagenet'
_variables_ = dict(epochs=8_000)
load_from = 'work_dirs/rrdb_x4_psnr_c128_b23_div2k/checkpoints/best_bsds500_psnr.pth'
perceptual = dict(type='PerceptualLoss', backbone='vgg19', weights=vgg19, layers=dict(conv5_4=1.0), criterion='l1')
model = dict(
    type='GANRestorer',
    discriminator=dict(type='VGGDiscriminator', input_size=128, fc=[100]),
    losses=dict(pixel=dict(weight=1e-2), perceptual=perceptual),
    gan_loss=dict(type='RelativisticGANLoss', weight=5e-3),
)
adam = dict(
    optimizer=dict(type='Adam', lr=1e-4, betas=(0.9, 0.99)),
    scheduler=dict(type='MultiStepLR', milestones=[50_000, 100_000, 200_000, 300_000], gamma=0.5),
)
optim = dict(generator=dict(_delete_=True, **adam), discriminator=adam)
data = dict(val=dict(metrics=dict(perceptual=dict(type='LossMetric', losses=dict(perceptual=perceptual)))))
hooks = dict(checkpoint=dict(best=['bsds500/psnr', 'bsds500/perceptual']))
