"""The official libraries besides OpenAI's and Anthropic's, one function each: one call, and its outcome.

Every function takes an ORDER and a Record, and returns the text of the answer and the objects that the library made of it:
one, or one for each event of a stream. What a library raises is for the caller.
"""

import asyncio
import contextlib

def httpx_hooks(record):
    return {"request": [record.on_request], "response": [record.on_response]}


def google(order, record):
    import httpx
    from google import genai
    from google.genai import types

    http = httpx.Client(event_hooks=httpx_hooks(record), headers=order["headers"], trust_env=False)
    options = types.HttpOptions(base_url=order["base_url"], httpx_client=http, headers=order["headers"])
    client = genai.Client(api_key=order["key"], http_options=options)
    question = {"model": order["model"], "contents": order["prompt"]}
    if order["stream"]:
        answers = list(record.each(client.models.generate_content_stream(**question)))
    else:
        answers = [client.models.generate_content(**question)]
    return "".join(answer.text or "" for answer in answers), [plain(answer) for answer in answers]


def cohere(order, record):
    import cohere
    import httpx

    http = httpx.Client(event_hooks=httpx_hooks(record), headers=order["headers"], trust_env=False)
    client = cohere.ClientV2(api_key=order["key"], base_url=order["base_url"], httpx_client=http)
    messages = [{"role": "user", "content": order["prompt"]}]
    if not order["stream"]:
        answer = client.chat(model=order["model"], messages=messages)
        return answer.message.content[0].text, [plain(answer)]
    stream = client.chat_stream(model=order["model"], messages=messages)
    events = [plain(event) for event in record.each(stream)]
    return "".join(find(event, "text") or "" for event in events), events


def mistral(order, record):
    import httpx
    from mistralai.client import Mistral
    from mistralai.client.utils import BackoffStrategy, RetryConfig

    http = httpx.Client(event_hooks=httpx_hooks(record), headers=order["headers"], trust_env=False)
    # Off by default; with it on, the library obeys `retry-after-ms` and `retry-after`.
    retries = RetryConfig("backoff", BackoffStrategy(500, 5_000, 2, 60_000), False) if order["retries"] else None
    client = Mistral(api_key=order["key"], server_url=order["base_url"], client=http, retry_config=retries)
    messages = [{"role": "user", "content": order["prompt"]}]
    if not order["stream"]:
        answer = client.chat.complete(model=order["model"], messages=messages)
        return answer.choices[0].message.content, [plain(answer)]
    events = [event.data for event in record.each(client.chat.stream(model=order["model"], messages=messages))]
    words = [choice.delta.content for event in events for choice in event.choices]
    return "".join(word for word in words if word), [plain(event) for event in events]


def ollama(order, record):
    import ollama

    client = ollama.Client(
        host=order["base_url"], headers=order["headers"], event_hooks=httpx_hooks(record), trust_env=False
    )
    messages = [{"role": "user", "content": order["prompt"]}]
    if not order["stream"]:
        answer = client.chat(model=order["model"], messages=messages)
        return answer.message.content, [plain(answer)]
    answers = list(record.each(client.chat(model=order["model"], messages=messages, stream=True)))
    return "".join(answer.message.content or "" for answer in answers), [plain(answer) for answer in answers]


def bedrock(order, record):
    import boto3
    from botocore.config import Config

    client = boto3.client(
        "bedrock-runtime", region_name="us-east-1", endpoint_url=order["base_url"],
        aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key=order["key"], config=Config(proxies={}),
    )

    def before_send(request, **_):
        record.attempts.append({"retry_count": None})

    def add_headers(request, **_):
        for name, value in order["headers"].items():
            request.headers[name] = value

    def received(response_dict, **_):
        record.got(response_dict["status_code"], response_dict["headers"])

    client.meta.events.register("before-sign.bedrock-runtime", add_headers)
    client.meta.events.register("before-send.bedrock-runtime", before_send)
    client.meta.events.register("before-parse.bedrock-runtime", received)
    messages = [{"role": "user", "content": [{"text": order["prompt"]}]}]
    if not order["stream"]:
        answer = client.converse(modelId=order["model"], messages=messages)
        answer.pop("ResponseMetadata")
        return answer["output"]["message"]["content"][0]["text"], [answer]
    events = list(record.each(client.converse_stream(modelId=order["model"], messages=messages)["stream"]))
    deltas = [event["contentBlockDelta"]["delta"] for event in events if "contentBlockDelta" in event]
    return "".join(delta.get("text", "") for delta in deltas), events


def mcp(order, record):
    """Calls the tool that the order names in place of a model."""
    import httpx2
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async def on_request(request):
        record.on_request(request)

    async def on_response(response):
        record.on_response(response)

    async def call():
        hooks = {"request": [on_request], "response": [on_response]}
        async with contextlib.AsyncExitStack() as stack:
            http = await stack.enter_async_context(
                httpx2.AsyncClient(headers=order["headers"], event_hooks=hooks, trust_env=False)
            )
            transport = streamable_http_client(order["base_url"] + "/mcp", http_client=http)
            read, write, *_ = await stack.enter_async_context(transport)
            session = await stack.enter_async_context(ClientSession(read, write))
            result = await session.call_tool(order["model"], {"query": order["prompt"]})
            return result.content[0].text, [plain(result)]

    try:
        return asyncio.run(call())
    except BaseExceptionGroup as group:
        raise leaf(group) from None


def plain(answer):
    """An object of a library's as JSON, without what it says of the transport."""
    fields = answer.model_dump(mode="json") if hasattr(answer, "model_dump") else answer.dict()
    fields.pop("sdk_http_response", None)
    return fields


def find(value, name):
    """The first string of this name, however deep."""
    if isinstance(value, dict):
        if isinstance(value.get(name), str):
            return value[name]
        value = list(value.values())
    if isinstance(value, list):
        return next((found for found in (find(inner, name) for inner in value) if found), None)
    return None


def leaf(group):
    """The first exception that is no group: a task group wraps what its tasks raise."""
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group


ALL = {"google": google, "cohere": cohere, "mistral": mistral, "ollama": ollama, "bedrock": bedrock, "mcp": mcp}
