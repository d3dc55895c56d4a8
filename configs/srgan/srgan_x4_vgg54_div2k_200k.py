"""SRGAN-VGG54 x4 as its paper trains it (Ledig et al. 2017), on DIV2K instead of ImageNet.

1e5 iterations at 1e-4, 1e5 at 1e-5. The content loss is the paper's: features scaled by 1/12.75, so their squared
distance by 0.006.
"""

_base_ = ['../srresnet/srresnet_x4_mse_div2k_1000k.py', '../_base_/content_losses.py']
load_from = 'work_dirs/srresnet_x4_mse_div2k_1000k/checkpoints/best_set5_psnr.pth'
model = dict(
    type='GANRestorer',
    discriminator=dict(type='VGGDiscriminator', input_size=96),
    losses=dict(_delete_=True, vgg54=dict(weight=0.006, **_base_.vgg54)),
    gan_loss=dict(type='GANLoss', kind='vanilla', weight=1e-3),
)
max_iters = 200_000
adam = dict(
    optimizer=dict(type='Adam', lr=1e-4, betas=(0.9, 0.999)),
    scheduler=dict(type='MultiStepLR', milestones=[max_iters // 2], gamma=0.1),
)
optim = dict(generator=adam, discriminator=adam)
