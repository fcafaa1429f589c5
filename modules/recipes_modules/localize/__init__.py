"""From movie to molecules: camera, background, detection, fits, and the comparison with truth."""
