"""The docstring is no key."""
_base_ = []
_private = 1
__dropped = 2
__doc_like__ = 3
type = 'a name that shadows a function'
max_size = max(1, _private + __dropped)
data_root = 'data/own'
val_root = data_root + '/val'
for leftover in range(3):
    inner = leftover * 2
comprehended = [hidden for hidden in range(2)]
_deprecation_ = dict(expected='another.py', reference='https://example.org')
removed = 1
del removed
none_value = None
tuples = ((1, 2), [3, (4,)])
