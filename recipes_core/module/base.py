"""The base class of all modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, ClassVar, Self

from traits.api import HasStrictTraits

from recipes_core.data.history import DataObject, History, HistoryEntry
from recipes_core.data.table import Table
from recipes_core.errors import DataError, ExecutionError, UsageError, did_you_mean
from recipes_core.module.context import Context
from recipes_core.ports import Input, Output, Parameter, Port

Columns = tuple[str, ...] | None


class ModuleBase(HasStrictTraits):
    """One step of a recipe: declares inputs, outputs and parameters, and computes the ones from the others.

    A subclass declares `Input`, `Output` and parameter types of `recipes_core.ports` as class attributes and implements
    `run`. The first line of its docstring is its summary in lists.

    Attributes
    ----------
    version : int
        Raise it when the same inputs and parameters give another result than before.
    uses_seed : bool
        True where `run` draws random numbers from ``ctx.rng``.
    module_name : str
        Name in recipes where it differs from the class's.
    spreads : bool
        True where `run` spends its time in ``ctx.map`` over large items: an executor then takes these rather than the step.

    Examples
    --------
    >>> class Shift(ModuleBase):
    ...     '''Moves localizations along x.'''
    ...     input_localizations = Input(Localizations, "Localizations", requires=("x",))
    ...     output_localizations = Output(Localizations, "shifted", like="input_localizations")
    ...     by = Float(0.0, unit="nm", desc="distance")
    ...     def run(self, ctx, input_localizations):
    ...         return input_localizations.with_columns({"x": input_localizations["x"] + self.by})
    """

    version: ClassVar[int] = 1
    uses_seed: ClassVar[bool] = False
    module_name: ClassVar[str] = ""
    spreads: ClassVar[bool] = False

    # -- what is declared ------------------------------------------------------------------------------------------------

    @classmethod
    def name(cls) -> str:
        """Short name in recipes."""
        return cls.__dict__.get("module_name") or cls.__name__

    @classmethod
    def inputs(cls) -> dict[str, Input]:
        """Input ports in the order of declaration."""
        return _declared(cls, Input)

    @classmethod
    def outputs(cls) -> dict[str, Output]:
        """Output ports in the order of declaration."""
        return _declared(cls, Output)

    @classmethod
    def parameters(cls) -> dict[str, Parameter]:
        """Parameters in the order of declaration."""
        return _declared(cls, Parameter)

    @classmethod
    def declared(cls) -> dict[str, Port | Parameter]:
        """Everything that a recipe may write for this module."""
        return {**cls.inputs(), **cls.outputs(), **cls.parameters()}

    @classmethod
    def summary(cls) -> str:
        """First line of the docstring."""
        lines = (cls.__dict__.get("__doc__") or "").strip().splitlines()
        return lines[0] if lines else ""

    # -- what is set -----------------------------------------------------------------------------------------------------

    def input_keys(self) -> dict[str, Any]:
        """Port -> key, or tuple of keys for ports that take many."""
        return {port: getattr(self, port) for port in self.inputs()}

    def output_keys(self) -> dict[str, str]:
        """Port -> key."""
        return {port: getattr(self, port) for port in self.outputs()}

    def parameter_values(self) -> dict[str, Any]:
        """Parameter -> value, defaults included."""
        return {name: getattr(self, name) for name in self.parameters()}

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        # Not a traits notification: those swallow the errors of the run that a change may set off.
        changed = self.__dict__.get("_changed")
        if changed is not None and name in type(self).declared():
            changed(self, (name,))

    def trait_set(self, trait_change_notify: bool = True, **traits: Any) -> Self:
        """Set several values as one change; where one is refused, none is set."""
        changed = self.__dict__.get("_changed")
        before = {name: getattr(self, name) for name in traits if name in type(self).declared()}
        self.__dict__["_changed"] = None
        try:
            super().trait_set(trait_change_notify, **traits)
        except BaseException:
            super().trait_set(False, **before)
            raise
        finally:
            self.__dict__["_changed"] = changed
        if changed is not None and before:
            changed(self, tuple(before))
        return self

    def watch(self, changed: Callable[[ModuleBase, tuple[str, ...]], None] | None) -> None:
        """Have `changed(module, names)` called after each assignment; None ends it. The recipe uses this."""
        self.__dict__["_changed"] = changed

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()  # type: ignore[assignment]
        return {name: value for name, value in state.items() if name != "_changed"}

    # -- what subclasses may say -----------------------------------------------------------------------------------------

    def check(self) -> Iterator[str]:
        """Faults that no single parameter shows; each a sentence. Called before anything runs."""
        return iter(())

    def required_columns(self, port: str) -> tuple[str, ...]:
        """Columns that the table at an input must have, with the parameters as they are."""
        return self.inputs()[port].requires

    def output_columns(self, port: str, known: Mapping[str, Columns]) -> Columns:
        """Columns of the table at an output, or None where they are not known before the run.

        Parameters
        ----------
        known : mapping
            Input port -> its columns, None where they are not known.
        """
        declared = self.outputs()[port]
        if declared.columns:
            return declared.columns
        origin = known.get(declared.like) if declared.like else None
        return None if origin is None else tuple(dict.fromkeys((*origin, *declared.adds)))

    def run(self, ctx: Context, **inputs: Any) -> Any:
        """Compute the outputs: one object, or a mapping from output port to object.

        Must be pure: the same inputs, parameters and seed give the same bytes, whatever the number of threads. Inputs arrive
        read-only; an optional input that is not connected is None.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement run")

    # -- use without a recipe --------------------------------------------------------------------------------------------

    def apply(self, *args: Any, seed: int = 0, ctx: Context | None = None, **inputs: Any) -> dict[str, Any]:
        """Run this one module on objects.

        Parameters
        ----------
        *args, **inputs
            Objects for the input ports, in their order or by name.
        seed : int
            Seed of the random numbers.

        Returns
        -------
        dict
            Output port -> object.
        """
        ports = list(self.inputs())
        if len(args) > len(ports):
            raise UsageError(f"{self.name()} has {len(ports)} inputs, not {len(args)}")
        given = {**dict(zip(ports, args, strict=False)), **inputs}
        for port in given:
            if port not in ports:
                raise UsageError(f"{self.name()} has no input '{port}'.", hint=did_you_mean(port, ports, what="its inputs"))
        faults = list(self.check())
        if faults:
            raise UsageError(f"{self.name()}: " + "; ".join(faults))
        regular = [port for port, declared in self.outputs().items() if not declared.on_demand]
        context = ctx or Context(self.name(), seed=seed, wanted=regular)
        return run_module(self, context, given)


@cache
def _declared(cls: type[ModuleBase], kind: type[Any]) -> dict[str, Any]:
    found = {}
    for name, trait in cls.class_traits().items():
        if isinstance(trait.trait_type, kind):
            found[name] = trait.trait_type
    return dict(sorted(found.items(), key=lambda item: item[1].order))


def run_module(module: ModuleBase, ctx: Context, given: Mapping[str, Any]) -> dict[str, Any]:
    """Check the inputs, run a module, check and label its outputs.

    Raises
    ------
    DataError
        Where an input is missing, of a wrong type or lacks a column.
    ExecutionError
        Where the module breaks its own declaration.
    """
    inputs = {port: _checked_input(module, port, given.get(port)) for port in module.inputs()}
    made = _by_port(module, module.run(ctx, **inputs), ctx)
    taken = [value if isinstance(value, list) else [value] for value in inputs.values()]
    sources = [source for values in taken for source in values if source is not None]
    entry = HistoryEntry(
        step=ctx.step,
        module=module.name(),
        version=module.version,
        parameters={name: value for name, value in module.parameter_values().items() if module.parameters()[name].affects_result},
        inputs={port: key for port, key in module.input_keys().items() if given.get(port) is not None},
        outputs={port: key for port, key in module.output_keys().items() if port in made},
        seed=ctx.seed if module.uses_seed else None,
    )
    history = History([entry], [source.history for source in sources])
    inherited = sources[0].metadata if sources else {}
    return {
        port: value.with_provenance(metadata={**inherited, **value.metadata}, history=history) for port, value in made.items()
    }


def _checked_input(module: ModuleBase, port: str, value: Any) -> Any:
    declared = module.inputs()[port]
    if declared.many:
        return [_checked_object(module, port, item) for item in value or ()]
    if value is None:
        if not declared.optional:
            raise DataError(f"{module.name()} needs its input '{port}'", code="D110")
        return None
    return _checked_object(module, port, value)


def _checked_object(module: ModuleBase, port: str, value: Any) -> Any:
    wanted = module.inputs()[port].data_type
    if not isinstance(value, wanted):
        raise DataError(f"input '{port}' of {module.name()} takes {wanted.__name__}, not {type(value).__name__}", code="D120")
    if isinstance(value, Table):
        value.require(*module.required_columns(port))
    return value.read_only()


def _by_port(module: ModuleBase, result: Any, ctx: Context) -> dict[str, Any]:
    ports = module.outputs()
    regular = [port for port, declared in ports.items() if not declared.on_demand]
    if not isinstance(result, Mapping) or isinstance(result, DataObject):
        result = {regular[0]: result} if len(regular) == 1 else {None: result}
    for port, value in result.items():
        if port not in ports or not isinstance(value, ports[port].data_type):
            raise ExecutionError(f"{module.name()} returned {type(value).__name__} for an output '{port}'", code="X110")
    missing = [port for port in regular if port not in result and ctx.wanted(port)]
    if missing:
        raise ExecutionError(f"{module.name()} did not return its output '{missing[0]}'", code="X111")
    return dict(result)
