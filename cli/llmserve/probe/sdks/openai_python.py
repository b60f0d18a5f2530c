"""Run as a script by whatever Python has ``openai``: reads jobs from standard input, writes a line for each.

The calls are those of the SDK's documentation; what they give back is written down without any judgement.
"""

from __future__ import annotations

import json
import math
import sys
from typing import Any

MESSAGES: Any = [{"role": "user", "content": "hi"}]
TOOLS: Any = [{"type": "function", "function": {"name": "pick_color", "parameters": {"type": "object"}}}]


def client(base_url: str) -> Any:
    import openai

    return openai.OpenAI(base_url=base_url, api_key="replayed", max_retries=0, timeout=10)


def models(api: Any) -> dict[str, Any]:
    return {"ids": [model.id for model in api.models.list()]}


def chat(api: Any) -> dict[str, Any]:
    return completed(api.chat.completions.create(model="m", messages=MESSAGES))


def completed(answer: Any) -> dict[str, Any]:
    choice = answer.choices[0]
    calls = [[call.id, call.function.name, call.function.arguments] for call in choice.message.tool_calls or []]
    return {
        "text": choice.message.content or "", "role": choice.message.role, "finish": choice.finish_reason,
        "total": answer.usage.total_tokens if answer.usage else None, "calls": calls,
    }  # fmt: skip


def stream(api: Any) -> dict[str, Any]:
    text, finish, total = "", None, None
    for chunk in api.chat.completions.create(model="m", messages=MESSAGES, stream=True):
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
        total = chunk.usage.total_tokens if chunk.usage else total
    return {"text": text, "finish": finish, "total": total}


def helper(api: Any, **more: Any) -> dict[str, Any]:
    with api.chat.completions.stream(model="m", messages=MESSAGES, **more) as events:
        for _ in events:
            pass
        return completed(events.current_completion_snapshot)


def tools(api: Any) -> dict[str, Any]:
    return completed(api.chat.completions.create(model="m", messages=MESSAGES, tools=TOOLS))


def tools_helper(api: Any) -> dict[str, Any]:
    return helper(api, tools=TOOLS)


def completion(api: Any) -> dict[str, Any]:
    answer = api.completions.create(model="m", prompt="hi")
    return {"text": answer.choices[0].text, "finish": answer.choices[0].finish_reason}


def embeddings(api: Any) -> dict[str, Any]:
    vector = api.embeddings.create(model="m", input="hi").data[0].embedding
    return {"size": len(vector), "first": vector[0], "norm": math.hypot(*vector)}


def responses(api: Any) -> dict[str, Any]:
    answer = api.responses.create(model="m", input="hi")
    return {"text": answer.output_text, "status": answer.status}


def responses_helper(api: Any) -> dict[str, Any]:
    with api.responses.stream(model="m", input="hi") as events:
        text, last = "", None
        for event in events:
            text += event.delta if event.type == "response.output_text.delta" else ""
            last = event
    ended = last is not None and last.type in ("response.completed", "response.incomplete", "response.failed")
    return {"text": text, "status": last.response.status if last is not None and ended else None}


def error(api: Any) -> dict[str, Any]:
    import openai

    try:
        api.chat.completions.create(model="m", messages=MESSAGES)
    except openai.APIStatusError as raised:
        return {"status": raised.status_code, "shown": str(raised), "code": raised.code, "param": raised.param}
    return {"status": 200, "shown": "no error was raised"}


CALLS = {
    "models": models, "chat": chat, "stream": stream, "helper": helper, "tools": tools, "tools_helper": tools_helper,
    "completion": completion, "embeddings": embeddings, "responses": responses, "responses_helper": responses_helper,
    "error": error,
}  # fmt: skip


def main() -> None:
    for job in json.load(sys.stdin):
        try:
            with client(job["base_url"]) as api:
                told: dict[str, Any] = {"value": CALLS[job["call"]](api)}
        except Exception as raised:  # whatever a client raises is the finding
            told = {"error": f"{type(raised).__name__}: {raised}"[:400]}
        sys.stdout.write(json.dumps(told, default=repr) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
