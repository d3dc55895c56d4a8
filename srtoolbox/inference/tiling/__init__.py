"""Large images, cut into tiles and stitched."""
