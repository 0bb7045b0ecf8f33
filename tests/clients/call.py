"""Calls by other libraries, one after the other: {"calls": [ORDER...]}. Answers with a list of the same length."""

import json

from common import Record, record_waits, run
from libraries import ALL


def one(order):
    record = Record()
    record_waits(record)
    try:
        text, objects = ALL[order["library"]](order, record)
        outcome = {"text": text, "objects": json.loads(json.dumps(objects, default=str))}
    except Exception as error:  # whatever the library raises is the answer
        outcome = {"exception": type(error).__name__, "message": str(error)}
    return {**outcome, **record.as_json()}


run(lambda orders: [one(order) for order in orders["calls"]])
