"""A platform on which every operator runs as SGLang's own ``forward_native``, written in torch."""

from __future__ import annotations

from sglang.srt.platforms.cpu import CpuDeviceMixin
from sglang.srt.platforms.device_mixin import PlatformEnum
from sglang.srt.platforms.interface import SRTPlatform


class PlainCpu(CpuDeviceMixin, SRTPlatform):  # type: ignore[misc]
    """Out of tree on purpose: SGLang's own CPU platform needs ``sgl_kernel``, which has no public CPU build."""

    _enum = PlatformEnum.OOT

    def get_default_attention_backend(self) -> str:
        return "torch_native"
