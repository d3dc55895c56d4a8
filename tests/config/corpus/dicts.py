norm = dict(type='BN', requires_grad=True)
layer_weights = {'2': 0.1, '7': 0.1, **{'16': 1.0}, 'conv': None}
by_number = {1: 'one', 2: 'two', (3, 4): 'pair', True: 'true wins over 1', 2.5: 'x'}
backbone = dict(norm, eps=1e-3)
head = {**norm, 'type': 'GN', **dict(num_groups=32)}
merged = norm | {'momentum': 0.1}
merged |= dict(eps=2)
merged.update({'nested': dict(a=1)})
merged.update(nested=dict(b=2))
pairs = dict([('x', 1), ('y', 2)], z=3)
norm['requires_grad'] = False
popped = pairs.pop('x'), pairs.pop('gone', None)
kept = pairs.setdefault('w', []) + [1]
pairs.setdefault('w', 5).append(6)
has = 'y' in pairs, len(pairs), list(pairs), sorted(pairs.items(), reverse=True)[0]
empty = {}
levels = dict(a=dict(b=dict(c=[dict(d=1), dict(d=2)])))
levels['a']['b']['c'][1]['d'] = levels['a']['b']['c'][0]['d'] + 10
levels['a']['b'].update(dict(e=levels['a']['b'].get('e', 'absent')))
