"""OME-XML: the header of OME-TIFF files, written and read."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

import numpy as np

from recipes_core.data import ImageStack
from recipes_core.errors import DataError
from recipes_core.io.records import from_json, history_to_json, to_json

NAMESPACE = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
ANNOTATION = "smlm-recipes/stack/1"
_TYPES = {
    "u1": "uint8",
    "u2": "uint16",
    "u4": "uint32",
    "i1": "int8",
    "i2": "int16",
    "i4": "int32",
    "f4": "float",
    "f8": "double",
}
_UNITS = {"nm": 1e-3, "µm": 1.0, "um": 1.0, "μm": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6, "pm": 1e-6, "Å": 1e-4}


def ome_type(dtype: np.dtype[Any]) -> str:
    """OME's name of a pixel type."""
    name = _TYPES.get(f"{dtype.kind}{dtype.itemsize}")
    if name is None:
        raise DataError(f"images of type {dtype} cannot be written as OME-TIFF.", hint=f"Possible: {', '.join(_TYPES.values())}.")
    return name


def ome_xml(stack: ImageStack, dtype: np.dtype[Any], record: Mapping[str, Any]) -> str:
    """The header of a stack: sizes, pixel size, and in an annotation metadata, time axis, history and record."""
    nt, nz, ny, nx = stack.shape
    colours = stack.n_channels
    sizes: dict[str, Any] = {"SizeX": nx, "SizeY": ny, "SizeZ": nz // colours, "SizeC": colours, "SizeT": nt}
    pixel = stack.pixel_size
    for axis, value in zip("XYZ", pixel or (), strict=False):
        if value > 0:
            sizes |= {f"PhysicalSize{axis}": repr(value), f"PhysicalSize{axis}Unit": "nm"}
    annotation = {
        "metadata": stack.metadata,
        "time": [stack.time.start, stack.time.step, stack.time.span],
        "history": from_json(history_to_json(stack.history)),
    }
    if record:
        annotation["record"] = dict(record)
    text = to_json(annotation)
    # A random identifier would make two equal stacks two different files.
    identifier = uuid.uuid5(uuid.NAMESPACE_URL, text)
    root = ElementTree.Element("OME", {"xmlns": NAMESPACE, "UUID": f"urn:uuid:{identifier}", "Creator": "smlm-recipes"})
    image = ElementTree.SubElement(root, "Image", {"ID": "Image:0"})
    pixels = ElementTree.SubElement(
        image,
        "Pixels",
        {"ID": "Pixels:0", "DimensionOrder": "XYZCT", "Type": ome_type(dtype), **{k: str(v) for k, v in sizes.items()}},
    )
    for k in range(colours):
        named = {"Name": stack.channels[k]} if stack.channels else {}
        ElementTree.SubElement(pixels, "Channel", {"ID": f"Channel:0:{k}", "SamplesPerPixel": "1", **named})
    ElementTree.SubElement(pixels, "TiffData", {"IFD": "0", "PlaneCount": str(nt * nz)})
    ElementTree.SubElement(image, "AnnotationRef", {"ID": "Annotation:0"})
    holder = ElementTree.SubElement(ElementTree.SubElement(root, "StructuredAnnotations"), "CommentAnnotation",
                                    {"ID": "Annotation:0", "Namespace": ANNOTATION})  # fmt: skip
    ElementTree.SubElement(holder, "Value").text = text  # JSON in ASCII, as TIFF asks
    body: str = ElementTree.tostring(root, encoding="us-ascii").decode()
    return '<?xml version="1.0" encoding="UTF-8"?>' + body.removeprefix("<?xml version='1.0' encoding='us-ascii'?>").lstrip()


def read_ome(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Pixel size as PYME metadata (um), and what our annotation holds; both empty where there is nothing."""
    root = _parsed(text)
    if root is None:
        return {}, {}
    pixels = next((item for item in root.iter() if item.tag.endswith("}Pixels") or item.tag == "Pixels"), None)
    size: dict[str, Any] = {}
    for axis in "XYZ" if pixels is not None else "":
        assert pixels is not None
        value = pixels.get(f"PhysicalSize{axis}")
        scale = _UNITS.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        if value is not None and scale is not None and float(value) > 0:
            size[f"voxelsize.{axis.lower()}"] = float(value) * scale
    names = [item.get("Name") for item in (pixels if pixels is not None else ()) if item.tag.endswith("Channel")]
    if len(names) > 1 and all(names):
        size["ChannelNames"] = names
    return size, _annotation(root)


def read_annotation(text: str) -> dict[str, Any]:
    """What our annotation holds: metadata, time axis, history and record; empty where there is none."""
    root = _parsed(text)
    return {} if root is None else _annotation(root)


def _parsed(text: str) -> ElementTree.Element | None:
    # OME-XML declares no types and no entities; what does is no header of an image.
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return None
    try:
        # What encoding the header declares plays no part: it may name anything.
        parser = ElementTree.XMLParser(encoding="utf-8")  # noqa: S314 - no entities
        return ElementTree.fromstring(text.encode("utf-8", "replace"), parser)  # noqa: S314
    except (ElementTree.ParseError, ValueError, RecursionError):
        return None


def _annotation(root: ElementTree.Element) -> dict[str, Any]:
    annotation: dict[str, Any] = {}
    for item in root.iter():
        if item.tag.endswith("CommentAnnotation") and item.get("Namespace") == ANNOTATION:
            found = from_json("".join(item.itertext()).strip())
            annotation = found if isinstance(found, dict) else {}
    return annotation
