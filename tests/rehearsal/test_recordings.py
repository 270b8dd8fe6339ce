"""Laws of the stand-in: it answers a recorded client as the real ComfyUI 0.3.64 answered.

The tests named here support the rows N1.1 to N1.5, N5.3, N6.1 and N6.2: what the daemon proves
against this server holds as far as this server and the real one are alike.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.rehearsal.replay import Replay, recording, up_to
from tests.rehearsal.stand import Json, add_bench_nodes, standing

STEP_S = 0.008


def _replay(base: Path, lines: list[Json], *, step_s: float = STEP_S) -> Replay:
    async def play() -> Replay:
        async with standing(base, step_s=step_s) as stand:
            replay = Replay(stand, lines)
            await replay.play()
            return replay

    return asyncio.run(play())


def test_a_successful_prompt_is_told_in_the_recorded_order(tmp_path: Path) -> None:
    """N1.1: connected before the POST, a client hears everything from start to end."""
    replay = _replay(tmp_path, recording("a"))
    kinds = [m["type"] for m in replay.heard["A"]]
    assert kinds[-3:] == ["execution_success", "status", "executing"]


def test_a_prompt_with_an_uploaded_hint_is_told_in_the_recorded_order(tmp_path: Path) -> None:
    """N1.1 with a ControlNet; the recorded cache came from the prompt before: it is run first."""
    lines = recording("a2")
    first = next(x for x in recording("a") if x.get("method") == "POST")

    async def play() -> None:
        async with standing(tmp_path, step_s=STEP_S) as stand:
            await stand.run(first["body"]["prompt"])
            await Replay(stand, lines).play()

    asyncio.run(play())


def test_an_identical_prompt_is_answered_from_the_cache_with_the_old_file(tmp_path: Path) -> None:
    """N3.3: without a prefix of its own an attempt would be given another one's file."""
    lines = recording("b")
    first = next(x for x in recording("a") if x.get("method") == "POST")

    async def play() -> None:
        async with standing(tmp_path) as stand:
            await stand.run(first["body"]["prompt"])
            gone = stand.rehearsal.layout.output / "bench" / "other_prefix_00001_.png"
            await Replay(stand, lines).play({"the output file is deleted": gone.unlink})

    asyncio.run(play())


def test_every_refusal_has_the_recorded_status_and_body(tmp_path: Path) -> None:
    """N3.2: the server's 400 is trusted, so the stand-in's must be the same."""
    lines = recording("c")
    first = next(x for x in recording("a") if x.get("method") == "POST")

    async def play() -> None:
        async with standing(tmp_path, step_s=0.05) as stand:
            await stand.run(first["body"]["prompt"])
            await Replay(stand, lines).play()

    asyncio.run(play())


def test_errors_while_running_are_told_in_the_recorded_order(tmp_path: Path) -> None:
    """N1.5: an error ends with ``executing`` too and is no success."""
    _replay(tmp_path, up_to(recording("d"), "(bench node) RuntimeError"))


def test_interrupts_act_as_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """N1.5, N6.3: an interrupt reaches the prompt that it names, or nothing."""
    add_bench_nodes(monkeypatch)
    _replay(tmp_path, recording("e"))


def test_only_the_owner_hears_of_a_prompt(tmp_path: Path) -> None:
    """N1.2: of other people's prompts a client hears ``status`` only."""
    lines = recording("f")
    first = next(x for x in recording("a") if x.get("method") == "POST")

    async def play() -> None:
        async with standing(tmp_path, step_s=STEP_S) as stand:
            await stand.run(first["body"]["prompt"])
            await Replay(stand, lines).play()

    asyncio.run(play())


def test_who_connects_late_is_told_where_it_stands_and_finds_the_rest_in_the_history(
    tmp_path: Path,
) -> None:
    """N1.4: nothing is sent again; the history has it."""
    lines = recording("g")
    # Ours is done before the first look at the history, which was recorded as too early.
    early = next(i for i, x in enumerate(lines) if x.get("body") == {})
    _replay(tmp_path, lines[: early - 1] + lines[early + 1 :], step_s=0.02)


def test_a_reconnected_client_goes_on_hearing(tmp_path: Path) -> None:
    """N6.1: reconnects in the middle and after the end."""
    lines = up_to(recording("h"), "3. second connection")
    first = next(x for x in recording("a") if x.get("method") == "POST")

    async def play() -> None:
        async with standing(tmp_path, step_s=0.03) as stand:
            await stand.run(first["body"]["prompt"])
            await Replay(stand, lines).play()

    asyncio.run(play())


def test_the_queue_is_deleted_cleared_and_ordered_as_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """N6.2: heap order, priorities, twins of one id, and a 500 for a prompt that runs."""
    add_bench_nodes(monkeypatch)
    _replay(tmp_path, recording("j"))


def test_nodes_are_described_as_recorded(tmp_path: Path) -> None:
    """N3.2: the classes this engine has, with the limits and choices of the real ones."""
    unknown = ("KSamplerAdvanced", "Latent", "ImageScale", "ImageInvert", "VAEEncode", "Upscale")
    lines = up_to(recording("k"), "GET /object_info (all)")
    known = []
    for sent, received in zip(lines[1::2], lines[2::2], strict=True):
        name = sent["path"].rpartition("/")[2]
        if not name.startswith((*unknown, "SetUnion", "LoadImage")):
            known += [sent, received]
    _replay(tmp_path, known)


def test_the_other_endpoints_answer_as_recorded(tmp_path: Path) -> None:
    """N5.1: health, models, uploads, pictures, and what does not exist."""
    lines = up_to(recording("l"), "headers of /view")
    skipped = ("/view_metadata/", "/experiment/")
    kept, drop = [], False
    for line in lines:
        if line.get("dir") == "send":
            form = line.get("form", {})
            # Two endpoints that this engine lacks, two requests whose bytes were not recorded.
            untold = form and ("foo" in form or "bytes" not in form.get("image", ""))
            drop = bool(line["path"].startswith(skipped) or untold)
        if not (drop and line["ch"] == "http"):
            kept.append(line)
    _replay(tmp_path, kept)


def test_the_handshake_of_a_socket_is_answered_as_recorded(tmp_path: Path) -> None:
    """N1.1: feature flags only as the first words, and on /api/ws too."""
    _replay(tmp_path, recording("l2"))


def test_files_are_named_as_recorded(tmp_path: Path) -> None:
    """N3.3: the prefix decides folder and name; odd prefixes included."""
    lines = up_to(recording("n"), "V3 COMBO inputs")
    # Two outputs of one prompt run in an order that the real server leaves to chance.
    before = up_to(lines, "two SaveImage nodes with identical inputs")
    after = lines[len(up_to(lines, "PreviewImage: goes to the temp folder")) :]
    for line in after:
        if line.get("dir") == "recv" and "number" in (line.get("body") or {}):
            line["body"]["number"] -= 2  # The two that are left out were counted.
    _replay(tmp_path, before + after)


def test_without_a_client_id_only_progress_is_told_and_to_everybody(tmp_path: Path) -> None:
    """N1.2: the one case in which foreign progress reaches a client."""
    lines = recording("o")
    first = next(x for x in lines if x.get("method") == "POST")
    warm = {**first["body"]["prompt"]}
    warm["9"] = {**warm["9"], "inputs": {"images": ["8", 0], "filename_prefix": "bench/warm"}}
    warm["7"] = {**warm["7"], "inputs": {**warm["7"]["inputs"], "seed": 0}}

    async def play() -> None:
        async with standing(tmp_path, step_s=STEP_S) as stand:
            await stand.run(warm)
            await Replay(stand, lines).play()

    asyncio.run(play())
