keys = ['img', 'gt']
train_pipeline = [dict(type='Load', key=key) for key in keys]
train_pipeline += [
    dict(type='Flip', keys=keys, direction=d, flip_ratio=0.5) for d in ('horizontal', 'vertical')
]
train_pipeline.extend(dict(type='RandomTransposeHW', keys=keys, ratio=r / 10) for r in range(4, 6))
train_pipeline.append(dict(type='PackInputs'))
val_pipeline = train_pipeline[:len(keys)] + train_pipeline[-1:]
demo_pipeline = [step for step in train_pipeline if step['type'] not in ('Flip', 'RandomTransposeHW')]
demo_pipeline[0], demo_pipeline[1] = demo_pipeline[1], demo_pipeline[0]
steps_per_type = {}
for step in train_pipeline:
    steps_per_type[step['type']] = steps_per_type.get(step['type'], 0) + 1
degradations = dict(
    type='RandomDegradations',
    blur=[dict(prob=p, kernel=(k, k), sigma=[.2, s]) for p, k, s in [(1., 7, 3), (.8, 21, 1.5)]],
    resize=dict(modes={m: i / 4 for i, m in enumerate(['up', 'down', 'keep'], start=1)}))
train_dataloader = dict(
    batch_size=16 // 2 ** 1,
    dataset=[dict(type='Set', root=f'data/{n}', pipeline=train_pipeline, times=t)
             for n, t in dict(DIV2K=1, Flickr2K=2).items()])
for dataset in train_dataloader['dataset']:
    dataset['ann_file'] = f"meta_{dataset['root'].split('/')[1]}.txt"
    dataset['times'] *= 10
del train_dataloader['dataset'][0]['times']
