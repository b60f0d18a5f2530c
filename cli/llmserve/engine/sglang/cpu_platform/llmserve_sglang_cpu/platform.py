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

    def init_backend(self) -> None:
        """Once in each worker: torch attends to DeepSeek's latent cache itself.

        For a backend that it does not know, SGLang splits the keys and values of a new prompt into heads, which is what
        Triton's kernels take. torch reads them from the cache, where they are latent.
        """
        from sglang.srt.models.deepseek_common.attention_backend_handler import AttentionBackendRegistry
        from sglang.srt.models.deepseek_common.attention_forward_methods.forward_methods import AttnForwardMethod

        AttentionBackendRegistry.register("torch_native", lambda *_: AttnForwardMethod.MLA)
