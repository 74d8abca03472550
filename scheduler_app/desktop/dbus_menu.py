"""A pystray menu as com.canonical.dbusmenu describes it: numbered nodes with properties. Pure.

The interface is that of libdbusmenu (com.canonical.dbusmenu.xml), version 3: what panels of every Linux desktop draw.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from pystray import Menu, MenuItem

ROOT = 0
Variant = tuple[str, Any]
Node = tuple[int, dict[str, Variant], list[tuple[str, Any]]]
NODE = "(ia{sv}av)"


class MenuTree:
    """The nodes of the latest menu.

    An item keeps its number as long as it is there, and none is given out twice: a click on what was just replaced by
    something else finds nothing, never the something else.
    """

    def __init__(self) -> None:
        self.revision = 0
        self._numbers: dict[tuple[int, str, int], int] = {}
        self._last = ROOT
        self._nodes: dict[int, Node] = {ROOT: (ROOT, {"children-display": ("s", "submenu")}, [])}
        self._items: dict[int, MenuItem] = {}

    def show(self, menu: Menu | None) -> bool:
        """Take *menu*; tell whether it looks different from the one before."""
        before = self._nodes[ROOT]
        numbers = self._numbers
        self._numbers, self._nodes, self._items = {}, {}, {}
        self._nodes[ROOT] = (ROOT, {"children-display": ("s", "submenu")}, self._children(ROOT, menu or (), numbers))
        changed = self._nodes[ROOT] != before
        self.revision += changed
        return changed

    def node(self, number: int) -> Node:
        """Return the node; an empty one for a number that is not, or no longer, in the menu."""
        return self._nodes.get(number, (number, {}, []))

    def layout(self, number: int, depth: int, names: Sequence[str]) -> Node:
        """Return the node with *depth* levels of children (-1 is all) and the properties *names* (none is all)."""
        identity, properties, children = self.node(number)
        below = [(NODE, self.layout(child[0], depth - 1, names)) for _, child in children] if depth else []
        return identity, _chosen(properties, names), below

    def properties(self, numbers: Iterable[int], names: Sequence[str]) -> list[tuple[int, dict[str, Variant]]]:
        return [
            (number, _chosen(self._nodes[number][1], names))
            for number in (numbers or self._nodes)
            if number in self._nodes
        ]

    def item(self, number: int) -> MenuItem | None:
        """Return what can be clicked under this number."""
        item = self._items.get(number)
        return item if item is not None and item.enabled and item.submenu is None else None

    def _children(
        self, parent: int, items: Iterable[MenuItem], numbers: dict[tuple[int, str, int], int]
    ) -> list[tuple[str, Any]]:
        seen: Counter[str] = Counter()
        nodes = []
        for item in items:
            seen[item.__name__] += 1
            key = parent, item.__name__, seen[item.__name__]
            number = self._numbers[key] = numbers.get(key) or self._new_number()
            children = self._children(number, item.submenu or (), numbers)
            node = self._nodes[number] = (number, _properties(item), children)
            self._items[number] = item
            nodes.append((NODE, node))
        return nodes

    def _new_number(self) -> int:
        self._last += 1
        return self._last


def _properties(item: MenuItem) -> dict[str, Variant]:
    if item is Menu.SEPARATOR:
        return {"type": ("s", "separator")}
    # A single underscore marks the access key.
    properties: dict[str, Variant] = {"label": ("s", item.text.replace("_", "__")), "enabled": ("b", item.enabled)}
    if item.checked is not None:
        properties["toggle-type"] = ("s", "radio" if item.radio else "checkmark")
        properties["toggle-state"] = ("i", int(item.checked))
    if item.submenu is not None:
        properties["children-display"] = ("s", "submenu")
    return properties


def _chosen(properties: dict[str, Variant], names: Sequence[str]) -> dict[str, Variant]:
    return {name: value for name, value in properties.items() if not names or name in names}
