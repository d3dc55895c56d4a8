"""SRResNet x4 with the content loss VGG(5,4) of VGG19 alone, for 250 epochs of DIV2K."""

_base_ = ['srresnet_x4_mse_div2k_250e.py']
losses = _base_.content_losses.vgg54
model = dict(losses=dict(_delete_=True, **losses))
data = dict(val=dict(metrics=dict(loss=dict(losses=dict(_delete_=True, **losses)))))
