network, scale, data = 'rrdbnet', 4, 'DIV2K'
experiment_name = '_'.join([network, f'x{scale}', data.lower()])
work_dir = 'work_dirs/%s_%03d' % (experiment_name, 7)
url = 'https://example.org/{name}/{0:>4}/{opts[lr]}.pth'.format(scale, name=network.upper(), opts=dict(lr=1e-4))
shown = f"{network!r:>12}|{1e-4:.2e}|{scale:03}|{scale * 2.5:{scale}.1f}|{dict(a=1)}|{[1, 'b']}|{True}|{None}"
joined = ('a' 'b'
          "c")
parts = work_dir.split('/')
stem = parts[-1].rsplit('_', 1)[0].replace('x', 'X').title()
tests = [s.startswith('r') for s in parts] + ['w' in work_dir, work_dir.endswith(('7', '8'))]
padded = str(scale).zfill(3) + 'ab'.center(6, '*') + 'c'.ljust(3) + '|'
raw = r'C:\data\{x}'
multi = """two
lines"""
rule = '-' * 8
empty = ''.strip() or 'default'
letters = [c for c in 'hello'.capitalize()]
sliced = experiment_name[3:-1:2]
