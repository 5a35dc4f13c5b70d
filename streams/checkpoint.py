"""The checkpoint or cascade that the settings name, as a worker with these settings has it on this machine."""

from __future__ import annotations

from core.errors import naming
from core.events import Runtime
from model.cascade_file import Cascade, read_cascade
from model.checkpoint import CheckpointInfo, describe
from model.runtime import choose_here
from model.worker import CascadeProcess, ModelProcess, TaggerProcess
from streams.settings import Settings


def checkpoint_here(settings: Settings) -> CheckpointInfo:
    """Returns the checkpoint with the values of the runtime, or the cascade as if it were one checkpoint.

    Raises `UserError`, which names the setting.
    """
    cascade = cascade_here(settings)
    if cascade is not None:
        return cascade.as_checkpoint
    with naming("MNER_MODEL"):
        info = describe(settings.model)
    return info.running(runtime_here(settings, info))


def cascade_here(settings: Settings) -> Cascade | None:
    """Returns the cascade; None without one. Raises `UserError`, which names the setting."""
    if settings.cascade is None:
        return None
    with naming("MNER_CASCADE"):
        return read_cascade(settings.cascade, settings.device)


def runtime_here(settings: Settings, info: CheckpointInfo) -> Runtime:
    """Returns the runtime of a checkpoint. Raises `UserError`, which names the setting."""
    with naming("MNER_RUNTIME"):
        return choose_here(settings.runtime, info, settings.device)


def process_here(settings: Settings, model: CheckpointInfo | Cascade) -> TaggerProcess:
    """Returns the process for the checkpoint or cascade that was read with these settings, not yet started."""
    common = settings.device, settings.model_threads, settings.model_timeout_s, settings.candidate_threshold
    if isinstance(model, CheckpointInfo):
        return ModelProcess(settings.model_factory, settings.model, *common, model)
    return CascadeProcess(settings.model_factory, model, *common)
