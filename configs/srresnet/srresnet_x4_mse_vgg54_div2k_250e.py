"""SRResNet x4 with 0.7 MSE + 0.3 VGG(5,4) of VGG19, for 250 epochs of DIV2K."""

_base_ = ['srresnet_x4_mse_div2k_250e.py']
losses = dict(mse=dict(weight=0.7, **_base_.mse), vgg54=dict(weight=0.3, **_base_.vgg54))
model = dict(losses=dict(_delete_=True, **losses))
data = dict(val=dict(metrics=dict(loss=dict(losses=dict(_delete_=True, **losses)))))
