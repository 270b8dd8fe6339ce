"""Templates: what a maker may get wrong, and the sentence that she gets for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.craft.template import read_template
from daemon.errors import AskerError

WORKFLOWS = Path(__file__).parents[2] / "workflows"
GRAPH = (WORKFLOWS / "panel.json").read_text()
SLOTS = (WORKFLOWS / "panel.slots.toml").read_text()


def slot(**keys: object) -> str:
    """One ``[[slot]]`` table; JSON's texts, numbers and lists are TOML's too."""
    return "[[slot]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())


def without(field: str) -> str:
    """The panel's slots file less one slot."""
    head, *tables = SLOTS.split("[[slot]]")
    kept = [table for table in tables if f'field = "{field}"\n' not in table]
    return head + "".join(f"[[slot]]{table}" for table in kept)


@pytest.mark.parametrize("name", ["panel", "blank", "canny"])
def test_the_templates_that_we_ship_can_be_read(name: str) -> None:
    """M1.1: the panel template has a VAE of its own."""
    graph = (WORKFLOWS / f"{name}.json").read_text()
    template = read_template(graph, (WORKFLOWS / f"{name}.slots.toml").read_text())
    assert template.nodes[template.save_node]["class_type"] == "SaveImage"


@pytest.mark.parametrize(
    ("slots", "said"),
    [
        (SLOTS + slot(field="mood", kind="string"), "field 'mood' is unknown; known are prompt,"),
        (without("cfg") + slot(field="cfg", kind="int"), "cfg is of kind 'float', not 'int'"),
        (
            without("cfg") + slot(field="cfg", kind="float", node="70", input="cfg"),
            "the graph has no node '70'",
        ),
        (
            without("cfg") + slot(field="cfg", kind="float", node=7, input="cfg"),
            "the graph has no node 7 (ids are texts)",
        ),
        (
            without("cfg") + slot(field="cfg", kind="float", node="7", input="config"),
            "node 7 has no input 'config'; it has model, positive,",
        ),
        (
            without("cfg") + slot(field="cfg", kind="float", node="7", input="model"),
            "input 'model' of node 7 is a link, not a value",
        ),
        (
            without("cfg") + slot(field="cfg", kind="float", node="7", input="steps"),
            "input 'steps' of node 7 has a slot already",
        ),
        (
            without("cfg") + slot(field="cfg", kind="float", node="7", input="cfg", max=3),
            "unknown key 'max'; it takes input, node",
        ),
        (
            without("vae") + slot(field="vae", kind="model", node="2", input="vae_name"),
            "its role is 'vae'",
        ),
        (
            without("seed") + slot(field="seed", kind="seed", node="7", input="seed", below="many"),
            "below is a whole number",
        ),
        (
            without("loras") + slot(field="loras", kind="lora_chain", model="1", clip=["1", 1]),
            'model is an output such as ["1", 0]',
        ),
        (
            without("loras")
            + slot(field="loras", kind="lora_chain", model=["99", 0], clip=["1", 1]),
            "model names node '99', which is not there",
        ),
        (
            without("loras")
            + slot(field="loras", kind="lora_chain", model=["1", 2], clip=["1", 1]),
            "nothing in the graph takes model",
        ),
        (
            SLOTS + slot(field="loras", kind="lora_chain", model=["1", 0], clip=["1", 1]),
            "only one such slot can be",
        ),
        (without("negative"), "Negative has no slot; give it one, or name it under ignores."),
        ('ignores = ["cfg"]\n' + SLOTS, "Cfg has a slot and stands under ignores."),
        ('ignores = ["cgf"]\n' + SLOTS, "Ignores names 'cgf', no field."),
        ("ignores = 7\n" + SLOTS, "Ignores is a list of fields."),
        ("slots = 1\n" + SLOTS, "unknown key 'slots'"),
        ("[slot]\nfield = 1", "Slots are written as [[slot]]"),
        ("[[slot", "The slots file is no TOML"),
        ("#" * 70_000, "larger than 65536 bytes"),
    ],
)
def test_a_mistake_in_a_slots_file_is_answered_with_a_sentence(slots: str, said: str) -> None:
    with pytest.raises(AskerError) as caught:
        read_template(GRAPH, slots)
    assert said in str(caught.value)


def test_all_mistakes_are_told_at_once() -> None:
    slots = without("cfg") + slot(field="mood", kind="x") + slot(field="cfg", kind="int")
    with pytest.raises(AskerError) as caught:
        read_template(GRAPH, slots)
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "no JSON object with nodes"),
        ("{}", "no JSON object with nodes"),
        ('{"nodes": [], "links": []}', "choose Workflow > Export (API)"),
        ('{"1": {"inputs": {}}}', "Node '1' of the graph lacks class_type"),
        ('{"1": {"class_type": "A", "inputs": []}}', "lacks class_type or inputs"),
        ('{"1": {"class_type": "A", "inputs": {"a": NaN}}}', "no number"),
        (GRAPH.replace('"SaveImage"', '"PreviewImage"'), "0 SaveImage nodes"),
        (
            GRAPH.replace('"9": {', '"10": {"class_type": "SaveImage", "inputs": {}}, "9": {'),
            "2 SaveImage nodes",
        ),
        (" " * 2_000_000, "larger than"),
    ],
)
def test_a_graph_that_is_none_is_answered_with_a_sentence(graph: str, said: str) -> None:
    with pytest.raises(AskerError) as caught:
        read_template(graph, SLOTS)
    assert said in str(caught.value)


@given(graph=st.text() | st.just(GRAPH), slots=st.text() | st.just(SLOTS))
def test_no_text_makes_the_reader_fall_over(graph: str, slots: str) -> None:
    try:
        read_template(graph, slots)
    except AskerError:
        assert (graph, slots) != (GRAPH, SLOTS)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(value=json_values, key=st.sampled_from(["field", "kind", "node", "input", "model", "clip"]))
def test_no_value_in_a_slot_makes_the_reader_fall_over(value: object, key: str) -> None:
    table = {"field": "loras", "kind": "lora_chain", "model": ["1", 0], "clip": ["1", 1]}
    try:
        text = without("loras") + slot(**{**table, key: value})
        read_template(GRAPH, text)
    except AskerError:
        pass
