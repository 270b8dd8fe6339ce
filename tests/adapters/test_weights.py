"""The engine's model folders: what is a model, what it is, and what is said when it is not one."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import struct
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import pytest

from daemon.adapters.weights import ModelFolders, prop
from daemon.core.jobs import ModelFacts
from daemon.errors import WorldError
from daemon.ports import Weights
from daemon.rehearsal import weights as stage


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
    assert facts(folders, name) == expected


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


def _must_not_be_read(*_: object) -> bytes:
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
