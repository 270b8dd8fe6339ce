"""Knows ComfyUI's samplers and schedulers, and which of them repeat on another machine.

Names as of ComfyUI 0.3.64; the engine's own list has the last word before a prompt is sent.
"""

from __future__ import annotations

from typing import Literal

Noise = Literal["portable", "device"]
"""Whether the same seed gives the same noise on every machine."""

SAMPLERS: tuple[str, ...] = (
    "euler",
    "euler_cfg_pp",
    "euler_ancestral",
    "euler_ancestral_cfg_pp",
    "heun",
    "heunpp2",
    "dpm_2",
    "dpm_2_ancestral",
    "lms",
    "dpm_fast",
    "dpm_adaptive",
    "dpmpp_2s_ancestral",
    "dpmpp_2s_ancestral_cfg_pp",
    "dpmpp_sde",
    "dpmpp_sde_gpu",
    "dpmpp_2m",
    "dpmpp_2m_cfg_pp",
    "dpmpp_2m_sde",
    "dpmpp_2m_sde_gpu",
    "dpmpp_2m_sde_heun",
    "dpmpp_2m_sde_heun_gpu",
    "dpmpp_3m_sde",
    "dpmpp_3m_sde_gpu",
    "ddpm",
    "lcm",
    "ipndm",
    "ipndm_v",
    "deis",
    "res_multistep",
    "res_multistep_cfg_pp",
    "res_multistep_ancestral",
    "res_multistep_ancestral_cfg_pp",
    "gradient_estimation",
    "gradient_estimation_cfg_pp",
    "er_sde",
    "seeds_2",
    "seeds_3",
    "sa_solver",
    "sa_solver_pece",
    "ddim",
    "uni_pc",
    "uni_pc_bh2",
)

SCHEDULERS: tuple[str, ...] = (
    "simple",
    "sgm_uniform",
    "karras",
    "exponential",
    "ddim_uniform",
    "beta",
    "normal",
    "linear_quadratic",
    "kl_optimal",
)

_DRAWING_STEP_NOISE = frozenset(
    {"ddpm", "lcm", "er_sde", "seeds_2", "seeds_3", "sa_solver", "sa_solver_pece"}
)


def noise_of(sampler: str) -> Noise:
    """Whether the sampler's noise is the same on every machine (W18).

    The first noise is always drawn on the CPU. Ancestral samplers, and others that add noise at
    each step, draw that on the device; SDE samplers use a CPU tree unless their name ends in _gpu.
    """
    drawn = "ancestral" in sampler or sampler.endswith("_gpu") or sampler in _DRAWING_STEP_NOISE
    return "device" if drawn else "portable"
