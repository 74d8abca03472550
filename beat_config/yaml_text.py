"""Reading YAML as people mean it: plain data, without aliases, and without YAML 1.1's surprises.

In YAML 1.1, `no` is false and `12:30` is 750; here true and false are the only switches and numbers are decimal, as in
YAML 1.2. Aliases are refused: nine lines of them can stand for billions of values.
"""

import re
from collections import Counter
from typing import Any

import yaml

_TAGS = {
    "tag:yaml.org,2002:bool": (re.compile(r"^(?:true|false)$"), "tf"),
    "tag:yaml.org,2002:int": (re.compile(r"^[-+]?(?:0|[1-9][0-9]{0,400})$"), "-+0123456789"),
    "tag:yaml.org,2002:float": (
        re.compile(r"^[-+]?(?:[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?|\.(?:inf|nan))$"),
        "-+.0123456789",
    ),
    "tag:yaml.org,2002:null": (re.compile(r"^(?:~|null|)$"), ["~", "n", ""]),
    "tag:yaml.org,2002:timestamp": (
        re.compile(
            r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
            r"(?:[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[-+][0-9]{2}:[0-9]{2})?)?$"
        ),
        "0123456789",
    ),
}


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it uses an alias (*name), which is not read: write out what it stands for")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        names: Counter[str] = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        if twice := next((name for name, count in names.items() if count > 1), None):
            raise yaml.YAMLError(f"{twice} is there twice (line {node.start_mark.line + 1} and below)")
        return super().construct_mapping(node, deep)


for _tag, (_pattern, _first) in _TAGS.items():
    _Loader.add_implicit_resolver(_tag, _pattern, list(_first))


def load(text: str) -> Any:
    """Return what *text* says; raise ValueError with the reason when it cannot be read."""
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader with less
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(" ".join(str(error).split())) from None
