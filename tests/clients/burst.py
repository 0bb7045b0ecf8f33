"""Chats, all at once, each with a client of its own: {"calls": [ORDER...]}. Answers with a list of the same length."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from common import Record, chat, client, refused, run


def burst(orders):
    calls = orders["calls"]
    gate = Barrier(len(calls))

    def one(order):
        record = Record()
        with client(order, record) as api:
            gate.wait()
            try:
                outcome = chat(api, order)
            except Exception as error:  # whatever the library raises is the answer
                outcome = refused(error)
        return {**outcome, **record.as_json()}

    with ThreadPoolExecutor(max_workers=len(calls)) as pool:
        return list(pool.map(one, calls))


run(burst)
