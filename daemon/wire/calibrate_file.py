"""Spells files with ``kind = "calibrate"`` and no lock: the reference run of this machine."""

from __future__ import annotations

import json
from typing import Literal

from pydantic import BaseModel, Field

from daemon.core.jobs import Asked
from daemon.core.reference import REFERENCE_NAME, reference_run
from daemon.wire import name_rules as names
from daemon.wire.complaints import STRICT

_FIRST = 9  # Whatever waits behind it may wait for it.


class CalibrateFile(BaseModel):
    """A file that asks for the reference run with these models."""

    model_config = STRICT
    kind: Literal["calibrate"]
    ref: names.Ref = Field(default="", examples=["run-7/ch01/3"])
    checkpoint: names.Checkpoint = Field(
        examples=[names.CHECKPOINT],
        description="what is drawn thrice; for a published picture instead, lock = its lock file",
    )
    vae: names.Vae = Field(examples=[names.VAE])

    def asked(self) -> Asked:
        """The job that this file asks for."""
        spec = reference_run(checkpoint=self.checkpoint, vae=self.vae)
        return Asked("panel", REFERENCE_NAME, self.ref, _FIRST, rerun=True, spec=spec)


def calibrate_file(*, checkpoint: str, vae: str) -> bytes:
    """Such a file."""
    text = f'kind = "calibrate"\ncheckpoint = {json.dumps(checkpoint)}\nvae = {json.dumps(vae)}\n'
    return f"{text}end = true\n".encode()
