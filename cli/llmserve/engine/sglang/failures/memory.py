"""Memory that is missing: on a GPU, in the machine, in /dev/shm."""

from __future__ import annotations

from llmserve.engine.rules import Rule
from llmserve.engine.sglang.failures.hints import SMALLER

RULES = (
    Rule(
        "no_memory_for_cache",
        r"leave no GPU memory for the KV cache under --mem-fraction-static=(?P<is>[\d.e-]*\d)\. "
        r"Raise --mem-fraction-static above (?P<least>[\d.]*\d)",
        "The weights leave no memory for the KV cache: --mem-fraction-static is {is}, more than {least} is needed.",
        SMALLER,
        exit_code=3,
        rank=82,
    ),
    Rule(
        "no_memory_for_cache",
        r"leave no GPU memory for the KV cache"
        r"|Not enough memory[.;] *(?:Please try to |Please try )?increas(?:e|ing) --mem-fraction-static"
        r"|Memory pool size is too small",
        "The weights leave no memory for the KV cache.",
        SMALLER,
        exit_code=3,
        rank=80,
    ),
    Rule(
        "no_memory_for_state",
        r"Not enough GPU memory for hybrid|state cache is too small to serve",
        "The memory left by the weights does not hold the state of one request of this hybrid model.",
        "Ask for less with --concurrency, or choose a smaller model.",
        exit_code=3,
        rank=80,
    ),
    Rule(
        "no_memory_for_cache",
        r"SWA pool \((?P<tokens>\d+) tokens\) cannot hold even one request",
        "The sliding-window part of the KV cache has room for {tokens} tokens, too few for one request.",
        SMALLER,
        exit_code=3,
        rank=80,
    ),
    Rule(
        "no_memory_for_graphs",
        r"Capture (?i:cuda) graph failed: .*out of memory",
        "GPU memory ran out while CUDA graphs were captured, after weights and KV cache were in place.",
        "Ask for less with --concurrency, or add `-- --cuda-graph-max-bs-decode 16`.",
        exit_code=3,
        rank=85,
    ),
    Rule(
        "gpu_out_of_memory",
        r"out of memory\. Tried to allocate (?P<asked>[\d.]+ \w+)\. GPU (?P<gpu>\d+) has a total capacity of "
        r"(?P<total>[\d.]+ \w+) of which (?P<free>[\d.]+ \w+) is free",
        "GPU {gpu} ran out of memory: {asked} more were asked for, {free} of {total} were free.",
        SMALLER,
        exit_code=3,
        rank=82,
    ),
    Rule(
        "gpu_out_of_memory",
        r"(?:torch\.(?:cuda\.)?OutOfMemoryError|(?:CUDA|HIP|NPU|XPU) out of memory"
        r"|(?:CUDA|HIP|Triton) [Ee]rror(?: \[CUDA\])?: out of memory"
        r"|cudaErrorMemoryAllocation|CUBLAS_STATUS_ALLOC_FAILED|cudaMalloc failed: out of memory)",
        "A GPU ran out of memory.",
        SMALLER,
        exit_code=3,
        rank=80,
    ),
    Rule(
        "gpu_out_of_memory",
        r"CUBLAS_STATUS_NOT_INITIALIZED",
        "A GPU library could not start, most often because the GPU's memory was full.",
        SMALLER,
        exit_code=3,
        rank=60,
    ),
    Rule(
        "host_out_of_memory",
        r"DefaultCPUAllocator: .*(?:not enough memory|can't allocate memory).*?(?P<size>\d+) bytes",
        "The machine's memory ran out: {size} bytes more were asked for.",
        SMALLER,
        exit_code=3,
        rank=80,
    ),
    Rule(
        "host_out_of_memory",
        r"^(?:MemoryError|std::bad_alloc)\b|what\(\): +std::bad_alloc|\[Errno 12\] Cannot allocate memory",
        "The machine's memory ran out.",
        SMALLER,
        exit_code=3,
        rank=80,
    ),
    Rule(
        "gpus_uneven",
        r"The memory capacity is unbalanced",
        "The chosen GPUs differ by more than a tenth in free memory: other processes use one of them.",
        "See who with `llmserve doctor`, and choose free GPUs.",
        exit_code=3,
        rank=80,
    ),
    Rule(
        "shared_memory_full",
        r"No space left on device.*/dev/shm|/dev/shm.*No space left on device|unable to allocate shared memory"
        r"|[Ee]rror while (?:creating|attaching to) shared memory segment"
        r"|unable to (?:open|mmap|resize|write) .*torch_\d+_"
        r"|might be out of shared memory|workers are out of shared memory|^Bus error",
        "The shared memory (/dev/shm) is full or too small.",
        "In a container, start it with --shm-size=8g or --ipc=host.",
        exit_code=3,
        rank=81,
    ),
    Rule(
        "disk_full",
        r"\[Errno 28\]|No space left on device|\[Errno 122\]|Disk quota exceeded",
        "A disk is full, on which the engine writes.",
        "See which with `llmserve doctor`; compiled kernels go to ~/.cache, temporary files to TMPDIR.",
        exit_code=1,
        rank=70,
    ),
    Rule(
        "limits",
        r"\[Errno 24\] Too many open files|can't start new thread|\[Errno 11\] Resource temporarily unavailable",
        "A limit of this user was reached: open files, threads or processes.",
        "See `ulimit -n` and `ulimit -u`; a container may have limits of its own (--pids-limit).",
        exit_code=1,
        rank=70,
    ),
)
