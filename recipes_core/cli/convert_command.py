"""``recipe convert IN OUT``: data files; recipes in `convert_recipe`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from recipes_core.cli import convert_recipe, faults

RECIPES = (".yaml", ".yml")


@click.command("convert", short_help="Convert a data file to another format, or a recipe to the full form.")
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT")
@click.option(
    "-m", "--metadata", multiple=True, metavar="KEY=VALUE", help="Metadata that the file lacks, such as voxelsize.x=0.1 (um)."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else.")
@click.option("-v", "--verbose", is_flag=True, help="Show where an error comes from.")
def command(source: str, target: str, metadata: tuple[str, ...], as_json: bool, verbose: bool) -> None:
    """Convert the table, images or drift in IN to the format that the ending of OUT says, or a recipe to the full form.

    IN may have options behind its name: 'in.hdf?table=NAME', 'in.csv?pixel_size=100'. Endings of OUT: .hdf (PYME), .csv (PYME),
    .hdf5 (Picasso), .ts.csv (ThunderSTORM), .deepstorm.csv, .decode.h5, .decode.csv, _sml.mat (SMAP), .challenge.csv, .smlm, .parquet; .ome.tif,
    .h5 and .raw for images; .npz, .csv and .txt for drifts.

    A recipe (OLD.yaml NEW.yaml) in PYME's form becomes one in the full form that makes the same results; comments tell which names
    have changed.
    """
    with faults.reported(as_json=as_json, verbose=verbose):
        if _is_recipe(source, target, metadata):
            convert_recipe.convert(source, Path(target), as_json=as_json)
            return
        done = _convert(source, Path(target), _values(metadata))
        if as_json:
            faults.print_json(faults.document(0, outputs={"result": done["path"]}, **done))
        else:
            _show(source, done)


def _is_recipe(source: str, target: str, metadata: tuple[str, ...]) -> bool:
    from recipes_core.errors import UsageError

    told = Path(target).suffix.lower() in RECIPES
    if not told and Path(source).suffix.lower() not in RECIPES:
        return False
    if not told or Path(source).suffix.lower() not in (*RECIPES, ".json") or metadata:
        raise UsageError(
            f"{source} -> {target}: a recipe is converted to a recipe, without -m, and data to data.",
            code="U162",
            hint="For example: recipe convert old.yaml new.yaml",
        )
    return True


def _values(metadata: tuple[str, ...]) -> dict[str, Any]:
    from recipes_core.errors import UsageError
    from recipes_core.language import parse_value

    found = {}
    for text in metadata:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"-m {text}: write -m KEY=VALUE", code="U130")
        found[key.strip()] = parse_value(value, f"-m {text}")
    return found


def _convert(source: str, target: Path, metadata: dict[str, Any]) -> dict[str, Any]:
    from recipes_core import io

    content = io.open_file(source, **_reader_options(source, metadata))
    dataset = _chosen(content, target)
    io.check_writable_as(dataset.kind, target)
    obj = dataset.load()
    if metadata:
        obj = obj.with_provenance(metadata={**obj.metadata, **metadata})
    path = io.save(obj, target)
    notes = [*content.notes, *_lost(obj, target)]
    return {"path": str(path), "format": content.format, "type": dataset.kind.__name__, "summary": obj.summary(), "notes": notes}


def _reader_options(source: str, metadata: dict[str, Any]) -> dict[str, Any]:
    """The pixel size also helps to read files that count in pixels or from the corner of one."""
    from recipes_core.io.opening import split_query, takes_option

    size = metadata.get("voxelsize.x")
    place, given = split_query(source)
    if "pixel_size" in given or not isinstance(size, (int, float)) or not size > 0 or not takes_option(place, "pixel_size"):
        return {}
    return {"pixel_size": size * 1000}


def _chosen(content: Any, target: Path) -> Any:
    """What is converted: the only thing that fits the ending, or `Localizations` where other tables stand beside them."""
    from recipes_core import io
    from recipes_core.errors import DataError, UsageError

    fitting, refused = [], None
    for dataset in content.datasets:
        try:
            io.check_writable_as(dataset.kind, target)
        except UsageError as error:
            refused = error
        else:
            fitting.append(dataset)
    named = [dataset for dataset in fitting if dataset.name == "Localizations"]
    if len(fitting) > 1 and named:
        return named[0]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise refused or DataError(f"{content.path} holds nothing that can be converted.", code="D130")
    names = ", ".join(dataset.name for dataset in fitting)
    raise DataError(
        f"{content.path} holds several: {names}.", code="D132", hint=f"Select one: '{content.path.name}?table={fitting[0].name}'"
    )


def _lost(obj: Any, target: Path) -> list[str]:
    """Columns that the format of the target has no place for."""
    from recipes_core import io
    from recipes_core.data import Table

    if not isinstance(obj, Table):
        return []
    kept = io.describe_columns(target)
    missing = [name for name in obj.columns if name not in kept]
    return [f"not in the new file: {', '.join(missing)}"] if missing else []


def _show(source: str, done: dict[str, Any]) -> None:
    for note in done["notes"]:
        click.echo(f"note: {note}", err=True)
    click.echo(f"{source} ({done['format']}, {done['summary']}) -> {done['path']}")
