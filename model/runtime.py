"""Chooses what runs a checkpoint's encoder: torch, or the int8 layers (`model.int8`). Imports no torch."""

from __future__ import annotations

from pathlib import Path

from core.errors import UserError
from core.events import Runtime
from model.checkpoint import CheckpointInfo
from model.design import RuntimeChoice

VNNI = frozenset({"avx512_vnni", "avx_vnni"})
"""Flags of CPUs that have instructions for products of int8."""
CPUINFO = Path("/proc/cpuinfo")
GPUS = (Path("/dev/nvidiactl"), Path("/dev/kfd"))
"""Files that exist where a GPU of NVIDIA or AMD does."""


def has_vnni(cpuinfo: str) -> bool:
    """Whether the text of /proc/cpuinfo has a flag of `VNNI`."""
    lines = (line.partition(":") for line in cpuinfo.splitlines())
    return any(VNNI & set(flags.split()) for name, _, flags in lines if name.strip() == "flags")


def choose(choice: RuntimeChoice, *, stored: bool, on_cpu: bool, cpuinfo: str) -> Runtime:
    """Returns the runtime. `stored`: whether the checkpoint has int8 layers. `on_cpu`: whether models run on the CPU.

    auto takes int8 if the checkpoint has it, models run on the CPU, and the CPU has VNNI. Raises `UserError` when int8
    is asked for and cannot run.
    """
    if choice == "int8" and not stored:
        raise UserError("the runtime is int8, but the checkpoint has no int8 layers; quantise it, or choose torch")
    if choice == "int8" and not on_cpu:
        raise UserError("the runtime is int8, which runs on the CPU only; choose the device cpu, or the runtime torch")
    if choice == "auto":
        return "int8" if stored and on_cpu and has_vnni(cpuinfo) else "torch"
    return choice


def choose_here(choice: RuntimeChoice, info: CheckpointInfo, device: str) -> Runtime:
    """Does what `choose` does, for this machine. `device` is auto, cpu or cuda. Raises `UserError`."""
    on_cpu = device == "cpu" or (device == "auto" and (choice == "int8" or not any(path.exists() for path in GPUS)))
    return choose(choice, stored=info.int8 is not None, on_cpu=on_cpu, cpuinfo=_cpuinfo())


def _cpuinfo() -> str:
    try:
        return CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux
        return ""
