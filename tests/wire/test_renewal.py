"""A recorded request is asked for again, with changes and without accidents."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace

import pytest

from daemon.core.job import Job
from daemon.core.jobs import Asked, PanelSpec
from daemon.core.policy import Policy
from daemon.wire.job_file import read_job_file
from daemon.wire.renewal import Changes, loras_of, renewed, value_of
from tests.core.asking import TRAIN
from tests.examples import PANEL, job

PAGE = """\
kind = "panel" # in the rain
prompt = "spyke, leaping"
checkpoint = "a.safetensors"
vae = "v.safetensors"
[[lora]]
name = "spyke_v1"
strength = 0.7
[[lora]]
name = "ink.safetensors"
[controlnet]
model = "openpose.safetensors"
image = "poses/a.png"
end = 0.8
"""
NO_LORAS: Mapping[str, str] = {}
NOTHING: Mapping[str, object] = {}


def page(request: str = PAGE, spec: PanelSpec = PANEL) -> Job:
    return job("ch01_p003", spec=spec)._replace(request=request)


def again(
    old: Job,
    values: Mapping[str, object] = NOTHING,
    *,
    loras: Mapping[str, str] = NO_LORAS,
) -> dict[str, object]:
    data = renewed(old, Changes(loras, values))
    return tomllib.loads(data.decode())


def asked(old: Job) -> Asked:
    answer = read_job_file(renewed(old, Changes({}, {})), stem="elsewhere", policy=Policy())
    assert isinstance(answer, Asked), answer
    return answer


def test_unchanged_it_is_the_same_job_to_be_run_again() -> None:
    renewal = asked(page())
    assert (renewal.name, renewal.kind, renewal.rerun) == ("ch01_p003", "panel", True)
    assert isinstance(renewal.spec, PanelSpec)
    assert renewal.spec.prompt == "spyke, leaping"
    assert renewal.spec.controlnet is not None
    assert renewal.spec.controlnet.end == 0.8


def test_derived_seeds_are_written_down_so_that_pages_can_be_compared() -> None:
    table = again(page(), loras={"spyke_v1": "spyke_v2"})
    assert table["seeds"] == [421, 422]
    one = replace(PANEL, seeds=(7,), variations=1)
    assert again(page(f"variations = 1\n{PAGE}", one))["seed"] == 7
    assert "variations" not in again(page(f"variations = 1\n{PAGE}", one))


@pytest.mark.parametrize(("key", "value"), [("seed", 9), ("seeds", [8, 9]), ("variations", 4)])
def test_seeds_that_are_set_replace_the_recorded_ones(key: str, value: object) -> None:
    table = again(page(f"seeds = [421, 422]\n{PAGE}"), {key: value})
    assert {way: table[way] for way in ("seed", "seeds", "variations") if way in table} == {
        key: value
    }


def test_a_lora_is_replaced_and_the_others_stay() -> None:
    table = again(page(), loras={"spyke_v1": "spyke_v2"})
    assert table["lora"] == [{"name": "spyke_v2", "strength": 0.7}, {"name": "ink.safetensors"}]
    assert loras_of(page()) == ["spyke_v1", "ink.safetensors"]


@pytest.mark.parametrize("request_", [PAGE, f"rerun = false\n{PAGE}"])
def test_it_is_run_though_the_same_was_asked_for(request_: str) -> None:
    assert again(page(request_), {"steps": 30})["rerun"] is True


def test_a_key_in_a_table_is_set_there_and_in_each_of_a_list() -> None:
    table = again(page(), {"controlnet.strength": 0.5, "lora.strength": 0.6})
    assert table["controlnet"] == {
        "model": "openpose.safetensors",
        "image": "poses/a.png",
        "end": 0.8,
        "strength": 0.5,
    }
    rows = table["lora"]
    assert isinstance(rows, list)
    assert [row["strength"] for row in rows] == [0.6, 0.6]
    assert again(page(), {"lora": []})["lora"] == []


def test_the_mark_of_a_whole_file_is_no_part_of_what_is_asked_again() -> None:
    table = again(page(f"{PAGE}end = true\n".replace("end = 0.8\n", "")))
    assert table["controlnet"] == {"model": "openpose.safetensors", "image": "poses/a.png"}
    assert "end" not in again(page(f"end = true\n{PAGE}"))


def test_a_training_is_asked_for_again_by_its_own_name_and_seed() -> None:
    old = job("spyke")._replace(kind="train", spec=TRAIN, request='kind = "train"\nseed = 3\n')
    asked_for = {"kind": "train", "lora": "spyke", "seed": 3, "steps": 900, "rerun": True}
    assert again(old, {"steps": 900}) == asked_for


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("30", 30),
        ("0.7", 0.7),
        ("off", "off"),
        ("true", True),
        ('"30"', "30"),
        ("[1, 2]", [1, 2]),
        ("white cloak, rain", "white cloak, rain"),
        ('1\nkind = "pause"', '1\nkind = "pause"'),
    ],
)
def test_a_value_is_toml_and_a_bare_word_is_a_text(text: str, value: object) -> None:
    assert value_of(text) == value
