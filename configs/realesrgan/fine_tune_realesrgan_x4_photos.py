"""Fine-tuning Real-ESRGAN x4 on images of your own, from the published weights, which are named on the command line.

model.generator=RealESRGAN_x4plus.pth model.discriminator=RealESRGAN_x4plus_netD.pth model.disc_init_iters=0, or the
generator's alone: a discriminator that knows nothing yet is trained alone first.

The images are data_root/photos, of any size; LQ is made of them as in the training of the published weights.
"""

_base_ = ['realesrgan_x4_df2k_ost_400k.py']
load_from = None
max_iters = 20_000
schedule = dict(_delete_=True, type='LinearLR', start_factor=0.1, total_iters=500)
optim = dict(generator=dict(scheduler=schedule), discriminator=dict(scheduler=schedule))
model = dict(disc_init_iters=500)
data = dict(
    train=dict(dataset=dict(gt=f'{data_root}/photos'), batch_size=12, pool=180, workers=4),
    val=dict(interval=1000),
)
hooks = dict(checkpoint=dict(interval=1000))
