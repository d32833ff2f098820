"""A check that LightGBM's text of a model is whole; LightGBM's own loader crashes the process on many damaged texts.

The grammar is strict. Only text that LightGBM writes for numerical splits and constant leaves passes, line by line.
Every array must have its exact length, and all counts must agree. So the loader meets nothing that it does not expect.
"""

from __future__ import annotations

import re

_END = "\nend of trees\n\nparameters:\nend of parameters\n\npandas_categorical:null\n"
_INTEGER = r"-?\d{1,9}"
_NUMBER = r"-?(?:\d+(?:\.\d+)?(?:e[-+]?\d+)?|inf|nan)"
_HEAD = (
    "version", "num_class", "num_tree_per_iteration", "label_index", "max_feature_idx", "objective", "feature_names",
    "feature_infos", "tree_sizes",
)  # fmt: skip
_OPTIONAL = ("objective",)  # a custom objective leaves no line
# Name of an array, its length as a function of the number of leaves, the form of an entry.
_ARRAYS = {
    "split_feature": (-1, _INTEGER),
    "split_gain": (-1, _NUMBER),
    "threshold": (-1, _NUMBER),
    "decision_type": (-1, r"0|2|4|6|8|10"),
    "left_child": (-1, _INTEGER),
    "right_child": (-1, _INTEGER),
    "leaf_value": (0, _NUMBER),
    "leaf_weight": (0, _NUMBER),
    "leaf_count": (0, r"\d{1,18}"),
    "internal_value": (-1, _NUMBER),
    "internal_weight": (-1, _NUMBER),
    "internal_count": (-1, r"\d{1,18}"),
}
_TREE = ("num_leaves", "num_cat", *_ARRAYS, "is_linear", "shrinkage")


def trees_alone(text: str) -> str:
    """Return LightGBM's text without the parts after the trees: importances, and the parameters of the fit."""
    return text.partition("\nend of trees\n")[0] + _END


def check_booster_text(text: str) -> int:
    """Return the number of features; raise ValueError unless the text is one that LightGBM can load."""
    body = text.removesuffix(_END)
    if body == text or not text.startswith("tree\n"):
        raise ValueError("the text of the trees is cut short or is not LightGBM's")
    head, *blocks = re.split(r"(?<=\n)(?=Tree=\d+\n)", body + "\n", flags=re.ASCII)
    fields = _fields(_lines(head.removeprefix("tree\n"), "\n\n"), _HEAD, _OPTIONAL)
    if (fields["num_class"], fields["num_tree_per_iteration"], fields["version"]) != ("1", "1", "v4"):
        raise ValueError("the trees must have one output, in LightGBM's format v4")
    _match(rf"|binary sigmoid:{_NUMBER}", fields.get("objective", ""))
    n_features = int(_match(_INTEGER, fields["max_feature_idx"])) + 1
    if any(len(fields[name].split(" ")) != n_features for name in ("feature_names", "feature_infos")):
        raise ValueError("the head is damaged: it does not have one name and one range per feature")
    for info in fields["feature_infos"].split(" "):
        _match(rf"none|\[{_NUMBER}:{_NUMBER}\]", info)
    sizes = [int(_match(r"\d{1,12}", size)) for size in fields["tree_sizes"].split(" ")]
    # The line break that ends the last block is the first character of _END; the split above puts it back.
    lengths = [len(block.encode()) for block in blocks]
    if sizes != lengths:
        raise ValueError(f"the head promises trees of {sizes[:3]}... bytes; they have {lengths[:3]}...: it is damaged")
    for number, block in enumerate(blocks):
        try:
            _check_tree(block, number, n_features)
        except (KeyError, ValueError) as error:
            raise ValueError(f"tree {number} is damaged ({error})") from error
    return n_features


def _check_tree(block: str, number: int, n_features: int) -> None:
    first, *lines = _lines(block, "\n\n\n")
    if first != f"Tree={number}":
        raise ValueError("it is out of order")
    tree = _fields(lines, _TREE)
    leaves = int(_match(r"[1-9]\d{0,6}", tree["num_leaves"]))
    if (tree["num_cat"], tree["is_linear"]) != ("0", "0"):
        raise ValueError("it must have numerical splits and constant leaves")
    _match(_NUMBER, tree["shrinkage"])
    for name, (more, form) in _ARRAYS.items():
        entries = tree[name].split(" ") if tree[name] else []
        bare = leaves == 1 and name == "leaf_weight" and not entries  # LightGBM writes no weight for a tree of one leaf
        if len(entries) != leaves + more and not bare:
            raise ValueError(f"{name} must have {leaves + more} entries")
        for entry in entries:
            _match(form, entry)
    if leaves > 1:
        _check_shape(tree, leaves, n_features)


def _check_shape(tree: dict[str, str], leaves: int, n_features: int) -> None:
    if not all(0 <= feature < n_features for feature in _ints(tree["split_feature"])):
        raise ValueError("it splits on a feature that does not exist")
    left, right = _ints(tree["left_child"]), _ints(tree["right_child"])
    # Every split except the root (0), and every leaf (-1, -2, ...), is the child of exactly one split. The number of a
    # split is above that of its parent.
    if sorted(left + right) != [*range(-leaves, 0), *range(1, leaves - 1)]:
        raise ValueError("its splits and leaves do not form a tree")
    if any(0 <= child <= parent for side in (left, right) for parent, child in enumerate(side)):
        raise ValueError("its splits form a circle")


def _fields(lines: list[str], names: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, str]:
    """Read name=value lines that must have these names, in this order, each once."""
    pairs = [line.partition("=") for line in lines]
    found = [name for name, _, _ in pairs]
    if found != [name for name in names if name in found or name not in optional]:
        raise ValueError(f"its lines must be {', '.join(names)}: it is damaged")
    return {name: value for name, _, value in pairs}


def _lines(block: str, end: str) -> list[str]:
    """Split a block that ends in exactly these line breaks."""
    if block.rstrip("\n") + end != block:
        raise ValueError("its line breaks are not where they were: it is damaged")
    return block.rstrip("\n").split("\n")


def _match(form: str, text: str) -> str:
    if not re.fullmatch(form, text, flags=re.ASCII):
        raise ValueError(f"{text[:20]!r} does not have its required form: it is damaged")
    return text


def _ints(text: str) -> list[int]:
    return [int(word) for word in text.split(" ")]
