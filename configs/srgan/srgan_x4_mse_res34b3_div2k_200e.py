"""SRGAN x4 with 0.6 MSE + 0.4 residual block 3 of ResNet34, from SRResNet-MSE."""

_base_ = ['srgan_x4_mse_div2k_200e.py']
losses = dict(mse=dict(weight=0.6, **_base_.mse), res34b3=dict(weight=0.4, **_base_.res34b3))
model = dict(losses=dict(_delete_=True, **losses))
data = dict(val=dict(metrics=dict(loss=dict(losses=dict(_delete_=True, **losses)))))
