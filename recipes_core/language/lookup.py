"""From a module's name in a recipe to its class."""

from __future__ import annotations

from collections.abc import Collection

from recipes_core.errors import PluginError, nearest
from recipes_core.language.document import Mark
from recipes_core.language.faults import Faults
from recipes_core.language.overrides import canonical_name
from recipes_core.module import ModuleBase
from recipes_core.plugins import ModuleRef, registry

ID = "id"
"""Key in the body of a module that names the step."""


def find_class(name: str, body_names: Collection[str], mark: Mark, faults: Faults) -> tuple[str, type[ModuleBase]] | None:
    """The short name and class of the module that a recipe means; None, with the fault noted, where there is none.

    Parameters
    ----------
    name : str
        As written: a full name, else any name whose last dotted part is that of a module.
    body_names : collection of str
        What the recipe writes for the module; decides where several have the name.
    """
    refs = registry().find_modules(name)
    if not refs:
        _note_unknown(name, mark, faults)
        return None
    loaded = [(ref, cls) for ref in refs if (cls := _load(ref, mark, faults)) is not None]
    if len(loaded) < len(refs):
        return None
    if len(loaded) > 1:
        fitting = [(ref, cls) for ref, cls in loaded if all(canonical_name(cls, word) for word in body_names)]
        if len(fitting) != 1:
            _note_ambiguous(name, [ref for ref, _ in fitting or loaded], mark, faults)
            return None
        loaded = fitting
    ref, cls = loaded[0]
    written = name.rpartition(".")[2]
    if written != ref.short_name:
        faults.warn("R207", f"'{name}' is an old name of the module '{ref.short_name}'.", "Write the new one.", mark=mark)
    return ref.short_name, cls


def _load(ref: ModuleRef, mark: Mark, faults: Faults) -> type[ModuleBase] | None:
    try:
        cls = ref.load()
    except PluginError as error:
        faults.add(error.code, error.message, error.hint, mark=mark)
        return None
    if not (isinstance(cls, type) and issubclass(cls, ModuleBase)):
        faults.add("P121", f"'{ref.name}' ({ref.target}) is no module: it does not derive from ModuleBase.", mark=mark)
        return None
    if ID in cls.declared():
        faults.add(
            "P122", f"'{ref.name}' declares '{ID}', which names steps in recipes.", "Its author must rename it.", mark=mark
        )
        return None
    return cls


def _note_unknown(name: str, mark: Mark, faults: Faults) -> None:
    broken = [info for info in registry().plugins if info.error]
    last = name.rpartition(".")[2]
    names = list(registry().module_names())
    best = nearest(name, names) or nearest(last, (known.rpartition(".")[2] for known in names))
    if best:
        hint = f"Did you mean '{best}'?"
    elif broken:
        hint = f"It may belong to the plugin {broken[0].name}, which does not load ({broken[0].error})."
    else:
        hint = "It may belong to a plugin that is not installed; 'recipe modules list' shows what there is."
    faults.add("R201", f"there is no module '{name}'.", hint, mark=mark)


def _note_ambiguous(name: str, refs: list[ModuleRef], mark: Mark, faults: Faults) -> None:
    several = ", ".join(sorted(ref.name for ref in refs))
    message = f"several modules are called '{name}', and the parameters do not tell which is meant."
    faults.add("R202", message, f"Write one of: {several}.", mark=mark)
