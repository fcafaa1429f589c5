"""Reads YAML into a tree of nodes: safely, with places, and with every fault that does not stop the reading.

PyYAML scans and parses; its composer is replaced, because it recurses, keeps the last of two equal keys without a word, and
follows aliases without end. No tag is honoured, so nothing but plain data can come out.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from recipes_core.language.document import Mark
from recipes_core.language.faults import Faults, shown
from recipes_core.language.nodes import Entry, Mapping, Node, Scalar, Sequence
from recipes_core.language.scalars import plain_scalar
from recipes_core.language.scanning import Places, Stop, yaml_events

MAX_BYTES = 1_000_000
MAX_DEPTH = 64
MAX_NODES = 100_000


def parse_yaml(text: str, faults: Faults) -> Node | None:
    """Read one YAML document.

    Parameters
    ----------
    text : str
    faults : Faults
        Receives what is wrong.

    Returns
    -------
    Node or None
        None where reading had to stop or there is nothing to read; `faults` then says why. Otherwise there may be faults too
        (tags, equal keys), which the tree leaves out.
    """
    if len(text) > MAX_BYTES:
        faults.add("R105", f"the recipe is longer than {MAX_BYTES:,} letters.", "A recipe holds no data: give them as inputs.")
        return None
    text = text.removeprefix("\ufeff")
    places = Places(text)
    builder = _Builder(faults, places)
    try:
        for event in yaml_events(text, places, faults):
            builder.take(event)
    except Stop:
        return None
    root = builder.root
    if root is None or (isinstance(root, Scalar) and root.value is None):
        faults.add("R107", "the recipe is empty.", "It lists modules: '- Module: {parameter: value}'.")
        return None
    return root


@dataclass
class _Open:
    """A collection that is being read."""

    node: Sequence | Mapping
    anchor: str | None
    key: Scalar | None = None


@dataclass
class _Builder:
    """Builds the tree from events, without recursion."""

    faults: Faults
    places: Places
    root: Node | None = None
    documents: int = 0
    anchors: dict[str, Node] = field(default_factory=dict)
    stack: list[_Open] = field(default_factory=list)

    def take(self, event: Event) -> None:
        """Take the next event."""
        if isinstance(event, DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                self._stop("R106", "the file holds several YAML documents.", "Put each recipe into its own file.", event)
        elif isinstance(event, (SequenceEndEvent, MappingEndEvent)):
            self._close()
        elif isinstance(event, AliasEvent):
            self._alias(event)
        elif isinstance(event, ScalarEvent):
            self._refuse_tag(event)
            scalar = self._scalar(event)
            self._remember(event.anchor, scalar)
            self._place(scalar, event)
        elif isinstance(event, (SequenceStartEvent, MappingStartEvent)):
            self._open(event)
        elif isinstance(event, DocumentEndEvent):
            self.anchors.clear()

    def _at(self, event: Event) -> Mark:
        assert event.start_mark is not None
        return self.places.at(event.start_mark.index)

    def _open(self, event: SequenceStartEvent | MappingStartEvent) -> None:
        self._refuse_tag(event)
        if len(self.stack) >= MAX_DEPTH:
            self._stop("R105", f"lists and mappings are nested more than {MAX_DEPTH} deep.", "", event)
        mark = self._at(event)
        node = Sequence(mark) if isinstance(event, SequenceStartEvent) else Mapping(mark)
        self.stack.append(_Open(node, event.anchor))

    def _close(self) -> None:
        closed = self.stack.pop()
        self._remember(closed.anchor, closed.node)
        self._place(closed.node, None)

    def _alias(self, event: AliasEvent) -> None:
        name = str(event.anchor)
        if any(item.anchor == name for item in self.stack):
            self._stop("R105", f"'*{name}' stands inside of what it names.", "Write the value out.", event)
        if name not in self.anchors:
            self._stop(
                "R101", f"this is not valid YAML: '*{name}' names nothing.", f"Mark the value with '&{name}' first.", event
            )
        self._place(self.anchors[name], event)

    def _scalar(self, event: ScalarEvent) -> Scalar:
        mark = self._at(event)
        text = _joined_surrogates(event.value)
        if text is None:
            self.faults.add("R101", "this is not valid YAML: an escape stands for half a letter.", mark=mark)
            return Scalar("", mark, faulty=True)
        if event.style is not None:
            return Scalar(text, mark)
        try:
            return Scalar(plain_scalar(text), mark)
        except ValueError as error:
            self.faults.add("R101", f"{error}: {shown(text)}.", "Quote it if it is text.", mark=mark)
            return Scalar("", mark, faulty=True)

    def _place(self, node: Node, event: Event | None) -> None:
        if not self.stack:
            self.root = node
            return
        parent = self.stack[-1]
        place = self._at(event) if event is not None else node.mark
        if isinstance(parent.node, Mapping):
            if parent.key is None:
                parent.key = self._key(node, place)
                return
            self._enter(parent.node, parent.key, node)
            parent.node.size += parent.key.size
            parent.key = None
        else:
            parent.node.items.append(node)
        parent.node.size += node.size
        # Sizes of nodes that are still open do not count the current one yet: add them up.
        if sum(item.node.size for item in self.stack) > MAX_NODES:
            self._stop("R105", f"the recipe has more than {MAX_NODES:,} values, counting aliases each time.",
                       "A recipe holds no data: give them as inputs.", event)  # fmt: skip

    def _key(self, node: Node, place: Mark) -> Scalar:
        if isinstance(node, Scalar) and isinstance(node.value, str):
            if node.value == "<<":
                self.faults.add("R108", "merge keys ('<<') are not part of the language.", "Write the values out.", mark=place)
            return Scalar(node.value, place)
        if isinstance(node, Scalar):
            self.faults.add("R109", f"a key must be text, not {shown(node.value)}.", "Quote it.", mark=place)
        else:
            self.faults.add(
                "R109", "a key must be text, not a list or mapping.", "Is a template in braces not quoted?", mark=place
            )
        return Scalar(None, place)

    def _enter(self, mapping: Mapping, key: Scalar, value: Node) -> None:
        if key.value is None or key.value == "<<":
            return  # noted above
        first = mapping.get(key.value)
        if first is not None:
            message = f"the key '{key.value}' stands here twice; first in line {first.mark.line}."
            self.faults.add("R104", message, "Remove one of them.", mark=key.mark)
            return
        mapping.entries[key.value] = Entry(key.value, key.mark, value)

    def _remember(self, anchor: str | None, node: Node) -> None:
        if anchor is not None:
            self.anchors[anchor] = node

    def _refuse_tag(self, event: NodeEvent) -> None:
        tag = getattr(event, "tag", None)
        if tag is not None:
            written = tag.replace("tag:yaml.org,2002:", "!!")
            self.faults.add("R103", f"YAML tags such as {shown(written)} are not allowed.", "Remove it.", mark=self._at(event))

    def _stop(self, code: str, message: str, hint: str, event: Event | None) -> None:
        mark = self._at(event) if event is not None else self.stack[-1].node.mark
        self.faults.add(code, message, hint, mark=mark)
        raise Stop


def _joined_surrogates(text: str) -> str | None:
    """Text whose JSON escapes beyond U+FFFF are joined; None where a half is alone."""
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        return None
