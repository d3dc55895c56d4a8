height, width = 256, 128
(a, b), c = [1, 2], 3
first, *middle, final = range(5)
x = y = dict(shared=[1])
x['shared'].append(2)
crop_size = (height, width)
img_scale: tuple = (2048, 512)
undefined: int
pairs = list(zip('abc', range(3), strict=True))
numbered = {index: letter for index, letter in enumerate('ab', 1)}
backwards = list(reversed([1, 2, 3]))
down = sorted([3, 1, 2], reverse=True)
halves = crop_size[0] // 2, crop_size[-1] // 2
window = list(range(10))[2:9:3]
window[1:1] = [99]
matrix = [[0] * 3] + [[1, *crop_size]]
copied = matrix.copy()
copied.append('only here')
matrix.insert(0, 'first')
counted = matrix.count('first'), matrix.index([0, 0, 0])
taken = copied.pop()
matrix[1][0] += 5
both = (1,) + (2,) * 2
del window[0], copied[0]
