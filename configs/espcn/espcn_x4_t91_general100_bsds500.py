"""espcn_x4_t91.py on T91, General100 and BSDS500 without its val images, which are the benchmark BSD100."""

_base_ = ['espcn_x4_t91.py']
data = dict(train=dict(dataset=dict(
    gt=[f'{data_root}/{name}' for name in ('T91', 'General100', 'BSDS500/train', 'BSDS500/test')],
)))
