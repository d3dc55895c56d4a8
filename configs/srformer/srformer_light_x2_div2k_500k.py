"""SRFormer-light x2 on DIV2K: LQ crops of 64, batches of 64."""

_base_ = ['srformer_x2_div2k_500k.py']
model = dict(generator=dict(
    num_features=60, depths=[6, 6, 6, 6], num_heads=[6, 6, 6, 6], window_size=16, upsampler='pixelshuffledirect',
))
data = dict(train=dict(dataset=dict(gt_size=64 * _base_.scale), batch_size=64))
