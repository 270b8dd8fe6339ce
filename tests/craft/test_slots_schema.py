"""The schema of slots files cannot drift from what the reader takes."""

from __future__ import annotations

import tomllib

import pytest

from daemon.craft.nodes import read_nodes
from daemon.craft.slots import FIELDS, KEYS, read_slots
from daemon.errors import AskerError
from tests.craft import slots_schema
from tests.craft.slots_schema import PATH

TEMPLATES = sorted(path.name for path in PATH.parent.glob("*.slots.toml"))


def test_the_schema_is_what_the_reader_s_tables_say() -> None:
    """`python -m tests.craft.slots_schema` writes it anew."""
    assert PATH.read_text(encoding="utf-8") == slots_schema.text()


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_names_the_schema_and_says_nothing_that_it_does_not_know(name: str) -> None:
    slots = PATH.with_name(name).read_text(encoding="utf-8")
    assert slots.startswith("#:schema ./slots.schema.json\n")
    document, known = tomllib.loads(slots), slots_schema.schema()["properties"]
    assert isinstance(known, dict)
    assert set(document) <= set(known)
    kinds = {each["title"]: each for each in known["slot"]["items"]["oneOf"]}
    for slot in document["slot"]:
        wanted = kinds[slot["field"]]
        assert set(wanted["required"]) <= set(slot) <= set(wanted["properties"])


@pytest.mark.parametrize("field", FIELDS)
def test_a_slot_with_a_key_that_the_schema_does_not_know_is_refused(field: str) -> None:
    kind = FIELDS[field]
    nodes = read_nodes('{"1": {"class_type": "SaveImage", "inputs": {}}}')
    text = f'[[slot]]\nfield = "{field}"\nkind = "{kind}"\nodd = 1\n'
    with pytest.raises(AskerError, match="unknown key 'odd'; it takes") as caught:
        read_slots(text, nodes)
    needed, may = KEYS[kind]
    assert f"it takes {', '.join(sorted(needed | may))}." in str(caught.value)
