"""Checkpoints that cannot be loaded."""

from __future__ import annotations

from llmserve.engine.rules import Rule
from llmserve.engine.sglang.failures.hints import FETCH, OTHER_MODEL

RULES = (
    Rule(
        "broken_checkpoint",
        r"SafetensorError: (?P<what>.{1,200})|(?P<where>Error while deserializing header.{0,160})",
        "A weight file is damaged or truncated: {what}{where}.",
        FETCH,
        rank=80,
    ),
    Rule(
        "missing_weights",
        r"references (?P<count>\d+) shard file\(s\) missing from .*: \['(?P<name>[^']+)'",
        "Weight files are missing: {count}, among them {name}.",
        FETCH,
        rank=80,
    ),
    Rule(
        "missing_weights",
        r"Cannot find any model weights with `(?P<path>.{1,200}?)`",
        "There are no weights in {path}.",
        FETCH,
        rank=80,
    ),
    Rule(
        "missing_tokenizer",
        r"Couldn't instantiate the backend tokenizer|Can't load tokenizer for '(?P<path>[^']{1,200})'"
        r"|does not appear to have a file named tokenizer",
        "The model has no tokenizer that SGLang can load.",
        "Fetch the model again, or name another one with `-- --tokenizer-path PATH`.",
        rank=80,
    ),
    Rule(
        "missing_config",
        r"Unrecognized model in (?P<path>.{1,200}?)\. Should have a `model_type`"
        r"|(?P<folder>.{1,200}) does not appear to have a file named config\.json",
        "The model has no config.json that names its type.",
        FETCH,
        rank=80,
    ),
    Rule(
        "broken_config",
        r"the config file at '(?P<path>[^']{1,200})' is not a valid JSON file",
        "{path} is not valid JSON.",
        FETCH,
        rank=80,
    ),
    Rule(
        "no_model",
        r"Repo id must be in the form 'repo_name' or 'namespace/repo_name': '(?P<path>[^']{1,200})'"
        r"|Incorrect path_or_model_id: '(?P<id>[^']{1,200})'",
        "There is no model at {path}{id}.",
        "Check the path, or give the model's name: llmserve fetches it.",
        exit_code=2,
        rank=80,
    ),
    Rule(
        "not_downloaded",
        r"outgoing traffic has been disabled|OfflineModeIsEnabled|We couldn't connect to 'https://huggingface\.co'",
        "SGLang wants a file that is not on this disk, and it is not allowed to fetch it.",
        "Fetch the model again, or check the paths among the words after `--`.",
        rank=70,
    ),
    Rule(
        "needs_access",
        r"GatedRepoError|Access to model .* is restricted|401 Client Error|403 Client Error|Repository Not Found"
        r"|access(?: to)? a gated repo|Cannot access gated repo|RepositoryNotFoundError",
        "The model is gated or private, and no token with access to it was found.",
        "Accept the model's licence on its page, then set HF_TOKEN.",
        exit_code=4,
        rank=80,
    ),
    Rule(
        "unsupported_architecture",
        r"Model architectures \['?(?P<arch>[^']+?)'?\] (?:are not supported for now|failed to be inspected)",
        "SGLang does not know the architecture {arch}.",
        OTHER_MODEL,
        rank=80,
    ),
    Rule(
        "unsupported_architecture",
        r"Cannot find model module\. '(?P<arch>[^']+)' is not a registered model",
        "SGLang does not know the architecture {arch}.",
        OTHER_MODEL,
        rank=80,
    ),
    Rule(
        "unsupported_architecture",
        r"has model type `(?P<arch>[^`]+)` but Transformers does not recognize this architecture",
        "SGLang does not know models of type {arch}.",
        OTHER_MODEL,
        rank=80,
    ),
    Rule(
        "unsupported_gpu",
        r"quantization method (?P<method>\S+) is not supported for the current GPU\. "
        r"Minimum capability: (?P<least>\d+)\. +Current capability: (?P<has>\d+)",
        "This GPU (capability {has}) cannot run {method} weights, which need {least}.",
        "Choose a checkpoint in another format.",
        rank=80,
    ),
    Rule(
        "unsupported_gpu",
        r"type fp8\w+ not supported in this architecture",
        "This GPU has no arithmetic for fp8 weights.",
        "Choose a checkpoint in another format.",
        rank=80,
    ),
    Rule(
        "unsupported_quantization",
        r"(?:Unknown|Invalid|Unsupported)(?: KV cache)? quantization (?:method|scheme|strategy)(?: on CPU)?:? "
        r"(?P<method>[\w'-]+)",
        "SGLang does not know the quantisation {method}.",
        OTHER_MODEL,
        rank=80,
    ),
    Rule(
        "unsupported_quantization",
        r"(?P<dtype>torch\.\w+) is not supported for quantization method (?P<method>\S+)\. Supported dtypes: "
        r"\[(?P<known>[^\]]+)\]",
        "Weights quantised with {method} cannot be computed in {dtype}.",
        "Add `-- --dtype float16`; it takes {known}.",
        exit_code=2,
        rank=80,
    ),
    Rule(
        "unsupported_quantization",
        r"[Qq]uantization method (?P<method>.{1,40}?) is not (?:yet )?supported",
        "SGLang cannot run weights quantised with {method} here.",
        "Choose a checkpoint in another format.",
        rank=79,
    ),
    Rule(
        "broken_checkpoint",
        r"Consistency check failed: (?P<what>.{1,200}?)(?: \(|$)|(?P<where>Unable to load weights from .{1,100})"
        r"|(?P<tokenizer>could not parse ModelProto from \S+)",
        "A file of the model is damaged: {what}{where}{tokenizer}.",
        FETCH,
        rank=80,
    ),
    Rule(
        "bad_value",
        r"Chat template (?P<what>.{1,120}?) is not a built-in template name",
        "There is no chat template {what}.",
        "Check the words after `--`: a name that SGLang knows, or the path of a file.",
        exit_code=2,
        rank=80,
    ),
    Rule(
        "bad_split",
        r"not divisible by weight quantization block|For quantized MoE models, please make sure|is not divisible by"
        r"|(?:heads|size)\b.{0,40} (?:must|should) be divisible by (?:the )?(?:tensor|\w*tp|ep_size)",
        "The model cannot be split over this number of GPUs: a dimension is not divisible.",
        "Use another number of GPUs.",
        rank=60,
    ),
)
