_base_ = '_base_/gan.py'

generator = _base_.model.generator
generator.update(dict(num_blocks=23, norm=dict(type='BN')))
generator.update(norm=dict(eps=1e-5), type='RRDBNet')
blocks = generator.get('num_blocks', 1) + generator.get('missing', 4)
nothing = generator.pop('missing')
removed = _base_.model.pop('perceptual_loss')
layers = removed['layer_weights'].copy()
layers['2'] = .5
_base_.model.setdefault('ema', dict(decay=.999))
_base_.model.ema.decay = .99
names = list(_base_.model.keys())
sizes = [len(v) for v in _base_.model.values() if isinstance(v, dict)]
types = {k: v['type'] for k, v in _base_.model.items() if isinstance(v, dict) and 'type' in v}
del _base_.model.test_cfg
del _base_.model['train_cfg']
discriminator = dict(**_base_.model.discriminator, spectral_norm=True)
model = dict(discriminator=dict(_delete_=True, **discriminator))
mean = _base_.model.data_preprocessor.mean
mean[0] = 1.5
