"""Lines that were not recorded here, as PyTorch, NCCL, CUDA, the hub and llama.cpp print them, by their class."""

from __future__ import annotations

import pytest

from llmserve.engine.llamacpp import LlamaCpp
from llmserve.engine.sglang import SGLang

SGLANG = {
    ("gpu_out_of_memory", 3): (
        "torch.OutOfMemoryError: HIP out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 192 GiB",
        "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 224.00 MiB (GPU 0; 24 GiB total)",
        "torch.AcceleratorError: CUDA error: out of memory",
        "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "RuntimeError: CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "RuntimeError: Triton Error [CUDA]: out of memory",
    ),
    ("no_memory_for_graphs", 3): ("Exception: Capture CUDA graph failed: CUDA out of memory. Tried to allocate 1",),
    ("no_memory_for_cache", 3): (
        "RuntimeError: Not enough memory. Please try increasing --mem-fraction-static.",
        "RuntimeError: Not enough memory; increase --mem-fraction-static",
    ),
    ("shared_memory_full", 3): (
        "host:1:4 [0] include/shm.h:50 NCCL WARN Error while creating shared memory segment /dev/shm/nccl-a (size 96)",
        "shmutils.cc:72 NCCL WARN Error: failed to extend /dev/shm/nccl-x to 330 bytes: No space left on device (28)",
        "RuntimeError: unable to open shared memory object </torch_12_45> in read-write mode: No space left on device",
        "RuntimeError: DataLoader worker is killed. It is possible that its workers are out of shared memory.",
        "Bus error (core dumped)",
    ),
    ("host_out_of_memory", 3): ("OSError: [Errno 12] Cannot allocate memory", "MemoryError", "std::bad_alloc"),
    ("worker_killed", 6): ("Killed", "[8.1] Out of memory: Killed process 4242 (sglang::schedul) total-vm:98232kB"),
    ("disk_full", 1): (
        "OSError: [Errno 28] No space left on device: '/var/cache/torchinductor/x'",
        "OSError: [Errno 122] Disk quota exceeded",
    ),
    ("limits", 1): ("OSError: [Errno 24] Too many open files: '/x'", "RuntimeError: can't start new thread"),
    ("gpu_communication", 6): (
        "RuntimeError: NCCL Error 2: unhandled system error (run with NCCL_DEBUG=INFO for details)",
        "ncclInternalError: Internal check failed.",
        "[Rank 0] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=1, OpType=ALLREDUCE) ran for 600026 ms",
    ),
    ("peers_missing", 6): (
        "torch.distributed.DistStoreError: Timed out after 601 seconds waiting for clients. 1/2 clients joined.",
        "RuntimeError: [../third_party/gloo/gloo/transport/tcp/pair.cc:525] Connection closed by peer [10.0.0.2]:32769",
    ),
    ("unsupported_gpu", 6): (
        "RuntimeError: CUDA error: no kernel image is available for execution on the device",
        "ptxas fatal   : Value 'sm_120a' is not defined for option 'gpu-name'",
        "RuntimeError: FlashAttention only supports Ampere GPUs or newer.",
        "AssertionError: FlashAttention v3 Backend requires SM>=80 and SM<=90. Please use another attention backend.",
        "ValueError: type fp8e4nv not supported in this architecture. The supported fp8 dtypes are ('fp8e5',)",
    ),
    ("kernel_fault", 6): (
        "RuntimeError: CUDA error: an illegal memory access was encountered",
        "triton.errors.OutOfResources: out of resource: shared memory, Required: 131072, Hardware limit: 101376.",
    ),
    ("broken_gpu", 6): ("RuntimeError: CUDA error: uncorrectable ECC error encountered",),
    ("no_gpu", 6): (
        "RuntimeError: Found no NVIDIA driver on your system.",
        "AssertionError: Torch not compiled with CUDA enabled",
        "RuntimeError: CUDA unknown error - this may be due to an incorrectly set up environment",
    ),
    ("no_compiler", 6): (
        "RuntimeError: Could not find nvcc and default cuda_home='/usr/local/cuda' doesn't exist",
        "torch._inductor.exc.InductorError: RuntimeError: Failed to find C compiler. Please specify via CC",
        "/tmp/x/main.c:5:10: fatal error: Python.h: No such file or directory",
        "RuntimeError: Ninja build failed. Ninja output:",
    ),
    ("engine_incomplete", 6): (
        "ImportError: libnuma.so.1: cannot open shared object file: No such file or directory",
        "ImportError: /x/sgl_kernel/common_ops.abi3.so: undefined symbol: _ZN3c104cuda9SetDeviceEab",
    ),
    ("unsupported_quantization", 6): (
        "ValueError: Unknown quantization method: xyz. Must be one of ['awq', 'fp8'].",
        "ValueError: Invalid quantization method: foo. Available methods: []",
        "ValueError: The quantization method moe_wna16 + awq is not supported for this model",
    ),
    ("unsupported_quantization", 2): (
        "ValueError: torch.bfloat16 is not supported for quantization method awq. Supported dtypes: [torch.float16]",
    ),
    ("unsupported_architecture", 6): (
        "ValueError: The checkpoint has model type `foo` but Transformers does not recognize this architecture.",
    ),
    ("needs_access", 4): (
        "huggingface_hub.errors.GatedRepoError: 403 Client Error. (Request ID: Root=1-6)",
        "OSError: You are trying to access a gated repo.",
        "Cannot access gated repo for url https://hub.example/meta/x/resolve/main/config.json.",
        "huggingface_hub.errors.RepositoryNotFoundError: 404 Client Error.",
    ),
    ("hung", 6): (
        "[2026-11-22 22:17:48 TP0] Watchdog timeout (self.watchdog_timeout=300)",
        "[2026-11-22 22:17:48] Scheduler watchdog timeout (self.watchdog_timeout=300, self.soft=False)",
    ),
    ("bad_split", 6): (
        "ValueError: Total number of attention heads (28) must be divisible by tensor parallel size (8).",
        "AssertionError: tp_size 6 must be divisible by ep_size 4",
    ),
    ("broken_checkpoint", 6): (
        "OSError: Consistency check failed: file should be of size 4976698672 but has size 123 (model.safetensors)",
        "RuntimeError: Internal: could not parse ModelProto from /models/x/tokenizer.model",
    ),
    ("port_in_use", 1): ("zmq.error.ZMQError: Address already in use (addr='tcp://127.0.0.1:5555')",),
    ("bad_value", 2): ("RuntimeError: Chat template foo is not a built-in template name or a valid path.",),
}  # fmt: skip

LLAMACPP = {
    ("gpu_out_of_memory", 3): (
        "ggml_backend_cuda_alloc_buffer: allocating 4096.00 MiB on device 0: cudaMalloc failed: out of memory",
    ),
    ("out_of_memory", 3): (
        "ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 34359738368",
        "alloc_tensor_range: failed to allocate CPU buffer of size 1099511627776",
        "E llama_model_load: error loading model: mmap failed: Cannot allocate memory",
        "terminate called after throwing an instance of 'std::bad_alloc'",
    ),
    ("unsupported_architecture", 6): (
        "E llama_model_load: error loading model: error loading model vocabulary: unknown pre-tokenizer type: 'foo'",
    ),
    ("unsupported_quantization", 6): (
        "gguf_init_from_file_ptr: tensor 'token_embd.weight' has invalid ggml type 42 (NONE)",
    ),
    ("broken_checkpoint", 6): (
        "gguf_init_from_file_ptr: invalid magic characters: '<htm', expected 'GGUF'",
        "E llama_model_load: error loading model: missing tensor 'blk.0.attn_q.weight'",
    ),
    ("no_access", 1): ("gguf_init_from_file: failed to open GGUF file '/x.gguf' (Permission denied)",),
    ("bad_value", 2): ("E llama_init_from_model: failed to initialize the context: n_seq_max must be <= 256",),
    ("crashed", 6): ("/src/llama-context.cpp:123: GGML_ASSERT(n_ctx > 0) failed",),
}  # fmt: skip


def _flat(table: dict[tuple[str, int], tuple[str, ...]]) -> list[tuple[str, str, int]]:
    return [(line, code, exit_code) for (code, exit_code), lines in table.items() for line in lines]


@pytest.mark.parametrize(("line", "code", "exit_code"), _flat(SGLANG))
def test_sglang(line: str, code: str, exit_code: int) -> None:
    found = SGLang().failure(line)
    assert found
    assert (found.code, found.exit_code) == (code, exit_code)
    assert "{" not in found.message + found.hint
    assert ": ." not in found.message


@pytest.mark.parametrize(("line", "code", "exit_code"), _flat(LLAMACPP))
def test_llama_cpp(line: str, code: str, exit_code: int) -> None:
    found = LlamaCpp().failure(line)
    assert found
    assert (found.code, found.exit_code) == (code, exit_code)


@pytest.mark.parametrize(("code", "name"), [(-9, "killed"), (137, "killed"), (-11, "crashed"), (-4, "unsupported_cpu")])
def test_an_exit_code_of_llama_cpp(code: int, name: str) -> None:
    found = LlamaCpp().exit_failure(code)
    assert found
    assert found.code == name


@pytest.mark.parametrize("code", [0, 1, 2])
def test_an_exit_code_of_llama_cpp_that_says_nothing(code: int) -> None:
    assert LlamaCpp().exit_failure(code) is None
