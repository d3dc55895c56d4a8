"""SRResNet x4 with 0.7 MSE + 0.3 residual block 3 of ResNet34, for 250 epochs of DIV2K."""

_base_ = ['srresnet_x4_mse_div2k_250e.py']
losses = dict(mse=dict(weight=0.7, **_base_.mse), res34b3=dict(weight=0.3, **_base_.res34b3))
model = dict(losses=dict(_delete_=True, **losses))
data = dict(val=dict(metrics=dict(loss=dict(losses=dict(_delete_=True, **losses)))))
