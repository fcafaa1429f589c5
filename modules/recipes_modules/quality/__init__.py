"""How sharp a set of localizations is: precision and resolution from the localizations themselves."""

from recipes_modules.quality.frc import FrcResult, frc
from recipes_modules.quality.nena import NenaResult, nena

__all__ = ["FrcResult", "NenaResult", "frc", "nena"]
