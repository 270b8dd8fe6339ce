"""A job file becomes what is asked for, or sentences that a tired person can act on."""

from __future__ import annotations

import tomllib
from collections import Counter

import pytest

from daemon.core.jobs import (
    Asked,
    Complaint,
    Control,
    ControlNetUse,
    Grid,
    LoraUse,
    PanelSpec,
    Regularization,
    TrainSpec,
)
from daemon.core.policy import Policy
from daemon.craft.samplers import SAMPLERS, SCHEDULERS, noise_of
from daemon.wire.job_file import Refused, read_job_file
from tests.wire.bad_job_files import ALL, NET, PANEL, TRAIN, Bad

POLICY = Policy()
VAE = "vae-ft-mse-840000-ema-pruned.safetensors"


def read(data: bytes | str, *, stem: str = "ch01_p003") -> Asked | Control | Refused:
    return read_job_file(data.encode() if isinstance(data, str) else data, stem=stem, policy=POLICY)


def asked(text: str, *, stem: str = "ch01_p003") -> Asked:
    found = read(text, stem=stem)
    assert isinstance(found, Asked), found
    return found


def panel(text: str) -> PanelSpec:
    spec = asked(text).spec
    assert isinstance(spec, PanelSpec)
    return spec


def train(text: str) -> TrainSpec:
    spec = asked(text, stem="spyke").spec
    assert isinstance(spec, TrainSpec)
    return spec


def errors(data: bytes | str, *, stem: str = "ch01_p003") -> tuple[Complaint, ...]:
    found = read(data, stem=stem)
    assert isinstance(found, Refused), found
    return found.errors


@pytest.mark.parametrize("bad", ALL, ids=lambda bad: bad.name)
def test_a_bad_file_is_answered_with_line_key_reason_and_remedy(bad: Bad) -> None:
    """A2.1, A2.2, A2.5, K1.2, K2.1, K2.2, M1.1, M1.2, M4.1: each has its files in the table."""
    found = errors(bad.data, stem=bad.stem)
    here = [error.text for error in found if (error.line, error.key) == (bad.line, bad.key)]
    assert here, found
    missing = [word for word in bad.words if not any(word in text for text in here)]
    assert not missing, here


@pytest.mark.parametrize("bad", ALL, ids=lambda bad: bad.name)
def test_no_mistake_is_told_twice_and_no_sentence_is_raw(bad: Bad) -> None:
    found = errors(bad.data, stem=bad.stem)
    assert not [text for text, count in Counter(e.text for e in found).items() if count > 1]
    for error in found:
        assert error.text.isprintable()
        assert len(error.text) < 600
        assert "Input should" not in error.text


def test_the_shortest_panel_has_the_defaults_of_the_contract() -> None:
    """C3.1, K6.3, M1.1."""
    job = asked(PANEL)
    assert (job.kind, job.name, job.ref, job.priority, job.rerun) == (
        "panel",
        "ch01_p003",
        "",
        0,
        False,
    )
    assert job.warnings == ()
    assert job.spec == PanelSpec(
        prompt="spyke_plasma_v1, rain",
        negative="",
        width=512,
        height=768,
        seeds=(),
        variations=1,
        steps=20,
        cfg=7.0,
        sampler="euler",
        scheduler="normal",
        denoise=1.0,
        clip_skip=1,
        checkpoint="anything-v5.safetensors",
        vae=VAE,
        workflow="panel",
        quality=True,
    )


def test_strengths_that_are_not_given_are_those_of_the_policy() -> None:
    """C3.1, K6.3."""
    spec = panel(PANEL + '[[lora]]\nname = "spyke_v1"\n' + NET)
    assert spec.loras == (LoraUse("spyke_v1", POLICY.lora_strength, "spyke_v1"),)
    assert spec.controlnet == ControlNetUse(
        "control_v11p_sd15_openpose.safetensors",
        "poses/ch01_p003.png",
        POLICY.controlnet_strength,
        0.0,
        1.0,
    )


def test_every_key_of_a_panel_reaches_the_specification() -> None:
    text = """#:schema ./panel.schema.json
kind = "panel"
panel = "ch01_p004"
ref = "run-7/ch01/3"
priority = -9
rerun = true
prompt = '''white cloak,
\tleaping'''
negative = "blurry"
width = 768
height = 512
seeds = [3, 1]
steps = 60
cfg = 8
sampler = "dpmpp_2m"
scheduler = "karras"
denoise = 0.5
clip_skip = 2
checkpoint = "sd15/anything-v5.safetensors"
vae = "vae-ft-mse-840000-ema-pruned.safetensors"
workflow = "rain"
quality = "off"
[[lora]]
name = "spyke_v1"
strength = -2
[[lora]]
name = "ink.safetensors"
[controlnet]
model = "control_v11p_sd15_openpose.safetensors"
image = "poses/ch01_p003.png"
strength = 0.7
start = 0.1
end = 0.9
"""
    job = asked(text)
    assert (job.name, job.ref, job.priority, job.rerun) == ("ch01_p004", "run-7/ch01/3", -9, True)
    spec = panel(text)
    assert (spec.width, spec.height, spec.seeds, spec.variations) == (768, 512, (3, 1), 2)
    assert (spec.prompt, spec.cfg, spec.steps) == ("white cloak,\n\tleaping", 8.0, 60)
    assert (spec.workflow, spec.quality, spec.clip_skip) == ("rain", False, 2)
    assert spec.loras == (LoraUse("spyke_v1", -2, "spyke_v1"), LoraUse("ink.safetensors", 0.7))
    assert spec.controlnet is not None
    assert (spec.controlnet.start, spec.controlnet.end) == (0.1, 0.9)


def test_the_training_of_the_contract_is_read_whole() -> None:
    """K1.2, K2.1: what a Mac can train is accepted as it stands."""
    more = """lora = "spyke"
steps = 1000
optimizer = "AdamW"
features = ["white cloak", "red bandana"]
[grid]
prompts = ["spyke_plasma_v1, running", "spyke_plasma_v1, sitting"]
"""
    job = asked(TRAIN + more, stem="x")
    assert (job.kind, job.name) == ("train", "spyke")
    spec = job.spec
    assert isinstance(spec, TrainSpec)
    assert (spec.trigger, spec.dataset, spec.steps) == ("spyke_plasma_v1", "datasets/spyke", 1000)
    assert (spec.network_dim, spec.network_alpha, spec.learning_rate) == (16, 8.0, 1e-4)
    assert (spec.optimizer, spec.lr_scheduler, spec.mixed_precision) == ("AdamW", "cosine", "no")
    assert (spec.gradient_accumulation, spec.gradient_checkpointing, spec.save_every) == (
        1,
        True,
        200,
    )
    assert (spec.unet_only, spec.force, spec.allow_overfit) == (False, False, False)
    assert (spec.seed, spec.clip_skip, spec.when, spec.resume) == (1, 1, "night", True)
    assert spec.features == ("white cloak", "red bandana")
    assert spec.grid == Grid(
        ("spyke_plasma_v1, running", "spyke_plasma_v1, sitting"), (1, 2), POLICY.lora_strength
    )


def test_a_training_without_steps_leaves_them_to_the_policy() -> None:
    assert train(TRAIN).steps == 0
    assert train(TRAIN + "steps = 2000\nallow_overfit = true\n").steps == 2000


@pytest.mark.parametrize(
    ("more", "prompts", "seeds"),
    [
        ("", 2, (1, 2)),
        ('[grid]\nprompts = ["spyke_plasma_v1, rain"]\nseeds = [7]\n', 1, (7,)),
        ("[grid]\nprompts = []\n", 0, ()),
    ],
)
def test_a_grid_is_drawn_of_novel_poses_unless_none_is_wanted(
    more: str, prompts: int, seeds: tuple[int, ...]
) -> None:
    """D2.3."""
    grid = train(TRAIN + more).grid
    assert (len(grid.prompts), grid.seeds) == (prompts, seeds) if grid else not prompts


def test_a_training_that_waits_for_the_night_is_tried_before() -> None:
    """K3.1."""
    assert train(TRAIN).probe
    assert not train(TRAIN + 'when = "now"\n').probe


def test_regularization_is_asked_for_by_its_number_prompt_and_class() -> None:
    """D3.1."""
    more = '[regularization]\nprompt = "anime character, male"\nclass = "anime character"\n'
    wanted = train(TRAIN + more).regularization
    assert wanted == Regularization(150, "anime character, male", "anime character")
    assert train(TRAIN).regularization is None


@pytest.mark.parametrize("value", ["512", '"512"', '"512,512"', "[512, 512]"])
def test_a_training_may_say_the_resolution_that_it_has(value: str) -> None:
    """K2.2."""
    assert isinstance(read(TRAIN + f"resolution = {value}\n"), Asked)


@pytest.mark.parametrize(
    ("text", "control"),
    [
        ('kind = "cancel"\njob = "ch01_p003_v1"\n', Control("cancel", "ch01_p003_v1")),
        (
            'kind = "retry"\njob = "ch01_p003_r2"\nref = "x"\n',
            Control("retry", "ch01_p003_r2", ref="x"),
        ),
        ('kind = "approve"\njob = "a_r1"\nimage = 100\n', Control("approve", "a_r1", image=100)),
        (
            'kind = "approve"\njob = "spyke_v1"\ncheckpoint = 792\n',
            Control("approve", "spyke_v1", checkpoint=792),
        ),
        ('kind = "pause"', Control("pause")),
        ('kind = "resume"\nend = true\n', Control("resume")),
    ],
)
def test_a_control_file_says_what_to_do_with_which_job(text: str, control: Control) -> None:
    assert read(text) == control


@pytest.mark.parametrize(
    "table", ["", '[[lora]]\nname = "spyke_v1"\n', NET, NET + "end = 0.5\n"], ids=str
)
def test_a_last_line_end_true_is_a_mark_whatever_table_is_above_it(table: str) -> None:
    """A program's sign that the file is whole must not become the last table's `end`."""
    without = read(PANEL + table)
    assert isinstance(without, Asked)
    for last in ("end = true", "end = true\n", "\n  end=true # whole\r\n\n"):
        assert read(PANEL + table + last) == without


@pytest.mark.parametrize(
    ("width", "height"), [(512, 768), (768, 512), (64, 64), (624, 624), (768, 64)]
)
def test_sizes_up_to_the_cap_pass(width: int, height: int) -> None:
    """A2.1."""
    spec = panel(PANEL + f"width = {width}\nheight = {height}\n")
    assert (spec.width, spec.height) == (width, height)


def test_settings_may_tighten_what_a_file_may_ask_for() -> None:
    tight = Policy(max_area=512 * 512, max_steps=30)
    text = PANEL + "width = 512\nheight = 512\nsteps = 30\n"
    assert isinstance(read_job_file(text.encode(), stem="a", policy=tight), Asked)
    more = PANEL + "steps = 31\n"
    refused = read_job_file(more.encode(), stem="a", policy=tight)
    assert isinstance(refused, Refused)
    assert [error.key for error in refused.errors] == ["steps", "width"]


@pytest.mark.parametrize(
    ("strength", "words"),
    [
        (0.39, "ignored"),
        (0.4, ""),
        (0.65, ""),
        (0.8, ""),
        (0.81, "strong"),
        (0.9, "strong"),
        (0.91, "far too strong"),
    ],
)
def test_controlnet_strengths_warn_in_bands(strength: float, words: str) -> None:
    """C3.2."""
    warnings = asked(PANEL + NET + f"strength = {strength}\n").warnings
    assert len(warnings) == bool(words)
    assert all(words in warning for warning in warnings)
    if strength <= 0.9:
        assert not any("far too" in warning for warning in warnings)


@pytest.mark.parametrize(("strength", "count"), [(0.6, 0), (0.8, 0), (0.81, 1), (1.0, 1)])
def test_a_lora_above_08_is_accepted_with_a_warning(strength: float, count: int) -> None:
    """K6.3."""
    text = f'[[lora]]\nname = "spyke_v1"\nstrength = {strength}\n'
    assert len(asked(PANEL + text).warnings) == count


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_of_comfyui_passes_and_device_noise_is_said(sampler: str) -> None:
    """W18."""
    warnings = asked(PANEL + f'sampler = "{sampler}"\n').warnings
    assert len(warnings) == (noise_of(sampler) == "device")


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler_of_comfyui_passes(scheduler: str) -> None:
    assert panel(PANEL + f'scheduler = "{scheduler}"\n').scheduler == scheduler


def test_all_mistakes_of_a_file_are_told_at_once_in_its_order() -> None:
    text = """kind = "panel"
steps = "20"
width = 1000
batch_size = 4
sampler = "euler a"
[[lora]]
name = "spyke.ckpt"
strenght = 0.7
"""
    assert [(error.line, error.key) for error in errors(text)] == [
        (2, "steps"),
        (3, "width"),
        (4, "batch_size"),
        (5, "sampler"),
        (7, "lora[1].name"),
        (8, "lora[1].strenght"),
        (0, "prompt"),
        (0, "checkpoint"),
        (0, "vae"),
    ]


def test_a_missing_kind_does_not_hide_the_other_mistakes() -> None:
    found = errors(PANEL.partition("\n")[2] + "steps = 61\n")
    assert [(error.line, error.key) for error in found] == [(4, "steps"), (0, "kind")]


def test_more_than_twenty_mistakes_are_counted() -> None:
    found = errors(PANEL + "".join(f"zz{number} = 1\n" for number in range(60)))
    assert len(found) == POLICY.max_complaints
    assert "41 more" in found[-1].text


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ('lora = [{name = "a_v1"}, {name = "b.pt"}]\n', 5),
        ('controlnet = {model = "a.pt", image = "a.png"}\n', 5),
        ('controlnet.model = "a.pt"\ncontrolnet.image = "a.png"\n', 5),
        ('controlnet.image = "a.png"\n"controlnet" . model = "a.pt"\n', 6),
        ('# [[lora]]\nnegative = """\n[[lora]]\n"""\n[[lora]]\nname = "b.pt"\n', 10),
        ("negative = '''it's # \"x\"'''\n[[ lora ]]\n\n\nname = 'b.pt' # here\n", 9),
    ],
)
def test_lines_are_found_however_the_keys_are_written(more: str, line: int) -> None:
    found = errors(PANEL + more)
    assert [error.line for error in found if "can run code" in error.text] == [line]


def test_windows_line_ends_are_fine() -> None:
    assert read(PANEL.replace("\n", "\r\n")) == read(PANEL)


def test_the_reference_is_echoed_from_what_is_refused() -> None:
    for more in ("steps = 0\n", "steps = \n", 'negative = "open\n'):
        found = read(f'ref = "run-7/ch01/3" # ours\n{PANEL}{more}')
        assert isinstance(found, Refused)
        assert found.ref == "run-7/ch01/3"


def test_a_reference_that_cannot_be_shown_is_not_echoed() -> None:
    for ref in ("\\u001b[2J", "\\u202e", "r" * 65):
        found = read(f'ref = "{ref}"\n{PANEL}')
        assert isinstance(found, Refused)
        assert found.ref == ""


def test_words_before_an_ending_are_never_a_path_out() -> None:
    """M4.1: no name that passes leaves its folder."""
    for name in ("/a", "../a", "a/../b", "./a", "a//b", "~/a", "C:/a", "a\\\\b", ".git/a", "a/"):
        for key in ("checkpoint", "vae"):
            text = PANEL.replace(f'{key} = "', f'{key} = "{name}/')
            assert [error.key for error in errors(text)] == [key]


def test_the_files_that_pass_are_toml() -> None:
    """The examples here and in the table are what they seem."""
    for text in (PANEL, TRAIN, PANEL + NET):
        tomllib.loads(text)
