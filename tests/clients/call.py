"""Calls by other libraries, one after the other: {"calls": [ORDER...]}. Answers with a list of the same length."""

import json

from common import Record, record_waits, run
from libraries import ALL


def as_json(objects):
    return json.loads(json.dumps(objects, default=str))


def one(order):
    record = Record()
    record_waits(record)
    try:
        text, objects = ALL[order["library"]](order, record)
        outcome = {"text": text, "objects": as_json(objects)}
    except Exception as error:  # whatever the library raises is the answer
        outcome = {"exception": type(error).__name__, "message": str(error), "objects": as_json(record.objects)}
    return {**outcome, **record.as_json()}


run(lambda orders: [one(order) for order in orders["calls"]])
