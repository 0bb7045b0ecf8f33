//! The acts: what each user does, and what has to come of it.

use super::bill::{Bill, NOBODY};
use super::stage::Stage;
use crate::clients::{self, Order};
use crate::scene::{ENTERPRISE_KEY, FREE_KEY, PRO_KEY};

/// Frida's tier is free: 3 requests a minute, one at a time, 25 cents a day.
pub async fn frida(stage: &Stage, bill: &mut Bill) -> anyhow::Result<()> {
    bill.act("frida", "free: 3 requests a minute, 1 at a time, $0.25 a day");
    let dear = stage.order(0, FREE_KEY, "Write me a very long book.").max_tokens(100_000);
    let chats = clients::chats(std::slice::from_ref(&dear)).await?;
    bill.enter("an answer that could cost more than the day's budget", &[dear], &chats);
    bill.expect("frida's dear request", &chats, &[(429, Some("cost-per-day"), 1)]);

    if stage.mock {
        let at_once: Vec<Order> = (0..2).map(|nth| stage.slow_order(nth, FREE_KEY, "Two at once?")).collect();
        let chats = clients::burst(&at_once).await?;
        bill.enter("two at once", &at_once, &chats);
        bill.expect("frida's two at once", &chats, &[(200, None, 1), (429, Some("concurrent-requests"), 1)]);
    }
    let rest: Vec<Order> = (0..4)
        .map(|nth| {
            let order = stage.order(nth, FREE_KEY, "And one more, please.");
            if nth % 2 == 0 { order.streamed() } else { order }
        })
        .collect();
    let chats = clients::chats(&rest).await?;
    bill.enter("four in a row", &rest, &chats);
    let had = usize::from(stage.mock);
    let admitted = bill.admitted(&chats);
    // The bucket holds three, and gets another every 20 seconds from the first request on.
    let (least, most) = (3 - had, (3 - had + stage.refilled(3)).min(rest.len()));
    if !(least..=most).contains(&admitted) {
        bill.deviates(format!("frida: {admitted} of 4 in a row were admitted, not {least} to {most}"));
    }
    bill.expect_refused_by("frida's four in a row", &chats, "requests-per-minute");
    Ok(())
}

/// Paula's tier is pro: 20 requests a minute, three at a time; the expensive route takes two at once and 10 a minute.
pub async fn paula(stage: &Stage, bill: &mut Bill) -> anyhow::Result<()> {
    bill.act("paula", "pro: 20 requests a minute, 3 at a time; 2 on the expensive route");
    if stage.mock {
        let at_once: Vec<Order> = (0..4).map(|nth| stage.slow_order(nth, PRO_KEY, "Four at once?")).collect();
        let chats = clients::burst(&at_once).await?;
        bill.enter("four at once", &at_once, &chats);
        bill.expect("paula's four at once", &chats, &[(200, None, 3), (429, Some("concurrent-requests"), 1)]);
    }
    let streamed: Vec<Order> = (0..2)
        .map(|nth| {
            let order = stage.order(nth, PRO_KEY, "Tell me a story, word by word.").streamed();
            stage.directed(order, &[("x-mock-output-tokens", 40), ("x-mock-cache-read", 1200)])
        })
        .collect();
    let chats = clients::chats(&streamed).await?;
    bill.enter("streams, with most of the prompt from the provider's cache", &streamed, &chats);
    bill.expect("paula's streams", &chats, &[(200, None, 2)]);

    let expensive: Vec<Order> = (0..4)
        .map(|nth| {
            let mut order = stage.order(nth, PRO_KEY, "On the expensive route.");
            order.base_url += "/expensive";
            order
        })
        .collect();
    let began = stage.refilled(10);
    let chats = clients::chats(&expensive).await?;
    bill.enter("four on the expensive route", &expensive, &chats);
    let (least, most) = (2, (2 + stage.refilled(10) - began + 1).min(expensive.len()));
    let admitted = bill.admitted(&chats);
    if !(least..=most).contains(&admitted) {
        bill.deviates(format!(
            "paula: {admitted} of 4 were admitted on the expensive route, not {least} to {most}"
        ));
    }
    bill.expect_refused_by("paula's expensive four", &chats, "expensive-requests");
    Ok(())
}

/// Enzo's tier is enterprise: 100 requests a minute, ten at a time.
pub async fn enzo(stage: &Stage, bill: &mut Bill) -> anyhow::Result<()> {
    bill.act("enzo", "enterprise: 100 requests a minute, 10 at a time");
    if stage.mock {
        let at_once: Vec<Order> = (0..12)
            .map(|nth| {
                let order = stage.slow_order(nth, ENTERPRISE_KEY, "Twelve at once?");
                if nth % 3 == 0 { order.streamed() } else { order }
            })
            .collect();
        let chats = clients::burst(&at_once).await?;
        bill.enter("twelve at once", &at_once, &chats);
        let expected = [(200, None, 10), (429, Some("concurrent-requests"), 2)];
        bill.expect("enzo's twelve at once", &chats, &expected);
    }
    let long: Vec<Order> = (0..2)
        .map(|nth| {
            let order = stage.order(nth, ENTERPRISE_KEY, "Think it over, then answer at length.").streamed();
            stage.directed(order, &[("x-mock-output-tokens", 200), ("x-mock-reasoning", 120)])
        })
        .collect();
    let chats = clients::chats(&long).await?;
    bill.enter("streams, with reasoning", &long, &chats);
    bill.expect("enzo's streams", &chats, &[(200, None, 2)]);
    Ok(())
}

/// Somebody without a key of Tollgate's.
pub async fn nobody(stage: &Stage, bill: &mut Bill) -> anyhow::Result<()> {
    bill.act(NOBODY, "no key that Tollgate knows");
    let orders: Vec<Order> =
        (0..stage.apis.len()).map(|nth| stage.order(nth, "a-key-nobody-issued", "Hello?")).collect();
    let chats = clients::chats(&orders).await?;
    bill.enter("with a key nobody issued", &orders, &chats);
    bill.expect("nobody's requests", &chats, &[(401, None, orders.len())]);
    Ok(())
}
