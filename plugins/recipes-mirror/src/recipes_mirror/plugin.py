"""What the plugin registers. Import nothing heavy here: this file is read at every start."""

from recipes_core.plugins import ModuleRef, hookimpl


@hookimpl
def register_modules():
    return [
        ModuleRef(
            "mirror.Locs_Mirror", "recipes_mirror.mirror:Locs_Mirror", "Mirrors localizations at the middle of their field."
        )
    ]
