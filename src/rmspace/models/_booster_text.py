"""Whether LightGBM's text of a model holds together; its own loader can crash the process where it does not."""

from __future__ import annotations

import re

_PER_LEAF = ("leaf_value",)
_PER_SPLIT = ("split_feature", "threshold", "decision_type", "left_child", "right_child")


def check_booster_text(text: str) -> None:
    """Raise ValueError unless the text is whole: head, every tree with arrays of its size, children in range, end.

    Only what rmspace writes is allowed: numerical splits and constant leaves.
    """
    head, *trees = re.split(r"^Tree=\d+\n", text.split("\nend of trees\n")[0], flags=re.MULTILINE)
    fields = _fields(head)
    if not text.startswith("tree\n") or "\nend of trees\n" not in text or "\nend of parameters\n" not in text:
        raise ValueError("the text of the trees is cut short or is not LightGBM's")
    sizes = _ints(fields.get("tree_sizes", ""))
    if len(sizes) != len(trees) or not trees:
        raise ValueError(f"the head promises {len(sizes)} trees; {len(trees)} are there")
    if fields.get("num_class") != "1" or fields.get("num_tree_per_iteration") != "1":
        raise ValueError("the trees must have one output")
    n_features = _ints(fields.get("max_feature_idx", "-1"))[0] + 1
    for number, tree in enumerate(trees):
        try:
            _check_tree(_fields(tree), n_features)
        except (KeyError, ValueError, IndexError) as error:
            raise ValueError(f"tree {number} is damaged ({error})") from error


def _check_tree(tree: dict[str, str], n_features: int) -> None:
    leaves = int(tree["num_leaves"])
    if leaves < 1 or tree["num_cat"] != "0" or tree.get("is_linear", "0") != "0":
        raise ValueError("it must have numerical splits and constant leaves")
    for names, length in ((_PER_LEAF, leaves), (_PER_SPLIT, leaves - 1)):
        for name in names:
            if len(tree[name].split()) != length:
                raise ValueError(f"{name} must have {length} entries")
    if leaves > 1 and not all(0 <= feature < n_features for feature in _ints(tree["split_feature"])):
        raise ValueError("it splits on a feature that does not exist")
    children = _ints(tree["left_child"]) + _ints(tree["right_child"])
    # Every split but the root (0) and every leaf (-1, -2, ...) is the child of exactly one split, of a smaller number.
    if leaves > 1 and sorted(children) != [*range(-leaves, 0), *range(1, leaves - 1)]:
        raise ValueError("its splits and leaves do not form a tree")
    for side in ("left_child", "right_child"):
        if any(0 <= child <= parent for parent, child in enumerate(_ints(tree[side]))):
            raise ValueError("its splits form a circle")


def _fields(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


def _ints(text: str) -> list[int]:
    return [int(word) for word in text.split()]
