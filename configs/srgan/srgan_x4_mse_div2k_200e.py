"""SRGAN x4 with the content loss MSE, from SRResNet-MSE, for 200 epochs of DIV2K (epochs=100: the shorter runs)."""

_base_ = ['../srresnet/srresnet_x4_mse_div2k_250e.py']
_variables_ = dict(epochs=200)
load_from = 'work_dirs/srresnet_x4_mse_div2k_250e/checkpoints/best_div2k_val_loss.pth'
model = dict(
    type='GANRestorer',
    discriminator=dict(type='VGGDiscriminator', input_size=128),
    gan_loss=dict(type='GANLoss', kind='vanilla', weight=1e-3),
)
optim = dict(discriminator=dict(optimizer=dict(type='Adam', lr=1e-4, betas=(0.9, 0.999))))
hooks = dict(checkpoint=dict(interval=1000, best=['div2k_val/psnr', 'div2k_val/ssim']))
