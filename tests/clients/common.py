"""What the scripts share: one JSON document in on stdin, one out on stdout, and clients that record what they do."""

import importlib
import json
import sys
import time


def run(main):
    """Calls `main` with the order read from stdin and writes what it returns to stdout."""
    json.dump(main(json.load(sys.stdin)), sys.stdout)


class Record:
    """Every attempt a client makes, with the status and retry headers it got, and every wait it decides on."""

    def __init__(self):
        self.attempts = []
        self.waits_s = []
        self.objects = []

    def on_request(self, request):
        self.attempts.append({"retry_count": request.headers.get("x-stainless-retry-count")})

    def on_response(self, response):
        self.got(response.status_code, response.headers)

    def got(self, status, headers):
        names = ("retry-after", "retry-after-ms", "x-should-retry", "x-amz-retry-after", "x-tollgate-limit")
        headers = {name: headers[name] for name in names if name in headers}
        self.attempts[-1].update(status=status, headers=headers)

    def each(self, events):
        """Passes the objects of a stream on, and keeps those that came before it ended or broke."""
        for event in events:
            self.objects.append(event)
            yield event

    def as_json(self):
        return {"attempts": self.attempts, "waits_s": self.waits_s}


def client(order, record):
    """An official client of the API that the order names, with the library's own retries unless the order says."""
    library = importlib.import_module(order["api"])
    hooks = {"request": [record.on_request], "response": [record.on_response]}
    http_client = library.DefaultHttpxClient(event_hooks=hooks, trust_env=False)
    base_url = order["base_url"] + ("/v1" if order["api"] == "openai" else "")
    options = {} if order.get("max_retries") is None else {"max_retries": order["max_retries"]}
    make = library.OpenAI if order["api"] == "openai" else library.Anthropic
    return make(base_url=base_url, api_key=order["key"], http_client=http_client, **options)


sleep = time.sleep


def record_waits(record):
    """Notes every wait from now on before it is made: the libraries back off with `time.sleep`."""

    def noted(seconds):
        record.waits_s.append(seconds)
        sleep(seconds)

    time.sleep = noted


def chat(api, order):
    """One chat with a client. Returns the text, the usage as the library tells it, and the response's headers."""
    messages = [{"role": "user", "content": order["prompt"]}]
    options = {"model": order["model"], "messages": messages, "extra_headers": order.get("headers", {})}
    if order.get("max_tokens") is not None:
        options["max_completion_tokens" if order["api"] == "openai" else "max_tokens"] = order["max_tokens"]
    if order["api"] == "openai":
        return openai_chat(api, order, options)
    return anthropic_chat(api, order, options)


def openai_chat(api, order, options):
    raw_api = api.chat.completions.with_raw_response
    if not order.get("stream"):
        raw = raw_api.create(**options)
        answer = raw.parse()
        return answered(raw, answer.choices[0].message.content, answer.usage)
    if order.get("include_usage", True):
        options["stream_options"] = {"include_usage": True}
    raw = raw_api.create(stream=True, **options)
    text, usage = "", None
    try:
        for chunk in raw.parse():
            for choice in chunk.choices:
                text += choice.delta.content or ""
            usage = chunk.usage or usage
            stop_early(order, text)
    except Exception as error:
        error.so_far = text
        raise
    return answered(raw, text, usage)


def anthropic_chat(api, order, options):
    raw_api = api.messages.with_raw_response
    if not order.get("stream"):
        raw = raw_api.create(**options)
        answer = raw.parse()
        return answered(raw, "".join(block.text for block in answer.content), answer.usage)
    raw = raw_api.create(stream=True, **options)
    text, usage = "", {}
    try:
        for event in raw.parse():
            if event.type == "message_start":
                usage.update(event.message.usage.to_dict())
            elif event.type == "content_block_delta":
                text += event.delta.text
            elif event.type == "message_delta":
                usage.update({key: value for key, value in event.usage.to_dict().items() if value is not None})
            stop_early(order, text)
    except Exception as error:
        error.so_far = text
        raise
    return answered(raw, text, usage)


class StoppedEarly(Exception):
    """The order was to stop reading after so many words."""


def stop_early(order, text):
    limit = order.get("stop_after_words")
    if limit is not None and len(text.split()) >= limit:
        raise StoppedEarly(text)


def answered(raw, text, usage):
    if usage is not None and not isinstance(usage, dict):
        usage = usage.to_dict()
    return {"status": raw.status_code, "headers": dict(raw.headers), "text": text, "usage": usage}


def refused(error):
    """An exception of a client, as the caller of the library sees it."""
    response = getattr(error, "response", None)
    return {
        "exception": type(error).__name__,
        "message": str(error),
        "status": getattr(error, "status_code", None),
        "headers": dict(response.headers) if response is not None else {},
        "body": getattr(error, "body", None),
        "code": getattr(error, "code", None),
        "type": getattr(error, "type", None),
        "text": getattr(error, "so_far", None),
    }
