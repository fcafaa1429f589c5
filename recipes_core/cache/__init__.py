"""The content-addressed cache: results under keys that follow from how they are made."""

from recipes_core.cache.canonical import canonical_json, digest_of
from recipes_core.cache.digests import FileDigests, Stamp
from recipes_core.cache.frames import NpyFrames
from recipes_core.cache.layout import default_root
from recipes_core.cache.manifest import Manifest
from recipes_core.cache.payload import payload_digest
from recipes_core.cache.store import Cache, Entry, block_key

__all__ = [
    "Cache",
    "Entry",
    "FileDigests",
    "Manifest",
    "NpyFrames",
    "Stamp",
    "block_key",
    "canonical_json",
    "default_root",
    "digest_of",
    "payload_digest",
]
