"""Chats, one after the other: {"calls": [ORDER...]}. Answers with a list of the same length."""

from common import Record, chat, client, record_waits, refused, run


def one(order):
    record = Record()
    record_waits(record)
    try:
        with client(order, record) as api:
            outcome = chat(api, order)
    except Exception as error:  # whatever the library raises is the answer
        outcome = refused(error)
    return {**outcome, **record.as_json()}


run(lambda orders: [one(order) for order in orders["calls"]])
