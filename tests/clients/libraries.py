"""The official libraries besides OpenAI's and Anthropic's, one function each: one call, and its outcome.

Every function takes an ORDER and a Record, and returns the text of the answer. What a library raises is for the caller.
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
    return client.models.generate_content(model=order["model"], contents=order["prompt"]).text


def cohere(order, record):
    import cohere
    import httpx

    http = httpx.Client(event_hooks=httpx_hooks(record), headers=order["headers"], trust_env=False)
    client = cohere.ClientV2(api_key=order["key"], base_url=order["base_url"], httpx_client=http)
    messages = [{"role": "user", "content": order["prompt"]}]
    return client.chat(model=order["model"], messages=messages).message.content[0].text


def mistral(order, record):
    import httpx
    from mistralai.client import Mistral
    from mistralai.client.utils import BackoffStrategy, RetryConfig

    http = httpx.Client(event_hooks=httpx_hooks(record), headers=order["headers"], trust_env=False)
    # Off by default; with it on, the library obeys `retry-after-ms` and `retry-after`.
    retries = RetryConfig("backoff", BackoffStrategy(500, 5_000, 2, 60_000), False) if order["retries"] else None
    client = Mistral(api_key=order["key"], server_url=order["base_url"], client=http, retry_config=retries)
    messages = [{"role": "user", "content": order["prompt"]}]
    return client.chat.complete(model=order["model"], messages=messages).choices[0].message.content


def ollama(order, record):
    import ollama

    client = ollama.Client(
        host=order["base_url"], headers=order["headers"], event_hooks=httpx_hooks(record), trust_env=False
    )
    messages = [{"role": "user", "content": order["prompt"]}]
    return client.chat(model=order["model"], messages=messages).message.content


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
    answer = client.converse(modelId=order["model"], messages=messages)
    return answer["output"]["message"]["content"][0]["text"]


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
            return result.content[0].text

    try:
        return asyncio.run(call())
    except BaseExceptionGroup as group:
        raise leaf(group) from None


def leaf(group):
    """The first exception that is no group: a task group wraps what its tasks raise."""
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group


ALL = {"google": google, "cohere": cohere, "mistral": mistral, "ollama": ollama, "bedrock": bedrock, "mcp": mcp}
