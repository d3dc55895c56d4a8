"""SRGAN x4 with the content loss residual block 3 of ResNet34 alone, from SRResNet-MSE."""

_base_ = ['srgan_x4_mse_div2k_200e.py']
losses = _base_.content_losses.res34b3
model = dict(losses=dict(_delete_=True, **losses))
data = dict(val=dict(metrics=dict(loss=dict(losses=dict(_delete_=True, **losses)))))
