"""Mirroring of localizations."""

import numpy as np

from recipes_core import Choice, Input, Localizations, ModuleBase, Output


class Locs_Mirror(ModuleBase):
    """Mirrors localizations at the middle of their field, for cameras behind an odd number of mirrors."""

    input_localizations = Input(Localizations, "Localizations", requires=("x", "y"))
    output_localizations = Output(Localizations, "mirrored", like="input_localizations")
    axis = Choice(("x", "y"), "x", desc="coordinate that changes its direction")

    def run(self, ctx, input_localizations):
        values = input_localizations[self.axis]
        mirrored = np.nanmin(values) + np.nanmax(values) - values if len(values) else values
        return input_localizations.with_columns({self.axis: mirrored})
