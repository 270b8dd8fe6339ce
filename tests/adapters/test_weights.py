"""The engine's model folders: what is a model, what it is, and what is said when it is not one."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
import struct
import threading
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import pytest

from daemon.adapters.weights import ModelFolders
from daemon.adapters.weights.hashing import File, Hasher, file_at
from daemon.core.jobs import ModelFacts
from daemon.craft.props import prop
from daemon.errors import WorldError
from daemon.ports import Weights
from daemon.rehearsal import weights as stage
from daemon.wire.status import Hashing


def spelled(header: object, data: bytes = b"") -> bytes:
    raw = json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data


def tensor(dtype: str, shape: list[int], begin: int, end: int) -> Mapping[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


UNET, TEXT = "model.diffusion_model.out.2.bias", "cond_stage_model.transformer.a"
ANYTHING = spelled(
    {UNET: tensor("F16", [100], 0, 200), TEXT: tensor("F32", [10], 200, 240)}, bytes(240)
)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    put(tmp_path, "checkpoints/anything-v5.safetensors", ANYTHING)
    put(tmp_path, "checkpoints/sd15/dream.safetensors", ANYTHING)
    return tmp_path


@pytest.fixture
def folders(base: Path) -> ModelFolders:
    return ModelFolders(base, base / "hashes.json")


def put(base: Path, name: str, data: bytes) -> Path:
    path = base / "models" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def facts(folders: Weights, name: str, role: str = "checkpoint") -> ModelFacts:
    return asyncio.run(folders.facts(role=role, name=name))


def refusal(folders: Weights, name: str, role: str = "checkpoint") -> tuple[str, str]:
    with pytest.raises(WorldError) as caught:
        facts(folders, name, role)
    return caught.value.code, caught.value.text


@pytest.mark.parametrize("name", ["anything-v5.safetensors", "sd15/dream.safetensors"])
def test_a_model_is_known_by_the_hash_of_its_bytes_and_the_dtype_of_most(
    folders: ModelFolders, name: str
) -> None:
    """M2.2, N3.1"""
    expected = ModelFacts("checkpoint", name, sha256(ANYTHING).hexdigest(), len(ANYTHING), "F16")
    found = facts(folders, name)
    assert found == expected
    assert found.parts == {"text_encoder": 10, "unet": 100}


@pytest.mark.parametrize(
    ("role", "folder"),
    [
        ("checkpoint", "checkpoints"),
        ("vae", "vae"),
        ("lora", "loras"),
        ("controlnet", "controlnet"),
        ("embedding", "embeddings"),
    ],
)
def test_every_role_has_its_folder_below_the_one_base_path(
    base: Path, folders: ModelFolders, role: str, folder: str
) -> None:
    """N3.1"""
    put(base, f"{folder}/x.safetensors", prop(role, "x"))
    assert facts(folders, "x.safetensors", role).role == role


def test_a_link_to_a_file_is_followed_as_the_engine_follows_it(
    base: Path, folders: ModelFolders
) -> None:
    elsewhere = base / "downloads.safetensors"
    elsewhere.write_bytes(ANYTHING)
    (base / "models/checkpoints/linked.safetensors").symlink_to(elsewhere)
    assert facts(folders, "linked.safetensors").bytes == len(ANYTHING)


def test_a_missing_model_names_its_nearest_and_no_absolute_path(
    base: Path, folders: ModelFolders
) -> None:
    """N3.1"""
    code, text = refusal(folders, "anythng-v5.safetensors")
    assert code == "MODEL_MISSING"
    assert "anything-v5.safetensors" in text
    assert "$COMFYUI/models/checkpoints" in text
    assert os.fspath(base) not in text


def test_a_missing_folder_is_said_plainly(folders: ModelFolders) -> None:
    code, text = refusal(folders, "x.safetensors", "vae")
    assert (code, "holds no .safetensors file" in text) == ("MODEL_MISSING", True)


def test_names_are_compared_letter_by_letter_whatever_the_disk_thinks(
    folders: ModelFolders,
) -> None:
    assert refusal(folders, "Anything-V5.safetensors")[0] == "MODEL_MISSING"
    assert refusal(folders, "SD15/dream.safetensors")[0] == "MODEL_MISSING"


@pytest.mark.parametrize(
    "name", ["x.ckpt", "x.pt", "x.bin", "x.pth", "sub/x.CKPT", "x.pkl", "x.pt2"]
)
@pytest.mark.parametrize("role", ["checkpoint", "vae", "lora", "controlnet"])
def test_formats_that_can_run_code_are_forbidden_for_every_role(
    base: Path, folders: ModelFolders, name: str, role: str
) -> None:
    """M4.1"""
    put(base, f"{role}s/{name}", b"pickle")
    code, text = refusal(folders, name, role)
    assert (code, ".safetensors" in text) == ("MODEL_FORBIDDEN", True)


@pytest.mark.parametrize(
    "name",
    [
        "../vae/x.safetensors",
        "/etc/x.safetensors",
        "a/../../x.safetensors",
        "a//x.safetensors",
        "a\\x.safetensors",
        "a\0.safetensors",
        "a\n.safetensors",
        "",
        "x.sft",
        "x",
    ],
)
def test_a_name_that_leads_out_is_forbidden(folders: ModelFolders, name: str) -> None:
    """N3.1"""
    code, text = refusal(folders, name)
    assert (code, text.isprintable()) == ("MODEL_FORBIDDEN", True)


@pytest.mark.parametrize("kept", [0, 5, 8, 60, len(ANYTHING) - 240, len(ANYTHING) - 1])
def test_a_download_that_was_cut_short_is_broken(
    base: Path, folders: ModelFolders, kept: int
) -> None:
    """M2.2"""
    put(base, "checkpoints/half.safetensors", ANYTHING[:kept])
    code, text = refusal(folders, "half.safetensors")
    assert (code, "is cut short" in text) == ("MODEL_BROKEN", True)


@pytest.mark.parametrize(
    "data",
    [
        ANYTHING + b"x",
        b"PK\x03\x04" + b"x" * 60,
        struct.pack("<Q", 9) + b"not json!",
        struct.pack("<Q", 50_000) + b"[" * 50_000,
        spelled([]),
        spelled({"__metadata__": {}}),
        spelled({"a\n\x1b[31m": 1}),
        spelled({"a": tensor("F16", [4], 0, 6)}, bytes(6)),
        spelled({"a": tensor("U8", [4], 4, 8)}, bytes(8)),
        spelled({"a": tensor("U8", [4], 0, 4), "b": tensor("U8", [4], 2, 6)}, bytes(6)),
    ],
)
def test_a_header_that_does_not_account_for_every_byte_is_not_believed(
    base: Path, folders: ModelFolders, data: bytes
) -> None:
    """M2.2"""
    put(base, "checkpoints/odd.safetensors", data)
    code, text = refusal(folders, "odd.safetensors")
    assert (code, text.isprintable()) == ("MODEL_BROKEN", True)


def test_what_is_no_file_is_broken_and_nobody_waits_for_it(
    base: Path, folders: ModelFolders
) -> None:
    os.mkfifo(base / "models/checkpoints/fifo.safetensors")
    (base / "models/checkpoints/folder.safetensors").mkdir()
    (base / "models/checkpoints/dangling.safetensors").symlink_to("nowhere")
    for name in ("fifo", "folder", "dangling"):
        assert refusal(folders, f"{name}.safetensors")[0] == "MODEL_BROKEN", name


def test_an_unchanged_file_is_hashed_once_and_a_changed_one_again(
    base: Path, folders: ModelFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M2.2: hash and header are kept by device, inode, size and time, across restarts."""
    first = facts(folders, "anything-v5.safetensors")
    again = ModelFolders(base, base / "hashes.json")
    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "sha256", _must_not_be_read)
        assert facts(again, "anything-v5.safetensors") == first
    path = base / "models/checkpoints/anything-v5.safetensors"
    path.write_bytes(ANYTHING[:-1] + b"\x01")
    os.utime(path, ns=(1, 1))
    assert facts(again, "anything-v5.safetensors").sha256 != first.sha256


def _must_not_be_read(*_: object, **__: object) -> bytes:
    raise AssertionError("it was read again")


@pytest.mark.parametrize("kept", [b"", b"[]", b"not json", b'{"1:2:3:4": 5}', b"[" * 9_000])
def test_a_damaged_cache_costs_only_time(base: Path, folders: ModelFolders, kept: bytes) -> None:
    (base / "hashes.json").write_bytes(kept)
    assert facts(folders, "anything-v5.safetensors").dtype == "F16"


def test_a_cache_that_cannot_be_written_costs_only_time(base: Path) -> None:
    (base / "file").write_bytes(b"")
    folders = ModelFolders(base, base / "file" / "hashes.json")
    assert facts(folders, "anything-v5.safetensors").dtype == "F16"


def test_folders_that_lead_in_circles_are_looked_through_once(
    base: Path, folders: ModelFolders
) -> None:
    (base / "models/checkpoints/circle").symlink_to(base / "models/checkpoints")
    assert "anything-v5.safetensors" in refusal(folders, "anythng-v5.safetensors")[1]


# What a file is, and what it should be


def test_a_file_of_another_kind_is_refused_by_its_header_before_it_is_hashed(
    base: Path, folders: ModelFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M4.3"""
    put(base, "checkpoints/ink.safetensors", prop("lora", "ink"))
    monkeypatch.setattr(hashlib, "sha256", _must_not_be_read)
    code, text = refusal(folders, "ink.safetensors")
    assert code == "MODEL_WRONG"
    assert text.startswith("ink.safetensors in $COMFYUI/models/checkpoints is a LoRA, not a check")


def test_a_header_is_read_once_a_change(
    base: Path, folders: ModelFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M2.2"""
    first = facts(folders, "anything-v5.safetensors")
    monkeypatch.setattr("daemon.adapters.weights.folders.safe_open", _must_not_be_read)
    assert facts(folders, "anything-v5.safetensors") == first
    path = base / "models/checkpoints/anything-v5.safetensors"
    os.utime(path, ns=(1, 1))
    with pytest.raises(AssertionError, match="read again"):
        facts(folders, "anything-v5.safetensors")


def test_what_is_told_of_a_model_has_its_name_and_moves_no_cursor(
    base: Path, folders: ModelFolders
) -> None:
    """A2.4"""
    size = 24_000_000
    large = spelled(
        {
            "lora_unet_conv_in.lora_up.weight": tensor("F32", [1, size // 4], 0, size),
            "lora_te2_\x1b[2J.alpha": tensor("U8", [1], size, size + 1),
        },
        bytes(size + 1),
    )
    put(base, "loras/ink.safetensors", large)
    found = asyncio.run(folders.examined(role="lora", name="ink.safetensors"))
    assert found.facts == facts(folders, "ink.safetensors", "lora")
    assert [text.isprintable() for text in found.warnings] == [True, True]
    assert found.warnings[0].startswith("ink.safetensors is saved in fp32, which costs 24 MB")


RIGHT, WRONG = sha256(ANYTHING).hexdigest(), "0123456789abcdef" * 4


def test_a_file_is_used_only_with_the_hash_that_is_expected_of_it(base: Path) -> None:
    """M2.1"""
    expected = {"anything-v5.safetensors": WRONG, "sd15/dream.safetensors": RIGHT}
    folders = ModelFolders(base, base / "hashes.json", expected=expected)
    assert facts(folders, "sd15/dream.safetensors").sha256 == RIGHT
    code, text = refusal(folders, "anything-v5.safetensors")
    assert (code, RIGHT[:12] in text, WRONG[:12] in text) == ("MODEL_MISMATCH", True, True)


def test_what_is_installed_is_told_without_hashing_anything(base: Path) -> None:
    """M2.1, M4.1"""
    for name in ("vae/v.safetensors", "vae/.hidden.safetensors", "loras/old.pt", "loras/README"):
        put(base, name, prop("vae", "v"))
    expected = {"anything-v5.safetensors": WRONG, "sd15/dream.safetensors": RIGHT}
    folders = ModelFolders(base, base / "hashes.json", expected=expected)
    before = {model.name: model for model in folders.installed()}
    assert list(before) == [*expected, "v.safetensors", "old.pt"]
    assert {model.sha256 for model in before.values()} == {""}
    assert "can run code" in before["old.pt"].refusal
    facts(folders, "sd15/dream.safetensors")
    refusal(folders, "anything-v5.safetensors")
    after = {model.name: model for model in folders.installed()}
    assert [after[name].expected for name in after] == [False, True, None, None]
    assert "expects 0123456789ab" in after["anything-v5.safetensors"].refusal
    assert after["v.safetensors"] == before["v.safetensors"]


def test_a_model_that_comes_later_is_found_without_a_restart(
    base: Path, folders: ModelFolders
) -> None:
    """N3.2: the folder itself is looked at for each job; nothing is kept of what it held."""
    assert refusal(folders, "late.safetensors")[0] == "MODEL_MISSING"
    put(base, "checkpoints/late.safetensors", ANYTHING)
    assert facts(folders, "late.safetensors").bytes == len(ANYTHING)


# Embeddings, as a prompt names them


@pytest.mark.parametrize(
    ("there", "asked", "found"),
    [
        (["bad.safetensors"], "bad", "bad.safetensors"),
        (["bad.safetensors"], "bad.safetensors", "bad.safetensors"),
        (["bad.safetensors", "bad.pt", "bad.bin"], "bad", "bad.safetensors"),
        (["sub/bad.safetensors"], "bad", "sub/bad.safetensors"),
        (["sub/bad.safetensors"], "sub/bad", "sub/bad.safetensors"),
        (["a/sub/bad.safetensors"], "sub/bad", "a/sub/bad.safetensors"),
    ],
)
def test_an_embedding_is_the_file_that_comfyui_would_take(
    base: Path, folders: ModelFolders, there: list[str], asked: str, found: str
) -> None:
    """M4.2: with or without ending, in any folder below embeddings/."""
    for name in there:
        put(base, f"embeddings/{name}", prop("embedding", "bad"))
    assert facts(folders, asked, "embedding").name == found


@pytest.mark.parametrize(
    ("there", "asked", "answer"),
    [
        (["bade.safetensors"], "bad", ("MODEL_MISSING", "Nearest there: bade.safetensors")),
        ([], "bad", ("MODEL_MISSING", "holds no .safetensors file")),
        (["bad.pt"], "bad", ("MODEL_FORBIDDEN", "bad.pt is in a format that can run code")),
        (["bad.bin"], "bad", ("MODEL_FORBIDDEN", "bad.bin is in a format that can run code")),
        (["bad.pt"], "bad.pt", ("MODEL_FORBIDDEN", "can run code")),
        (["bad", "bad.safetensors"], "bad", ("MODEL_FORBIDDEN", "ends in .safetensors")),
        (["bad.safetensors", "s/bad.safetensors"], "bad", ("MODEL_FORBIDDEN", "takes either")),
        (["bad.safetensors", "s/bad.pt"], "bad", ("MODEL_FORBIDDEN", "takes either")),
        (["bad.safetensors"], "../vae/bad", ("MODEL_FORBIDDEN", "without ..")),
        (["bad.safetensors"], "/bad", ("MODEL_FORBIDDEN", "write the file's path")),
    ],
)
def test_an_embedding_that_is_not_one_safetensors_file_is_refused(
    base: Path, folders: ModelFolders, there: list[str], asked: str, answer: tuple[str, str]
) -> None:
    """M4.2: ComfyUI would load the .pt, and pass over what is missing."""
    for name in there:
        put(base, f"embeddings/{name}", prop("embedding", "bad"))
    code, text = refusal(folders, asked, "embedding")
    assert (code, answer[1] in text) == (answer[0], True)


# Hashing, aside


class Gated(Hasher):
    """Hashes nothing before ``gate`` is open; ``read`` are the names in the order of reading."""

    def __init__(self, cache_path: Path) -> None:
        super().__init__(cache_path)
        self.gate = threading.Event()
        self.read: list[str] = []

    def _hash(self, file: File) -> str:
        self.read.append(file.path.name)
        assert self.gate.wait(5)
        return super()._hash(file)


def test_who_does_not_wait_is_told_and_files_that_are_known_pass(
    base: Path, folders: ModelFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M2.2: one large file is read at a time, and nobody waits for another's."""
    known = facts(folders, "anything-v5.safetensors")
    put(base, "vae/large.safetensors", prop("vae", "large"))
    for name in ("next, but longer", "next"):
        put(base, f"vae/{name}.safetensors", prop("vae", name))
    monkeypatch.setattr("daemon.adapters.weights.folders.Hasher", Gated)
    monkeypatch.setattr("daemon.adapters.weights.folders._SHORT_S", 0.02)
    folders = ModelFolders(base, base / "hashes.json")
    hasher = folders._hasher
    assert isinstance(hasher, Gated)

    async def story() -> None:
        for name in ("large", "next, but longer", "next", "large"):
            with pytest.raises(WorldError, match="hashed for the first time") as waiting:
                await folders.examined(role="vae", name=f"{name}.safetensors")
            assert waiting.value.code == "HASHING"
        assert folders.hashing == Hashing("large.safetensors", 0, len(prop("vae", "large")))
        assert (await folders.examined(role="checkpoint", name=known.name)).facts == known
        hasher.gate.set()
        await folders.facts(role="vae", name="next, but longer.safetensors")
        found = await folders.facts(role="vae", name="next.safetensors")
        assert found.sha256 == sha256(prop("vae", "next")).hexdigest()
        await folders.examined(role="vae", name="large.safetensors")

    asyncio.run(story())
    names = ["large", "next", "next, but longer"]
    assert hasher.read == [f"{name}.safetensors" for name in names], "smaller files go first"


def test_a_file_that_is_written_while_it_is_hashed_is_told_and_tried_again(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.adapters.weights.folders.Hasher", Gated)
    folders = ModelFolders(base, base / "hashes.json")
    hasher, path = folders._hasher, base / "models/checkpoints/anything-v5.safetensors"
    assert isinstance(hasher, Gated)

    async def story() -> None:
        waiting = asyncio.ensure_future(folders.facts(role="checkpoint", name=path.name))
        while not hasher.read:  # noqa: ASYNC110  # A thread tells nobody.
            await asyncio.sleep(0.01)
        os.utime(path, ns=(1, 1))
        hasher.gate.set()
        with pytest.raises(WorldError, match="wait until its download has ended"):
            await waiting
        assert (await folders.facts(role="checkpoint", name=path.name)).sha256 == RIGHT

    asyncio.run(story())


class Failing(Hasher):
    """The drive fails as often as ``failing`` says."""

    failing = 2

    def _hash(self, file: File) -> str:
        self.failing -= 1
        if self.failing >= 0:
            raise OSError(errno.EIO, "the drive failed")
        return super()._hash(file)


def test_a_file_that_cannot_be_read_is_told_and_read_again_for_the_next(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.adapters.weights.folders.Hasher", Failing)
    folders = ModelFolders(base, base / "hashes.json")
    for _ in range(Failing.failing):
        code, text = refusal(folders, "anything-v5.safetensors")
        assert (code, "cannot be read: the drive failed." in text) == ("MODEL_BROKEN", True)
    assert facts(folders, "anything-v5.safetensors").sha256 == RIGHT


def test_a_hash_that_another_process_has_found_is_not_found_again(
    base: Path, folders: ModelFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`nightpress models --hash` works for a daemon that is alive."""
    facts(folders, "sd15/dream.safetensors")
    other = ModelFolders(base, base / "hashes.json")
    facts(other, "anything-v5.safetensors")
    monkeypatch.setattr(hashlib, "sha256", _must_not_be_read)
    assert facts(folders, "anything-v5.safetensors").sha256 == RIGHT
    assert len(json.loads((base / "hashes.json").read_bytes())) == 2


def test_hashes_of_an_earlier_release_are_kept(
    base: Path, folders: ModelFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = file_at(base / "models/checkpoints/anything-v5.safetensors").key
    (base / "hashes.json").write_text(json.dumps({key: [RIGHT, "F16"]}))
    monkeypatch.setattr(hashlib, "sha256", _must_not_be_read)
    assert facts(folders, "anything-v5.safetensors").sha256 == RIGHT


# Props of the rehearsal


RECOGNISED: Mapping[str, object] = {
    "checkpoint": stage.is_checkpoint,
    "vae": stage.is_vae,
    "controlnet": stage.is_controlnet,
    "lora": lambda header: not stage.unmatched_lora_keys(header),
    "embedding": lambda header: True,
}


@pytest.mark.parametrize("role", RECOGNISED)
def test_a_missing_model_gets_a_prop_that_the_rehearsal_takes_for_its_role(
    tmp_path: Path, role: str
) -> None:
    props = ModelFolders(tmp_path, tmp_path / "hashes.json", props=True)
    found = facts(props, "sub/any.safetensors", role)
    (path,) = (tmp_path / "models").rglob("*.safetensors")
    header = stage.read_header(path)
    assert found.sha256 == sha256(prop(role, "sub/any.safetensors")).hexdigest()
    assert header["__metadata__"]["rehearsal"] == "prop"
    recognise = RECOGNISED[role]
    assert callable(recognise)
    assert recognise(header)


def test_props_of_two_names_are_two_files_and_one_name_is_always_one(tmp_path: Path) -> None:
    assert prop("lora", "a.safetensors") != prop("lora", "b.safetensors")
    assert prop("lora", "a.safetensors") == prop("lora", "a.safetensors")


def test_a_file_that_is_there_is_no_prop_and_names_are_judged_as_elsewhere(base: Path) -> None:
    """M4.1"""
    props = ModelFolders(base, base / "hashes.json", props=True)
    assert facts(props, "anything-v5.safetensors").bytes == len(ANYTHING)
    assert refusal(props, "x.ckpt")[0] == "MODEL_FORBIDDEN"
    assert refusal(props, "../x.safetensors")[0] == "MODEL_FORBIDDEN"
    assert refusal(props, "x" * 300 + ".safetensors")[0] == "MODEL_BROKEN"


def test_props_asked_for_at_once_are_laid_out_whole(tmp_path: Path) -> None:
    props = ModelFolders(tmp_path, tmp_path / "hashes.json", props=True)

    async def all_at_once() -> set[str]:
        asked = [props.facts(role="vae", name="v.safetensors") for _ in range(20)]
        return {found.sha256 for found in await asyncio.gather(*asked)}

    assert asyncio.run(all_at_once()) == {sha256(prop("vae", "v.safetensors")).hexdigest()}


# Installing a LoRA


def test_a_lora_is_installed_once_and_never_over_anything(tmp_path: Path) -> None:
    folders = ModelFolders(tmp_path, tmp_path / "cache.json")
    lora = tmp_path / "models" / "loras" / "spyke_v1-000198.safetensors"
    asyncio.run(folders.install(lora.name, b"weights"))
    assert lora.read_bytes() == b"weights"
    asyncio.run(folders.install(lora.name, b"weights"))
    with pytest.raises(WorldError) as refused:
        asyncio.run(folders.install(lora.name, b"others"))
    assert refused.value.code == "LORA_EXISTS"
    assert lora.read_bytes() == b"weights"
    assert [path.name for path in lora.parent.iterdir()] == [lora.name]


def test_a_lora_is_not_installed_through_a_link(tmp_path: Path) -> None:
    loras = tmp_path / "models" / "loras"
    loras.mkdir(parents=True)
    (tmp_path / "elsewhere").write_bytes(b"weights")
    (loras / "a.safetensors").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(WorldError) as refused:
        asyncio.run(ModelFolders(tmp_path, tmp_path / "c").install("a.safetensors", b"weights"))
    assert refused.value.code == "LORA_EXISTS"


def test_a_lora_with_a_way_out_in_its_name_is_not_installed(tmp_path: Path) -> None:
    with pytest.raises(WorldError) as refused:
        asyncio.run(ModelFolders(tmp_path, tmp_path / "c").install("../a.safetensors", b"weights"))
    assert refused.value.code == "MODEL_FORBIDDEN"


def test_a_models_path_is_absolute_below_the_folder_of_its_role(tmp_path: Path) -> None:
    folders = ModelFolders(tmp_path, tmp_path / "c")
    expected = tmp_path / "models" / "vae" / "v.safetensors"
    assert folders.path(role="vae", name="v.safetensors") == str(expected)


def aliasing(base: Path) -> ModelFolders:
    return ModelFolders(base, base / "hashes.json", aliases=base / "aliases")


def alias(folders: ModelFolders, name: str) -> str:
    digest = facts(folders, name, "lora").sha256
    return asyncio.run(folders.alias(name, sha256=digest))


def test_an_alias_has_the_bytes_of_its_name_whatever_replaces_the_file(tmp_path: Path) -> None:
    """The engine tells files by their names; this one never means another file."""
    folders = aliasing(tmp_path)
    first, second = (prop("lora", name) for name in ("first", "second"))
    file = put(tmp_path, "loras/mine/ink.safetensors", first)
    old = alias(folders, "mine/ink.safetensors")
    assert old == f"ink-{sha256(first).hexdigest()[:12]}.safetensors"
    put(tmp_path, "loras/new", second).replace(file)
    new = alias(folders, "mine/ink.safetensors")
    assert {name: (tmp_path / "aliases" / name).read_bytes() for name in (old, new)} == {
        old: first,
        new: second,
    }


def test_there_is_no_alias_of_other_bytes_nor_where_the_engine_would_not_look(
    tmp_path: Path, folders: ModelFolders
) -> None:
    put(tmp_path, "loras/ink.safetensors", prop("lora", "ink"))
    wrong = asyncio.run(aliasing(tmp_path).alias("ink.safetensors", sha256="0" * 64))
    assert (wrong, list((tmp_path / "aliases").iterdir())) == ("", [])
    assert alias(folders, "ink.safetensors") == ""


def test_aliases_of_long_ago_are_forgotten(tmp_path: Path) -> None:
    """Each keeps the bytes of a LoRA that was replaced."""
    folders, latest = aliasing(tmp_path), ""
    for number in range(20):
        file = put(tmp_path, "loras/new", prop("lora", str(number)))
        file.replace(tmp_path / "models" / "loras" / "ink.safetensors")
        latest = alias(folders, "ink.safetensors")
    kept = {link.name for link in (tmp_path / "aliases").iterdir()}
    assert len(kept) == 16
    assert latest in kept
