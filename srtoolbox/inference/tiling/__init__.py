"""Images in tiles: their places (`grid`), the image behind (`source`), all as one (`stitch`).

`planner` decides which; `memory` and `receptive_field` tell it what a network takes and sees, and
`statistics` gives tiles what is summed over the whole image (`sums`) or enlarged to it
(`coarse_maps`).
"""
