"""The YAML of `data.yaml`, against PyYAML."""

from __future__ import annotations

import contextlib
import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fewer.core.errors import DataError
from fewer.data.annotations.simple_yaml import parsed

TEXTS = [
    "train: images/train\nval: ../valid/images # comment\n",
    "names: [a, 'b c', \"d, e\", 5]\n",
    "names: ['it''s', \"a \\\"b\\\" \\u00e9\"]\n",
    "names:\n- a\n- b\nnc: 2\n",
    "names:\n  - a\n  - 'b: c'\nnc: 2\n",
    "names:\n  0: person\n  1: traffic light\n  2: 'a#b'  # c\n",
    "names: {0: a, 1: b c}\n",
    "names: [\n  a,\n  b\n]\nnc: 2\n",
    "---\n\n# all\npath: ../datasets/coco8 # dataset root\ntrain: images/train\ntest:\n",
    "roboflow:\n  workspace: me\n  version: 1\n  url: https://a.b/c\n",
    "names: ['0', 1, -2]\r\nnc: 3\r\n",
]


@pytest.mark.parametrize("text", TEXTS)
def test_what_tools_write_is_read_as_pyyaml_reads_it(text: str) -> None:
    wanted = {key: value for key, value in yaml.safe_load(text).items() if value is not None}
    assert parsed(text, "x") == wanted


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4))
def test_names_in_double_quotes_come_back(names: list[str]) -> None:
    text = "names:\n" + "".join(f"  {at}: {json.dumps(name)}\n" for at, name in enumerate(names)) + "nc: 1 # x\n"
    assert parsed(text, "x") == {"names": dict(enumerate(names)), "nc": 1}
    assert parsed(f"names: {json.dumps(names)}\n", "x") == {"names": names}


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(DataError):
        assert isinstance(parsed(text, "x"), dict)


def test_tags_and_anchors_are_nothing_but_text() -> None:
    assert parsed("a: !!python/name:os.system\nb: &x 1\nc: *x\n", "x") == {
        "a": "!!python/name:os.system", "b": "&x 1", "c": "*x",
    }  # fmt: skip


@pytest.mark.parametrize("items", ["    - nose\n    - eye\n", "  - nose\n  - eye\n", "    a: {b: c}\n"])
def test_deeper_levels_and_texts_of_several_lines_are_left_out(items: str) -> None:
    text = f"kpt_shape: [17, 3] # x\nkpt_names:\n  0:\n{items}  1: x\ndownload: |\n  a = b: [\n  # c\n\n    d\nnc: 2\n"
    assert yaml.safe_load(text)["nc"] == 2
    assert parsed(text, "x") == {"kpt_shape": [17, 3], "kpt_names": {0: "", 1: "x"}, "nc": 2}
