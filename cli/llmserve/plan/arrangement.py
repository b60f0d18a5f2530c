"""How GPUs share one model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Arrangement:
    """Sizes in GPUs, in SGLang's meaning.

    ``tensor_parallel`` GPUs share each layer; ``attention_data_parallel`` divides them into groups with caches of their
    own; ``expert_parallel`` says how many groups of them hold different experts. ``pipeline_parallel`` stages hold
    different layers. ``data_parallel`` copies of all that serve side by side. ``all_to_all``: tokens travel to their
    experts (DeepEP and its like), and each GPU has the shared experts whole.
    """

    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    attention_data_parallel: int = 1
    expert_parallel: int = 1
    data_parallel: int = 1
    all_to_all: bool = False

    @property
    def attention_tensor_parallel(self) -> int:
        """GPUs that share the heads of one attention layer."""
        return self.tensor_parallel // self.attention_data_parallel

    @property
    def gpus(self) -> int:
        return self.tensor_parallel * self.pipeline_parallel * self.data_parallel
