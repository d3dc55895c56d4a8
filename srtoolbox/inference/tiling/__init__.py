"""Images in tiles: where these lie (`grid`), what they are windows of (`source`), how they become one image (`stitch`).

`planner` decides which; `memory` and `receptive_field` tell it what a network takes and sees, and
`statistics` gives tiles what is summed over the whole image (`sums`) or enlarged to it
(`coarse_maps`).
"""
