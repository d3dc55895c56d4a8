"""BSRGAN x4: the GAN stage after bsrnet_x4_df2k_ost_1000k.py.

VGG19's ImageNet weights are downloaded by torchvision, or say where a file is: vgg19=FILE.
"""

_base_ = ['bsrnet_x4_df2k_ost_1000k.py']
vgg19 = 'imagenet'
load_from = 'work_dirs/bsrnet_x4_df2k_ost_1000k/checkpoints/iter_1000000.pth'
layers = dict(conv1_2=0.1, conv2_2=0.1, conv3_4=1.0, conv4_4=1.0, conv5_4=1.0)  # before activation
model = dict(
    type='GANRestorer',
    discriminator=dict(type='UNetDiscriminatorSN'),
    losses=dict(perceptual=dict(type='PerceptualLoss', backbone='vgg19', weights=vgg19, layers=layers, criterion='l1')),
    gan_loss=dict(type='GANLoss', kind='lsgan', weight=2.0),  # theirs is 1 without the 1/2 of the paper
)
max_iters = 800_000
adam = dict(
    optimizer=dict(type='Adam', lr=5e-5),
    scheduler=dict(_delete_=True, type='MultiStepLR', milestones=[max_iters], gamma=0.5),
)
optim = dict(generator=dict(_delete_=True, **adam), discriminator=adam)
hooks = dict(checkpoint=dict(best=['degraded/psnr', 'degraded/niqe']))
