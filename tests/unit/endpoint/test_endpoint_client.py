"""The client against a scripted server: what it sends, what it makes of answers, and of every refusal."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from email.utils import formatdate
from types import SimpleNamespace

import pytest

from llmserve.endpoint.client import Client
from llmserve.endpoint.endpoint import Endpoint
from llmserve.endpoint.types import ChatRequest, Delta, ServedModel, StreamEnd, Usage
from llmserve.endpoint.url import normalise
from llmserve.errors import LlmserveError, NeedsAccessError, NotReadyError, UsageError
from tests.fakes.endpoint import CUT, DONE, FakeEndpoint, Reply, Route, chunk, completion, error, models, stream, usage

CHAT = "/v1/chat/completions"
ASK = ChatRequest(model="tiny", messages=({"role": "user", "content": "hi \ud83d"},), sampling={"max_tokens": 5})


@contextlib.contextmanager
def serving(chat: Route, *, key: str | None = None, **routes: Route) -> Iterator[tuple[Client, FakeEndpoint]]:
    all_routes = {CHAT: chat} | {f"/v1/{name}": route for name, route in routes.items()}
    with FakeEndpoint(all_routes) as fake:
        endpoint = Endpoint(base_url=fake.url, api_key=key, key_origin="OPENAI_API_KEY" if key else "", read_timeout=60)
        with Client(endpoint) as client:
            yield client, fake


def fault_of(call: Callable[[], object]) -> LlmserveError:
    with pytest.raises(LlmserveError) as caught:
        call()
    return caught.value


def refusal(chat: Route, *, key: str | None = None, **routes: Route) -> LlmserveError:
    """The error of a streamed request; a plain one must give the same."""
    with serving(chat, key=key, **routes) as (client, fake):
        streamed, plain = fault_of(lambda: list(client.chat_stream(ASK))), fault_of(lambda: client.chat(ASK))
    assert streamed.as_dict() == plain.as_dict()
    assert "\n" not in f"{streamed.message}{streamed.hint}"
    streamed.message, streamed.hint = streamed.message.replace(fake.url, "URL"), streamed.hint or ""
    return streamed


def test_stream() -> None:
    with serving(stream("Hel", "lo", tokens=usage(3, 2))) as (client, fake):
        events = list(client.chat_stream(ASK))
    assert "".join(event.content for event in events if isinstance(event, Delta)) == "Hello"
    assert events[-2:] == [Usage(prompt=3, completion=2, total=5), StreamEnd(finish_reason="stop")]
    assert fake.requests[0].json == ASK.body(stream=True)


def test_headers_with_and_without_a_key() -> None:
    with serving(completion("x"), key=" sk-1\n") as (client, fake):
        client.chat(ASK)
    headers = fake.requests[0].headers
    assert headers["authorization"] == "Bearer sk-1"
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("llmserve/")
    with serving(completion("x")) as (client, fake):
        client.chat(ASK)
    assert "authorization" not in fake.requests[0].headers


def test_chat() -> None:
    with serving(completion("Hello", tokens=usage(3, 2), reasoning_content="hm")) as (client, fake):
        answer = client.chat(ASK)
    assert (answer.content, answer.reasoning, answer.finish_reason) == ("Hello", "hm", "stop")
    assert answer.usage == Usage(prompt=3, completion=2, total=5)
    assert "stream" not in fake.requests[0].json


def test_models() -> None:
    with serving(Reply(), models=models("a", "b")) as (client, _):
        assert client.models() == [ServedModel(id="a", owned_by="x"), ServedModel(id="b", owned_by="x")]


def test_proxies_are_not_used_for_the_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with serving(completion("x")) as (client, _):
        assert client.chat(ASK).content == "x"
    with Client(Endpoint(base_url="http://gpu-box.invalid/v1")) as client, pytest.raises(LlmserveError) as caught:
        client.models()
    assert caught.value.code == "proxy"
    assert caught.value.message.startswith("The proxy did not lead to http://gpu-box.invalid/v1: ")


def test_closing_the_iterator_closes_the_connection() -> None:
    with serving(Reply(pieces=[chunk("a"), -1])) as (client, fake):
        events = client.chat_stream(ASK)
        assert next(events) == Delta(content="a")
        events.close()
        assert fake.hung_up.wait(5)


@pytest.mark.parametrize(
    ("reply", "kind", "code", "sentence", "hint"),
    [
        (error(401, "no key"), NeedsAccessError, "unauthorized",
         "URL wants an API key (401: no key).", "Set OPENAI_API_KEY, or pass --api-key KEY."),
        (Reply(status=403, body={"error": "Unauthorized"}), NeedsAccessError, "unauthorized",
         "URL wants an API key (403: Unauthorized).", "Set OPENAI_API_KEY, or pass --api-key KEY."),
        (Reply(status=404, body={"detail": "Not Found"}), LlmserveError, "not_found",
         "There is no /chat/completions at URL (404: Not Found).",
         "Check the base URL: it is the address that ends before /chat/completions, for most servers in /v1."),
        (error(404, "The model `tiny` does not exist.", code="model_not_found"), LlmserveError, "model_not_found",
         "URL does not serve the model 'tiny' (404: The model `tiny` does not exist).",
         "It serves: a, b. Choose with --model."),
        (Reply(status=400, body={"object": "error", "message": "model 'tiny' not found"}),
         LlmserveError, "model_not_found",
         "URL does not serve the model 'tiny' (400: model 'tiny' not found).", "It serves: a, b. Choose with --model."),
        (error(429, "slow down", **{"Retry-After": "7"}), LlmserveError, "rate_limited",
         "URL takes no more requests for now (429: slow down).", "Try again in 7 s."),
        (error(429, "slow down", **{"Retry-After": "soon"}), LlmserveError, "rate_limited",
         "URL takes no more requests for now (429: slow down).", "Try again later."),
        (Reply(status=500, body=b"Internal Server Error"), LlmserveError, "server_error",
         "URL failed (500: Internal Server Error).", "The server's log says why."),
        (Reply(status=502, body=b"<html><title>502 Bad Gateway</title>"), LlmserveError, "server_error",
         "URL failed (502: 502 Bad Gateway).", "Try again later."),
        (error(503, "Loading model", type="unavailable_error", code=503), NotReadyError, "loading",
         "URL is not ready yet (503: Loading model).", "Try again in a moment."),
        (Reply(status=503), LlmserveError, "server_error", "URL failed (503).", "Try again later."),
        (error(400, "temperature must be in [0, 2]"), LlmserveError, "bad_request",
         "URL rejected the request (400: temperature must be in [0, 2]).", ""),
        (Reply(status=422, body={"detail": [{"loc": ["body", "x"], "msg": "no"}]}), LlmserveError, "bad_request",
         "URL rejected the request (422: body.x: no).", ""),
        (error(400, "Maximum context length is 9 tokens.", code="context_length_exceeded"), LlmserveError,
         "context_overflow",
         "The conversation does not fit into the model's context (400: Maximum context length is 9 tokens).",
         "Ask something shorter, begin anew, or serve the model with a longer context."),
        (Reply(status=400, body={"object": "error", "message": "The input is longer than the model's context length."}),
         LlmserveError, "context_overflow",
         "The conversation does not fit into the model's context "  # noqa: ISC004
         "(400: The input is longer than the model's context length).",
         "Ask something shorter, begin anew, or serve the model with a longer context."),
        (error(400, "As of transformers v4.44, default chat template is no longer allowed, so you must provide a chat "
                    "template if the tokenizer does not define one."), LlmserveError, "no_chat_template",
         "tiny has no chat template: it continues text and cannot hold a conversation.",
         "Serve an instruction-tuned model, or start the server with a chat template."),
        (Reply(status=307, headers={"Location": "https://elsewhere/v1"}), LlmserveError, "redirect",
         "URL redirects to https://elsewhere/v1 (307).", "Give the address that it leads to with --base-url."),
    ],
)  # fmt: skip
def test_refusals(reply: Reply, kind: type[LlmserveError], code: str, sentence: str, hint: str) -> None:
    fault = refusal(reply, models=models("a", "b"))
    assert (type(fault), fault.code, fault.message, fault.hint) == (kind, code, sentence, hint)
    assert fault.data["status"] == reply.status


def test_a_refused_key_is_named_by_its_origin_and_never_shown() -> None:
    fault = refusal(error(401, "Incorrect API key provided: sk-secret"), key="sk-secret")
    assert fault.message == "URL refused the API key from OPENAI_API_KEY (401: Incorrect API key provided: ***)."
    assert fault.exit_code == 4
    assert "sk-secret" not in str(fault.as_dict())


def test_a_model_that_is_not_served_where_models_are_not_listed() -> None:
    assert refusal(error(404, "model 'tiny' not found")).hint == "Choose another with --model."


def test_retry_after_as_a_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmserve.endpoint.client.time", SimpleNamespace(time=lambda: 1_800_000_000.25))
    fault = refusal(error(429, "x", **{"Retry-After": formatdate(1_800_003_600, usegmt=True)}))
    assert fault.data["retry_after"] == 3600


def test_a_base_url_without_v1_brings_the_right_hint() -> None:
    with FakeEndpoint({}) as fake, Client(Endpoint(base_url=f"{fake.host}/api")) as client:
        fault = fault_of(client.models)
    assert fault.hint == f"Did you mean --base-url {fake.host}/api/v1?"


@pytest.mark.parametrize(
    ("given", "real"),
    [("", "/v1"), ("/", "/v1"), ("/v1/", "/v1"), ("/team/a", "/team/a/v1"), ("/team/a/", "/team/a"), ("/v1", "")],
)
@pytest.mark.parametrize("first", ["models", "chat"])
def test_base_urls_as_people_write_them(given: str, real: str, first: str) -> None:
    """With or without /v1, a slash at the end, a path prefix; and an API that lives where no /v1 is."""
    routes: dict[str, Route] = {f"{real}/models": models("a"), f"{real}/chat/completions": completion("x")}
    with FakeEndpoint(routes) as fake, Client(Endpoint(base_url=normalise(f"{fake.host}{given}"))) as client:
        for _ in range(2):
            if first == "models":
                assert client.models()[0].id == "a"
            assert client.chat(ASK).content == "x"
        assert client.endpoint.base_url == f"{fake.host}{real}"
    wrong = [seen.path for seen in fake.requests if not seen.path.startswith(f"{real}/")]
    assert len(wrong) <= 1, "the right address is kept"


def test_no_other_address_is_tried_for_a_model_that_is_unknown() -> None:
    with serving(error(404, "The model 'tiny' does not exist"), models=models("a")) as (client, fake):
        assert fault_of(lambda: client.chat(ASK)).code == "model_not_found"
    assert {seen.path for seen in fake.requests} == {CHAT, "/v1/models"}


def test_headers_of_the_user_are_sent_and_never_shown() -> None:
    secret = ("X-Api-Key", "sk-secret"), ("Authorization", "Basic dXNlcg"), ("X-Team", "search")
    with FakeEndpoint({CHAT: error(400, "no sk-secret here, no dXNlcg, search")}) as fake:
        endpoint = Endpoint(base_url=fake.url, api_key="sk-1", headers=secret)
        with Client(endpoint) as client:
            fault = fault_of(lambda: client.chat(ASK))
    seen = fake.requests[0].headers
    assert (seen["x-api-key"], seen["x-team"], seen["authorization"]) == ("sk-secret", "search", "Basic dXNlcg")
    assert "no *** here, no ***, search" in fault.message
    assert "sk-" not in repr(endpoint)


def test_nothing_is_retried() -> None:
    with serving(error(500, "x")) as (client, fake), pytest.raises(LlmserveError):
        client.chat(ASK)
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"<html><title>Welcome</title></html>", "answered with 'Welcome', which is not JSON."),
        (b"", "answered with nothing."),
        (b"[]", "answered with JSON that is no chat completion."),
    ],
)
def test_answers_that_are_no_json(body: bytes, sentence: str) -> None:
    with serving(Reply(body=body)) as (client, fake), pytest.raises(LlmserveError) as caught:
        client.chat(ASK)
    assert (caught.value.code, caught.value.message) == ("not_json", f"{fake.url} {sentence}")


def test_an_error_with_status_200() -> None:
    fault = refusal(Reply(body={"error": {"message": "boom", "code": 500}}))
    assert (fault.code, fault.message) == ("server_error", "URL failed (500: boom).")


def test_models_that_are_no_list() -> None:
    with serving(Reply(), models=Reply(body={"status": "ok"})) as (client, _):
        fault = fault_of(client.models)
    assert "JSON that is no list of models" in fault.message


def test_a_connection_cut_in_the_answer() -> None:
    with serving(Reply(pieces=[chunk("a"), chunk("b"), CUT])) as (client, _):
        events = client.chat_stream(ASK)
        assert [next(events), next(events)] == [Delta(content="a"), Delta(content="b")]
        with pytest.raises(LlmserveError) as caught:
            next(events)
    assert caught.value.code == "stream_cut"


def test_a_connection_cut_after_the_finish_reason_is_an_end() -> None:
    with serving(Reply(pieces=[chunk("a"), chunk(finish_reason="stop"), CUT])) as (client, _):
        assert list(client.chat_stream(ASK))[-1] == StreamEnd(finish_reason="stop", done=False)


@pytest.mark.parametrize("pieces", [[-1], [chunk("a"), -1]])
def test_silence(pieces: list[bytes | float]) -> None:
    with (
        FakeEndpoint({CHAT: Reply(pieces=pieces)}) as fake,
        Client(Endpoint(base_url=fake.url, read_timeout=0.2)) as us,
    ):
        fault = fault_of(lambda: list(us.chat_stream(ASK)))
    assert (fault.code, fault.message) == ("timeout", f"{fake.url} was silent for 0.2 s.")


def test_a_list_of_models_is_not_waited_for_as_an_answer_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmserve.endpoint.client.LOOKUP_TIMEOUT", 0.1)
    with serving(Reply(pieces=[0.3, chunk("a"), DONE]), models=Reply(pieces=[-1])) as (client, _):
        assert fault_of(client.models).message.endswith("was silent for 0.1 s.")
        assert next(client.chat_stream(ASK)) == Delta(content="a")


def test_nothing_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        with Client(Endpoint(base_url=url)) as client, pytest.raises(LlmserveError) as caught:
            client.models()
    assert caught.value.code == "connection_refused"
    assert caught.value.message == f"Nothing listens at {url} (connection refused)."
    assert "Is the server running?" in (caught.value.hint or "")


def test_an_unknown_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with Client(Endpoint(base_url="http://no-such-host.invalid/v1")) as client, pytest.raises(LlmserveError) as caught:
        client.models()
    assert (caught.value.code, caught.value.message) == ("unknown_host", "The host no-such-host.invalid is unknown.")


def test_tls_where_there_is_none() -> None:
    with FakeEndpoint({}) as fake:
        url = fake.url.replace("http://", "https://")
        with Client(Endpoint(base_url=url)) as client, pytest.raises(LlmserveError) as caught:
            client.models()
    assert caught.value.code == "tls"
    assert caught.value.hint == f"Try --base-url {fake.url}"


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH_9.9\r\n"])
def test_a_port_of_something_else(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        with Client(Endpoint(base_url=url)) as client, _answering(listener, answer):
            fault = fault_of(client.models)
    assert fault.code == "broken_answer"
    assert "https://" in (fault.hint or "")


@contextlib.contextmanager
def _answering(listener: socket.socket, answer: bytes) -> Iterator[None]:
    import threading

    def talk() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(answer)

    thread = threading.Thread(target=talk)
    thread.start()
    yield
    thread.join(5)


@pytest.mark.parametrize("key", ["sk with space", "sk-\x00", "clé"])
def test_a_key_that_is_none_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(UsageError) as caught:
        Client(Endpoint(base_url="http://h/v1", api_key=key))
    assert key not in caught.value.message


def test_certificate_authorities_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent/ca.pem")
    with pytest.raises(UsageError, match="certificate authorities cannot be read"):
        Client(Endpoint(base_url="https://localhost/v1"))


def test_a_proxy_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "gopher://nowhere:1")
    with pytest.raises(UsageError, match="proxy"):
        Client(Endpoint(base_url="http://gpu-box.invalid/v1"))
