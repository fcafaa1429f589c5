import pickle
import subprocess
import sys

import pytest

import recipes_modules
from recipes_core.module import ModuleBase
from recipes_core.plugins import Registry

REFS = recipes_modules.MODULES


@pytest.mark.parametrize("ref", REFS, ids=lambda ref: ref.short_name)
def test_every_module_is_complete(ref):
    cls = ref.load()
    assert issubclass(cls, ModuleBase)
    assert cls.name() == ref.short_name
    assert ref.summary.endswith(".")
    assert cls.summary(), "the docstring begins with a summary"
    for name, declared in cls.declared().items():
        assert declared.description, f"{name} says what it is"
    module = cls()
    assert pickle.loads(pickle.dumps(module)).parameter_values() == module.parameter_values()
    assert all(isinstance(fault, str) for fault in module.check())


def test_old_names_lead_to_the_modules():
    registry = Registry(external=False)
    for old, name in {
        "chung_cc.Locs_RCC": "Locs_RCC", "cc_drift_cor.Locs_RCC": "Locs_RCC", "Locs_RCC": "Locs_RCC", "smlm.Locs_RCC": "Locs_RCC",
        "chung_cc.Image_Pre_Clip&Filter": "Image_Pre_Clip&Filter", "localisations.ProcessColour": "ProcessColour",
        "tablefilters.FilterTable": "FilterTable", "Filter": "FilterTable",
    }.items():  # fmt: skip
        assert [ref.short_name for ref in registry.find_modules(old)] == [name]


def test_classes_are_at_hand_by_name():
    from recipes_modules import Image_Pre_Clip_Filter, Locs_RCC

    assert Locs_RCC.name() == "Locs_RCC"
    assert Image_Pre_Clip_Filter.name() == "Image_Pre_Clip&Filter"
    with pytest.raises(AttributeError):
        recipes_modules.Nothing  # noqa: B018


def test_registering_imports_nothing_heavy():
    heavy = ("numpy", "traits", "scipy", "numba", "h5py", "tifffile", "matplotlib", "networkx")
    code = f"import recipes_modules, sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
