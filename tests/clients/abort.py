"""A streamed chat whose reader goes away: an ORDER with "stop_after_words". Answers with what was read."""

from common import Record, StoppedEarly, chat, client, run


def abort(order):
    with client(order, Record()) as api:
        try:
            return {"aborted": False, **chat(api, {**order, "stream": True})}
        except StoppedEarly as stopped:
            return {"aborted": True, "text": str(stopped)}


run(abort)
