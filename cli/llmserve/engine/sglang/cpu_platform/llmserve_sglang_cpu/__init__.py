"""SGLang on a CPU without compiled kernels. Imported at every start of its Python: keep it empty of imports."""


def activate() -> str:
    """SGLang's entry point for platforms: the class to use, by name."""
    return "llmserve_sglang_cpu.platform.PlainCpu"
