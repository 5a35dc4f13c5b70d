"""The checkpoint that the settings name, and the runtime that a worker with these settings has on this machine."""

from __future__ import annotations

from core.errors import naming
from core.events import Runtime
from model.checkpoint import CheckpointInfo, describe
from model.runtime import choose_here
from streams.settings import Settings


def checkpoint_here(settings: Settings) -> CheckpointInfo:
    """Returns the checkpoint with the values of the runtime. Raises `UserError`, which names the setting."""
    with naming("MNER_MODEL"):
        info = describe(settings.model)
    return info.running(runtime_here(settings, info))


def runtime_here(settings: Settings, info: CheckpointInfo) -> Runtime:
    """Returns the runtime of a checkpoint. Raises `UserError`, which names the setting."""
    with naming("MNER_RUNTIME"):
        return choose_here(settings.runtime, info, settings.device)
