fp16 = True
steps = 3
if fp16 and steps > 2:
    amp = dict(enabled=True)
elif steps:
    amp = dict(enabled=False)
else:
    amp = None
if not fp16:
    never = 1
lr = 1e-4 if steps in (1, 2) else 2e-4
between = 1 <= steps < 3 <= 5
pick = None or dict(a=1)
both = [] and 1
same = amp is not None and amp is amp
flags = [any([0, 1]), all([]), not '', bool([]), 'a' not in 'bcd', isinstance(lr, (int, float))]
assert steps == 3, 'steps'
for step in range(10):
    if step % 2:
        continue
    if step > 5:
        break
    last = step
else:
    finished = True
pass
