"""Which samplers repeat on another machine, and which only on this one."""

from __future__ import annotations

import pytest

from daemon.craft.samplers import SAMPLERS, SCHEDULERS, noise_of


@pytest.mark.parametrize(
    "sampler", ["euler", "heun", "dpmpp_2m", "dpmpp_sde", "dpmpp_2m_sde", "ddim", "uni_pc"]
)
def test_the_first_noise_and_a_tree_on_the_cpu_are_portable(sampler: str) -> None:
    """W18: the start noise and the Brownian tree of SDE samplers are drawn on the CPU."""
    assert noise_of(sampler) == "portable"


@pytest.mark.parametrize(
    "sampler",
    [
        "euler_ancestral",
        "dpm_2_ancestral",
        "euler_ancestral_cfg_pp",
        "dpmpp_sde_gpu",
        "lcm",
        "ddpm",
    ],
)
def test_noise_at_each_step_belongs_to_the_device(sampler: str) -> None:
    """W18."""
    assert noise_of(sampler) == "device"


def test_the_lists_are_comfyuis() -> None:
    """42 samplers and 9 schedulers, as its KSampler node lists them."""
    assert (len(set(SAMPLERS)), len(set(SCHEDULERS))) == (42, 9)
