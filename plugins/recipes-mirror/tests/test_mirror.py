import numpy as np
from recipes_mirror.mirror import Locs_Mirror

from recipes_core import Localizations


def test_mirrored_twice_is_the_same():
    locs = Localizations({"x": [1.0, 2.0, 7.0], "y": [0.0, 1.0, 2.0]})
    once = Locs_Mirror().apply(locs)["output_localizations"]
    np.testing.assert_array_equal(once["x"], [7.0, 6.0, 1.0])
    twice = Locs_Mirror().apply(once)["output_localizations"]
    np.testing.assert_array_equal(twice["x"], locs["x"])
