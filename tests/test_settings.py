"""Settings are read once, and a wrong one stops the start with file, line and remedy."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.policy import Policy
from daemon.core.windows import ALWAYS, ALWAYS_SPANS, Span, Windows
from daemon.craft.captions import Words
from daemon.errors import AskerError
from daemon.settings import Settings, doubts, read_settings, resolved_engine
from daemon.wire.notices import Telling

EVERY_DAY = frozenset(range(7))
TOKYO = ZoneInfo("Asia/Tokyo")
HOURS = Policy(
    training_windows=Windows((Span(EVERY_DAY, 22 * 60, 7 * 60),), TOKYO),
    panel_windows=Windows(ALWAYS_SPANS, TOKYO),
)
USER = '[comfyui]\nbase_path = "~/ComfyUI"\n'


def settings(studio: str | None = None, user: str | None = None, **environment: str) -> Settings:
    return read_settings(
        studio_toml=studio, user_toml=user, environment=environment, zone_of=zone_of
    )


def zone_of(name: str) -> tzinfo | str:
    return ZoneInfo(name or "Asia/Tokyo") if name != "Nowhere" else "There is no Nowhere."


def refusal(studio: str | None = None, user: str | None = None, **environment: str) -> str:
    with pytest.raises(AskerError) as caught:
        settings(studio, user, **environment)
    return str(caught.value)


def test_without_any_file_everything_has_its_default() -> None:
    found = settings()
    telling = Telling(("failed", "needs_you"), Windows((), HOURS.training_windows.zone))
    assert found == Settings(policy=HOURS, telling=telling)
    assert (found.engine, found.url, found.base_path) == ("auto", "http://127.0.0.1:8188", "")
    assert (found.timeout_s, found.settle_s, found.policy) == (10.0, 2.0, HOURS)
    assert settings("", " \n") == found


def test_every_setting_of_this_version_is_taken() -> None:
    found = settings(
        """[engine]
use = "comfyui"
[comfyui]
mode = "external"
url = "http://localhost:8190/"
timeout_s = 30
[intake]
settle_s = 1
rescan_s = 5
[disk]
min_free_gb = 20
[windows]
training = ["mon-fri 23:00-06:30", "sat,sun 00:00-24:00"]
panels = []
timezone = "Europe/Berlin"
[memory]
total_gb = 24
reserve_gb = 2.5
[power]
require_ac = false
[mps]
high = 0.7
low = 0.5
[git]
checkpoint = "daily"
[caption]
pose = ["drawing a sword"]
framing = { face = ["mug shot"] }
[policy]
max_area = 262144
max_side = 512
max_steps = 30
max_pictures = 8
max_loras = 2
max_training_steps = 1200
heavy = "hold"
[models]
"sd15/anything-v5.safetensors" = "0123ABCD0123ABCD0123ABCD0123ABCD0123ABCD0123ABCD0123ABCD0123ABCD"
""",
        USER,
        HOME="/Users/me/",
    )
    assert (found.engine, found.url, found.url_given) == ("comfyui", "http://localhost:8190", True)
    assert found.base_path == "/Users/me/ComfyUI"
    assert (found.timeout_s, found.settle_s, found.rescan_s) == (30.0, 1.0, 5.0)
    assert found.checkpoint == "daily"
    assert found.words.pose == (*Words().pose, "drawing a sword")
    assert found.words.face == (*Words().face, "mug shot")
    assert found.words.background == Words().background
    berlin = ZoneInfo("Europe/Berlin")
    week = (Span(frozenset(range(5)), 1380, 390), Span(frozenset({5, 6}), 0, 1440))
    assert found.policy == Policy(
        training_windows=Windows(week, berlin),
        panel_windows=Windows((), berlin),
        memory_total_gb=24.0,
        memory_reserve_gb=2.5,
        require_ac=False,
        mps_high_watermark=0.7,
        mps_low_watermark=0.5,
        heavy="hold",
        min_free_gb=20.0,
        max_area=262_144,
        max_side=512,
        max_steps=30,
        max_pictures=8,
        max_loras=2,
        max_training_steps=1200,
    )
    assert found.models == {"sd15/anything-v5.safetensors": "0123abcd" * 8}


@pytest.mark.parametrize(
    ("studio", "environment", "engine"),
    [
        (None, {}, "rehearsal"),
        (None, {"COMFYUI_BASE_PATH": ""}, "rehearsal"),
        (None, {"COMFYUI_BASE_PATH": "/models"}, "comfyui"),
        (None, {"COMFYUI_URL": "http://127.0.0.1:8188"}, "comfyui"),
        ('[comfyui]\nurl = "http://127.0.0.1:8188"', {}, "comfyui"),
        ('[comfyui]\nmode = "external"', {}, "rehearsal"),
        ('[engine]\nuse = "rehearsal"', {"COMFYUI_BASE_PATH": "/models"}, "rehearsal"),
        ('[engine]\nuse = "comfyui"', {}, "comfyui"),
    ],
)
def test_auto_means_comfyui_when_a_path_or_an_address_is_set(
    studio: str | None, environment: dict[str, str], engine: str
) -> None:
    assert resolved_engine(settings(studio, **environment)) == engine


def test_the_environment_goes_before_the_files() -> None:
    """N3.1: one base path, from one place."""
    found = settings(
        '[comfyui]\nurl = "http://127.0.0.1:1"',
        USER,
        COMFYUI_URL="http://127.0.0.1:2",
        COMFYUI_BASE_PATH="/elsewhere",
    )
    assert (found.url, found.base_path) == ("http://127.0.0.1:2", "/elsewhere")


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1", "http://127.1.2.3:8188/", "http://[::1]:8188", "http://localhost:8188"],
)
def test_this_machine_is_spoken_to(url: str) -> None:
    """N2.1."""
    assert settings(f'[comfyui]\nurl = "{url}"').url == url.rstrip("/")
    assert settings(COMFYUI_URL=url).url == url.rstrip("/")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://192.168.1.7:8188", "this machine only"),
        ("http://0.0.0.0:8188", "this machine only"),
        ("http://example.com", "this machine only"),
        ("http://localhost.example.com", "this machine only"),
        ("http://127.0.0.1.example.com", "this machine only"),
        ("http://2130706433:8188", "this machine only"),
        ("http://127.0.0.1@example.com", "user name"),
        ("http://me:secret@127.0.0.1", "user name"),
        ("https://127.0.0.1:8188", "http://"),
        ("file:///etc/passwd", "http://"),
        ("127.0.0.1:8188", "http://"),
        ("http://127.0.0.1:8188/api", "more than a host"),
        ("http://127.0.0.1:8188?x=1", "more than a host"),
        ("http://127.0.0.1:99999", "cannot be read"),
        ("http://[::1", "cannot be read"),
    ],
)
def test_no_other_machine_is_spoken_to_wherever_it_is_named(url: str, words: str) -> None:
    """N2.1: the reason is told, and what to write; a password is not repeated."""
    for text in (refusal(f'[comfyui]\nurl = "{url}"'), refusal(COMFYUI_URL=url)):
        assert words in text
        assert "http://127.0.0.1:8188" in text
        assert "secret" not in text
    assert refusal(f'[comfyui]\nurl = "{url}"').startswith("nightpress.toml, line 2, comfyui.url:")


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ('[comfyui]\nmode = "ours"', "line 2, comfyui.mode", '"external" or "managed"'),
        ("[comfyui]\ncustom_nodes = []", "line 2, comfyui.custom_nodes", '{ "ComfyUI-Manager" = '),
        ('[notify]\non = ["end"]', "line 2, notify.on", '"needs_you"'),
        ('[notify]\nquiet_hours = ["25-26"]', "line 2, notify.quiet_hours", "22:00"),
        ('[notify]\ncommand = ["/bin/say"]', "line 2, notify.command", "cloned"),
        ('[windows]\ntraining = "22:00-07:00"', "line 2, windows.training", '["22:00-07:00"]'),
        ('[windows]\npanels = ["22-7"]', "line 2, windows.panels", '"mon-fri 22:00-07:00"'),
        (f"[windows]\npanels = {['1:00-2:00'] * 51}", "line 2, windows.panels", "50 are enough"),
        ('[windows]\n\ntimezone = "Nowhere"', "line 3, windows.timezone", "no Nowhere"),
        ("[windows]\nnight = []", "line 2, windows.night", "training, panels, timezone"),
        ("[memory]\nreserve_gb = -1", "line 2, memory.reserve_gb", "0 to 64"),
        ("[memory]\ntotal_gb = 1e6", "line 2, memory.total_gb", "0 to 2048"),
        ("[power]\nrequire_ac = 0", "line 2, power.require_ac", "true or false"),
        ("[mps]\nhigh = 1.7\nlow = 1.4", "line 2, mps.high", "0 to 1"),
        ('[policy]\nheavy = "kill"', "line 2, policy.heavy", '"hold"'),
        ("[policy]\ncanary = 1", "line 2, policy.canary", "true or false"),
        ('[comfyui]\nbase_path = "/x"', "line 2, comfyui.base_path", "cloned"),
        ('[comfyui]\nprogram = "/x/main.py"', "line 2, comfyui.program", "config.toml"),
        ('[comfyui]\nargs = ["--listen"]', "line 2, comfyui.args", "cloned"),
        ('[trainer]\npath = "/x"', "line 1, trainer", "cloned"),
        ('[engnie]\nuse = "auto"', "line 1, engnie", "`engine`"),
        ('[engine]\nuse = "comfy"', "line 2, engine.use", '"rehearsal"'),
        ('[git]\ncheckpoint = "hourly"', "line 2, git.checkpoint", '"daily"'),
        ("[git]\npush = true", "line 2, git.push", "The keys are: checkpoint"),
        ('[intake]\nsettle_s = "2"', "line 2, intake.settle_s", "without quotes"),
        ("[intake]\nsettle_s = -1", "line 2, intake.settle_s", "0 to 600"),
        ("[comfyui]\ntimeout_s = 1", "line 2, comfyui.timeout_s", "5 to 600"),
        ("[disk]\nmin_free_gb = inf", "line 2, disk.min_free_gb", "finite"),
        ("[disk\n", "line 1", "]"),
        ("engine = true", "line 1, engine", "[engine]"),
        ("[disk]\nmin_free_gb = 1\nmin_free_gb = 2", "line 3, disk.min_free_gb", "twice"),
    ],
)
def test_a_wrong_key_stops_the_start_with_its_place_and_a_remedy(
    text: str, place: str, words: str
) -> None:
    said = refusal(text)
    assert said.startswith(f"nightpress.toml, {place}")
    assert words in said


def test_everything_wrong_in_a_file_is_told_at_once() -> None:
    said = refusal('[engine]\nuse = 1\n[comfyui]\nurl = "http://x"\n[disk]\nmin = 3\n').split("\n")
    assert [line.split(",")[1] for line in said] == [" line 2", " line 4", " line 6"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[comfyui]\nbase_path = "ComfyUI"', "beginning with /"),
        ('[comfyui]\nurl = "http://127.0.0.1"', "Move it to the studio's nightpress.toml"),
        ('[engine]\nuse = "auto"', "Move it to the studio's nightpress.toml"),
        ('[git]\ncheckpoint = "daily"', "Move it to the studio's nightpress.toml"),
        ('[notify]\ncommand = ["say"]', "the whole path of a program"),
        ('[notify]\non = ["done"]', "belongs to the studio"),
        ('[comfyui]\nmode = "managed"', "Move it to the studio's nightpress.toml"),
        ('[comfyui]\nprogram = "ComfyUI"', "beginning with /"),
        ('[comfyui]\nargs = "--cpu"', 'args = ["--use-pytorch-cross-attention"]'),
        ("[comfyui]\nargs = [1]", "double quotes"),
        ('[comfyui]\nargs = ["--medvram"]', "AUTOMATIC1111"),
    ],
)
def test_the_users_file_names_folders_and_nothing_of_the_studio(text: str, words: str) -> None:
    said = refusal(None, text)
    assert said.startswith("~/.config/nightpress/config.toml, line ")
    assert words in said


def test_a_base_path_in_the_environment_does_not_depend_on_where_one_is() -> None:
    assert refusal(COMFYUI_BASE_PATH="models").startswith("COMFYUI_BASE_PATH in the environment")


@pytest.mark.parametrize(
    ("cap", "usual"),
    [
        ("max_area", 393_216),
        ("max_side", 768),
        ("max_steps", 60),
        ("max_pictures", 100),
        ("max_loras", 4),
        ("max_training_steps", 10_000),
    ],
)
def test_a_cap_is_loosened_only_by_who_has_more_memory(cap: str, usual: int) -> None:
    """A2.1: tightened freely; more is the owner's word."""
    assert getattr(settings(f"[policy]\n{cap} = {usual}").policy, cap) == usual
    assert "i_have_more_memory" in refusal(f"[policy]\n{cap} = {usual + 1}")
    more = f"[policy]\ni_have_more_memory = true\n{cap} = {usual + 1}"
    assert getattr(settings(more).policy, cap) == usual + 1
    assert cap in refusal(f"[policy]\ni_have_more_memory = true\n{cap} = {10**9}")
    assert cap in refusal(f"[policy]\n{cap} = 0")


def test_having_more_memory_changes_nothing_by_itself() -> None:
    assert settings("[policy]\ni_have_more_memory = true").policy == HOURS


@pytest.mark.parametrize(
    "marks",
    ["high = 0.9", "low = 0.8", "high = 0", "high = 0.5\nlow = 0.5", "high = 0.5\nlow = 0.9"],
)
def test_the_marks_of_mps_are_a_pair_with_the_low_one_below(marks: str) -> None:
    """A1.2: PyTorch starts with nothing else."""
    said = refusal(f"[mps]\n{marks}")
    assert said.startswith("nightpress.toml, line 1, mps: ")
    assert "high = 0.9, low = 0.8" in said


def test_no_limit_on_mps_is_asked_for_in_so_many_words_and_warned_of() -> None:
    """A1.2"""
    policy = settings("[mps]\nhigh = 0.0\nlow = 0.0").policy
    assert (policy.mps_high_watermark, policy.mps_low_watermark) == (0.0, 0.0)
    assert [told[:14] for told in doubts(policy)] == ["[mps] high = 0"]


def test_a_machine_that_does_not_say_where_it_is_is_told_so() -> None:
    assert list(doubts(HOURS)) == []
    nowhere = replace(HOURS, training_windows=ALWAYS)
    assert nowhere.training_windows.zone is UTC
    assert [told[-17:] for told in doubts(nowhere)] == ['= "Europe/Berlin"']


@given(st.text(st.characters(), max_size=400), st.text(max_size=60))
def test_any_text_leads_to_settings_or_to_a_sentence(text: str, value: str) -> None:
    for files in ((text, None), (None, text)):
        said = ""
        try:
            settings(*files, COMFYUI_URL=value, COMFYUI_BASE_PATH=value)
        except AskerError as error:
            said = str(error)
        assert all(line.isprintable() for line in said.split("\n"))


def test_the_trainer_is_named_by_the_user_or_the_environment() -> None:
    """K1.1: its path and its interpreter are configured, never by a studio that was cloned."""
    user = '[trainer]\npath = "~/sd-scripts"\npython = "/opt/py"\ntokenizer_cache_dir = "~/tok"\n'
    found = read_settings(
        studio_toml=None, user_toml=user, environment={"HOME": "/Users/spyke"}, zone_of=zone_of
    )
    assert found.trainer_path == "/Users/spyke/sd-scripts"
    assert (found.trainer_python, found.tokenizer) == ("/opt/py", "/Users/spyke/tok")
    given = read_settings(
        studio_toml=None,
        user_toml=user,
        environment={"SD_SCRIPTS_PATH": "/elsewhere"},
        zone_of=zone_of,
    )
    assert given.trainer_path == "/elsewhere"


def test_a_studio_cannot_name_a_trainer() -> None:
    with pytest.raises(AskerError, match="SD_SCRIPTS_PATH"):
        read_settings(
            studio_toml='[trainer]\npath = "/evil"\n',
            user_toml=None,
            environment={},
            zone_of=zone_of,
        )


def test_a_trainer_named_from_where_one_happens_to_be_is_refused() -> None:
    with pytest.raises(AskerError, match="SD_SCRIPTS_PATH in the environment"):
        read_settings(
            studio_toml=None,
            user_toml=None,
            environment={"SD_SCRIPTS_PATH": "sd-scripts"},
            zone_of=zone_of,
        )


def test_comfyui_is_started_from_what_the_user_names() -> None:
    """A1.6, N3.1: the program is where the models are, unless another place is named."""
    managed = '[comfyui]\nmode = "managed"\n'
    found = settings(managed, COMFYUI_BASE_PATH="/models")
    assert (found.mode, found.program, found.python, found.args) == ("managed", "/models", "", ())
    user = (
        '[comfyui]\nprogram = "~/ComfyUI"\npython = "/opt/py"\nargs = ["--cache-lru", "2"]\n'
        'base_path = "/models"\n'
    )
    found = settings(managed, user, HOME="/Users/spyke")
    assert (found.base_path, found.program) == ("/models", "/Users/spyke/ComfyUI")
    assert (found.python, found.args) == ("/opt/py", ("--cache-lru", "2"))


def test_an_address_and_a_comfyui_of_our_own_contradict_each_other() -> None:
    managed = '[comfyui]\nmode = "managed"\n'
    assert "COMFYUI_URL" in refusal(managed + 'url = "http://127.0.0.1:8188"\n')
    assert 'mode = "external"' in refusal(managed, COMFYUI_URL="http://127.0.0.1:8188")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ('"ComfyUI-Manager" = ""', "to work on MPS"),
        ('"ComfyUI-Manager" = 1', "to work on MPS"),
        ('"../evil" = "its README"', "no name of a folder"),
        ('"--listen" = "its README"', "no name of a folder"),
        ('"a/b" = "its README"', "no name of a folder"),
    ],
)
def test_a_pack_of_nodes_is_allowed_by_name_with_a_note_on_mps(entry: str, words: str) -> None:
    """A4.3: who adds a pack says where it is said to work on a Mac."""
    said = refusal(f"[comfyui]\ncustom_nodes = {{ {entry} }}")
    assert said.startswith("nightpress.toml, line 2, comfyui.custom_nodes")
    assert words in said
    found = settings('[comfyui.custom_nodes]\n"ComfyUI-Manager" = "its README, Apple silicon"\n')
    assert found.packs == {"ComfyUI-Manager": "its README, Apple silicon"}


@pytest.mark.parametrize(
    "line",
    [
        '"a.safetensors" = "0123"',
        '"a.safetensors" = 5',
        f'"a.safetensors" = "{"g" * 64}"',
        f'"a.ckpt" = "{"0" * 64}"',
        f'a.safetensors = "{"0" * 64}"',
    ],
)
def test_an_expected_hash_is_64_digits_for_a_file_that_may_be_loaded(line: str) -> None:
    """M2.1: also where the name stands without quotes, which TOML takes for two tables."""
    told = refusal(f"[models]\n{line}\n")
    assert told.startswith("nightpress.toml, line 1, models: ")
    assert 'Write for example: "anything-v5.safetensors" = ' in told
    assert "belongs to the studio" in refusal(user=f"[models]\n{line}\n")
