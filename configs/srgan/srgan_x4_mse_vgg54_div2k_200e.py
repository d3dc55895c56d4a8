"""SRGAN x4 with 0.6 MSE + 0.4 VGG(5,4) of VGG19, from SRResNet-MSE."""

_base_ = ['srgan_x4_mse_div2k_200e.py']
losses = dict(mse=dict(weight=0.6, **_base_.mse), vgg54=dict(weight=0.4, **_base_.vgg54))
model = dict(losses=dict(_delete_=True, **losses))
data = dict(val=dict(metrics=dict(loss=dict(losses=dict(_delete_=True, **losses)))))
