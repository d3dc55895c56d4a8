"""SRResNet x4 with the content loss residual block 4 of ResNet18 alone, for 250 epochs of DIV2K."""

_base_ = ['srresnet_x4_mse_div2k_250e.py']
losses = _base_.content_losses.res18b4
model = dict(losses=dict(_delete_=True, **losses))
data = dict(val=dict(metrics=dict(loss=dict(losses=dict(_delete_=True, **losses)))))
