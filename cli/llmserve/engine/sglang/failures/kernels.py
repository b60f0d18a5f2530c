"""GPUs, their drivers, and the kernels that run on them."""

from __future__ import annotations

from llmserve.engine.rules import Rule
from llmserve.engine.sglang.failures.hints import REPAIR

RULES = (
    Rule(
        "old_driver",
        r"CUDA driver version is insufficient|NVIDIA driver on your system is too old"
        r"|CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
        "The NVIDIA driver is too old for this SGLang.",
        "Update the driver; `llmserve doctor` shows its version.",
        rank=80,
    ),
    Rule(
        "no_gpu",
        r"No CUDA GPUs are available|no CUDA-capable device is detected|invalid device ordinal|No accelerator"
        r"|Found no NVIDIA driver|you might not have a CUDA gpu|Torch not compiled with CUDA|CUDA unknown error",
        "SGLang sees no GPU.",
        "See what `llmserve doctor` finds, and whether CUDA_VISIBLE_DEVICES hides it.",
        rank=80,
    ),
    Rule(
        "unsupported_gpu",
        r"no kernel image is available|Value 'sm_\w+' is not defined|only supports? (?:Ampere|Hopper|Blackwell)\b"
        r"|CUDA_ERROR_NO_BINARY_FOR_GPU|not compatible with the current PyTorch installation\.?$|requires?:? SM ?>=",
        "SGLang, or a kernel that it chose, was not built for this GPU.",
        "Try another kernel with `-- --attention-backend triton`, another GPU, or the engine llamacpp.",
        rank=80,
    ),
    Rule(
        "kernel_fault",
        r"CUDA error: (?P<what>an illegal memory access|device-side assert|misaligned address|unspecified launch fail)",
        "A GPU kernel failed: {what}.",
        "Try another one with `-- --attention-backend triton`, and report it to SGLang.",
        rank=70,
    ),
    Rule(
        "kernel_fault",
        r"out of resource: shared memory, Required: (?P<asked>\d+), Hardware limit: (?P<has>\d+)",
        "A kernel needs {asked} bytes of a GPU core's shared memory, and this GPU has {has}.",
        "Try another one with `-- --attention-backend flashinfer`, or a smaller --context.",
        rank=70,
    ),
    Rule(
        "broken_gpu",
        r"uncorrectable (?:ECC|NVLink) error|CUDA error: (?:ECC|hardware)|GPU has fallen off the bus|Xid .*(?:79|48)\b",
        "A GPU reports a fault of its hardware.",
        "See `nvidia-smi -q` and the kernel's log; the machine's owner has to reset or replace it.",
        rank=80,
    ),
    Rule(
        "no_compiler",
        r"Could not find nvcc|CUDA_HOME environment variable is not set|nvcc: (?:command )?not found",
        "SGLang compiles a kernel for this GPU, and CUDA's compiler (nvcc) is not here.",
        "Install the CUDA toolkit and set CUDA_HOME, or try `-- --attention-backend triton`.",
        rank=80,
    ),
    Rule(
        "no_compiler",
        r"Failed to find C compiler|No working C\+\+ compiler found|InvalidCxxCompiler"
        r"|fatal error: Python\.h",
        "SGLang compiles kernels at the start, and no C++ compiler with Python's headers is here.",
        "Install them; on Debian they are g++ and python3-dev.",
        rank=80,
    ),
    Rule(
        "no_compiler",
        r"Ninja build failed|Error building extension|fatal error: cuda\w*\.h",
        "A kernel could not be compiled.",
        "`llmserve logs` shows the compiler's words; try another kernel with `-- --attention-backend triton`.",
        rank=50,
    ),
    Rule(
        "engine_incomplete",
        r"ImportError: (?:\S*/)?(?P<name>lib[\w.+-]+\.so[\d.]*): cannot open shared object file",
        "The system's library {name} is missing, which SGLang needs.",
        "Install it with the system's package manager; libnuma is libnuma1 on Debian.",
        rank=80,
    ),
    Rule(
        "engine_incomplete",
        r"ImportError: (?P<name>\S+): undefined symbol",
        "{name} does not fit the PyTorch that is installed beside it.",
        REPAIR,
        rank=80,
    ),
)
