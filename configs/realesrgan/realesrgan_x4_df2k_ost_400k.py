"""Real-ESRGAN x4: the GAN stage after realesrnet_x4_df2k_ost_1000k.py.

Wang et al. 2021 (arXiv:2107.10833) with the values of their option file. VGG19's ImageNet weights are downloaded by
torchvision, or say where a file is: vgg19=FILE.
"""

_base_ = ['realesrnet_x4_df2k_ost_1000k.py']
vgg19 = 'imagenet'
load_from = f'work_dirs/realesrnet_x{_base_.scale}_df2k_ost_1000k/checkpoints/iter_1000000.pth'
layers = dict(conv1_2=0.1, conv2_2=0.1, conv3_4=1.0, conv4_4=1.0, conv5_4=1.0)  # before activation
model = dict(
    type='GANRestorer',
    discriminator=dict(type='UNetDiscriminatorSN'),
    losses=dict(perceptual=dict(type='PerceptualLoss', backbone='vgg19', weights=vgg19, layers=layers, criterion='l1')),
    gan_loss=dict(type='GANLoss', weight=0.1),
    targets=dict(perceptual='gt_usm', gan='gt'),
)
max_iters = 400_000
adam = dict(
    optimizer=dict(type='Adam', lr=1e-4, betas=(0.9, 0.99)),
    scheduler=dict(type='MultiStepLR', milestones=[max_iters], gamma=0.5),
)
optim = dict(generator=adam, discriminator=adam)
hooks = dict(checkpoint=dict(best=['degraded/psnr', 'degraded/niqe']))
