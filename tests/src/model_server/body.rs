//! A response body that leaves piece by piece, at its own pace, and bills as it goes.

use std::convert::Infallible;
use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use futures_util::stream::{self, Stream};

use super::answer::Event;
use super::knobs::Knobs;
use super::served::{Exchange, ModelUsage};

/// Where a body stands.
struct Body {
    events: std::vec::IntoIter<Event>,
    sent: usize,
    delay: Duration,
    hang_after: Option<usize>,
    usage: ModelUsage,
    exchange: Exchange,
}

/// Sends `events`, each a chunk of its own. The answer counts as complete when the last one was taken; a client that
/// goes away earlier drops the stream and is billed for what was generated until then.
pub(super) fn stream_of(
    events: Vec<Event>,
    knobs: &Knobs,
    usage: ModelUsage,
    exchange: Exchange,
) -> impl Stream<Item = Result<Bytes, Infallible>> + use<> {
    let body = Body {
        events: events.into_iter(),
        sent: 0,
        delay: knobs.chunk_delay,
        hang_after: knobs.hang_after,
        usage,
        exchange,
    };
    stream::unfold(body, |mut body| async move {
        if body.hang_after == Some(body.sent) {
            std::future::pending::<()>().await;
        }
        let event = body.events.next()?;
        if body.sent > 0 {
            if body.delay.is_zero() {
                // Not ready at once: the server flushes what it has, so that every piece is a write of its own.
                tokio::task::yield_now().await;
            } else {
                tokio::time::sleep(body.delay).await;
            }
        }
        body.sent += 1;
        body.exchange.bill(ModelUsage { output: event.generated, ..body.usage });
        if body.events.len() == 0 && body.hang_after != Some(body.sent) {
            body.exchange.complete();
        }
        Some((Ok(event.bytes), body))
    })
}

/// Compresses the events as they come, each flushed so that a reader has it at once. An encoding that is not known
/// leaves them as they are.
pub(super) fn compressed(events: Vec<Event>, encoding: &str) -> Vec<Event> {
    match encoding {
        "gzip" => each(events, GzEncoder::new(Vec::new(), Compression::default()), GzEncoder::get_mut),
        "deflate" => each(events, ZlibEncoder::new(Vec::new(), Compression::default()), ZlibEncoder::get_mut),
        _ => events,
    }
}

fn each<W: Write>(events: Vec<Event>, mut encoder: W, out: fn(&mut W) -> &mut Vec<u8>) -> Vec<Event> {
    let write = |event: Event| {
        // Nothing fails that is written to memory.
        let _ = encoder.write_all(&event.bytes).and_then(|()| encoder.flush());
        Event { bytes: std::mem::take(out(&mut encoder)).into(), generated: event.generated }
    };
    events.into_iter().map(write).collect()
}

/// Cuts the events' bytes into pieces of `bytes`, wherever that falls. A piece bills what its last event does.
pub(super) fn split(events: Vec<Event>, bytes: usize) -> Vec<Event> {
    let mut pieces: Vec<Event> = Vec::new();
    let mut piece = Vec::with_capacity(bytes);
    let mut generated = 0;
    for event in events {
        generated = event.generated;
        for byte in event.bytes {
            piece.push(byte);
            if piece.len() == bytes {
                pieces.push(Event { bytes: std::mem::take(&mut piece).into(), generated });
            }
        }
    }
    if !piece.is_empty() {
        pieces.push(Event { bytes: piece.into(), generated });
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitting_keeps_every_byte_and_the_bill() {
        let events = vec![Event::new("abcde".into(), 1), Event::new("fg".into(), 2)];
        let pieces = split(events, 3);
        let texts: Vec<&[u8]> = pieces.iter().map(|piece| piece.bytes.as_ref()).collect();
        assert_eq!(texts, [&b"abc"[..], b"def", b"g"]);
        assert_eq!(pieces.iter().map(|piece| piece.generated).collect::<Vec<_>>(), [1, 2, 2]);
    }
}
