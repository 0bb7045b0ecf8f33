//! The account: what the clients were told, line by line, and what the ledger says to it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use tollgate_wire::NanoUsd;

use super::stage::Stage;
use crate::clients::{Api, Chat, Order};
use crate::ledger::UsageSums;
use crate::model_server::ModelUsage;
use crate::prices::{Prices, usage_told};

/// Who makes requests that Tollgate can't put down to anybody: they are in nobody's books.
pub const NOBODY: &str = "nobody";

/// What one user's clients were told.
#[derive(Default)]
struct Account {
    admitted: u64,
    refused: u64,
    usage: ModelUsage,
    cost: NanoUsd,
}

/// The account of everybody, and what deviated.
pub struct Bill {
    prices: Prices,
    who: &'static str,
    accounts: BTreeMap<&'static str, Account>,
    requests: u64,
    deviations: Vec<String>,
}

impl Bill {
    /// An empty one.
    pub fn new() -> anyhow::Result<Self> {
        let prices = Prices::read()?;
        Ok(Self { prices, who: "", accounts: BTreeMap::new(), requests: 0, deviations: Vec::new() })
    }

    /// From now on it is this user's.
    pub fn act(&mut self, who: &'static str, what: &str) {
        self.who = who;
        println!("\n{who} ({what})");
    }

    /// Notes something that is not as it must be.
    pub fn deviates(&mut self, what: String) {
        println!("  !! {what}");
        self.deviations.push(what);
    }

    /// What deviated.
    pub fn into_deviations(self) -> Vec<String> {
        self.deviations
    }

    /// Enters chats and prints a line for each.
    pub fn enter(&mut self, what: &str, orders: &[Order], chats: &[Chat]) {
        println!("  {what}");
        for (order, chat) in orders.iter().zip(chats) {
            if self.who != NOBODY {
                // A refused official client may have tried more than once.
                self.requests += chat.attempts.len() as u64;
            }
            let how = format!("{} {}", api(order), if order.stream { "stream" } else { "json" });
            match (&chat.usage, chat.status) {
                (Some(usage), Some(200)) => {
                    let usage = usage_told(usage);
                    match self.prices.cost(&order.model, usage) {
                        Ok(cost) => self.enter_admitted(order, &how, usage, cost),
                        Err(error) => self.deviates(error.to_string()),
                    }
                }
                (None, Some(200)) => self.deviates(format!("{}: no usage in {how}", self.who)),
                _ => self.enter_refused(order, &how, chat),
            }
        }
    }

    fn enter_admitted(&mut self, order: &Order, how: &str, usage: ModelUsage, cost: NanoUsd) {
        let input = usage.input + usage.cache_read + usage.cache_write;
        println!(
            "    {how:<17} admitted  {:<18} {input:>5} tokens in ({} cached), {:>4} out   ${cost}",
            order.model, usage.cache_read, usage.output
        );
        let account = self.accounts.entry(self.who).or_default();
        account.admitted += 1;
        account.cost += cost;
        let sum = &mut account.usage;
        sum.input += usage.input;
        sum.cache_read += usage.cache_read;
        sum.cache_write += usage.cache_write;
        sum.output += usage.output;
        sum.reasoning += usage.reasoning;
    }

    fn enter_refused(&mut self, order: &Order, how: &str, chat: &Chat) {
        let status = chat.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        let limit = chat.limit().map_or_else(String::new, |limit| format!(" by {limit}"));
        println!("    {how:<17} refused   {status}{limit}{}", retry(chat));
        println!("        {}: {}", chat.exception.as_deref().unwrap_or("?"), reason(order, chat));
        if self.who != NOBODY {
            self.accounts.entry(self.who).or_default().refused += chat.attempts.len() as u64;
        }
    }

    /// How many of the chats were answered.
    pub fn admitted(&self, chats: &[Chat]) -> usize {
        chats.iter().filter(|chat| chat.status == Some(200)).count()
    }

    /// Checks how many ended with which status, by which limit.
    pub fn expect(&mut self, what: &str, chats: &[Chat], expected: &[(u16, Option<&str>, usize)]) {
        for (status, limit, count) in expected {
            let fits = |chat: &&Chat| chat.status == Some(*status) && chat.limit() == *limit;
            let found = chats.iter().filter(fits).count();
            if found != *count {
                let by = limit.map_or_else(String::new, |limit| format!(" by {limit}"));
                self.deviates(format!("{what}: {found} ended with {status}{by}, not {count}"));
            }
        }
    }

    /// Checks that whoever was refused was refused by this limit.
    pub fn expect_refused_by(&mut self, what: &str, chats: &[Chat], limit: &str) {
        for chat in chats.iter().filter(|chat| chat.status != Some(200)) {
            if (chat.status, chat.limit()) != (Some(429), Some(limit)) {
                let (status, by) = (chat.status, chat.limit());
                self.deviates(format!("{what}: refused with {status:?} by {by:?}, not with 429 by {limit}"));
            }
        }
    }

    /// Waits for the ledger to have everything, and compares.
    pub async fn settle(&mut self, stage: &Stage) -> anyhow::Result<()> {
        stage.ledger.wait_for_requests(self.requests).await;
        println!("\nWhat each paid, as the clients were told and as the ledger has it");
        println!("  {:<9}{:>9}{:>9}{:>18}{:>18}", "", "admitted", "refused", "clients", "ledger");
        let mut compared = Vec::new();
        for (who, account) in &self.accounts {
            let books = stage.ledger.usage_of(who).await;
            println!(
                "  {who:<9}{:>9}{:>9}{:>18}{:>18}",
                account.admitted,
                account.refused,
                format!("${}", account.cost),
                format!("${}", NanoUsd(books.cost_nusd))
            );
            let told = UsageSums {
                requests: account.admitted + account.refused,
                refused: account.refused,
                input: account.usage.input,
                cache_read: account.usage.cache_read,
                cache_write: account.usage.cache_write,
                output: account.usage.output,
                reasoning: account.usage.reasoning,
                cost_nusd: account.cost.0,
                ..UsageSums::default()
            };
            if told != books {
                compared.push(format!("{who}: the clients were told {told:?}, the ledger has {books:?}"));
            }
        }
        compared.into_iter().for_each(|deviation| self.deviates(deviation));
        self.compare_totals(stage).await;
        self.compare_command(stage).await
    }

    /// The command tells what the API does.
    async fn compare_command(&mut self, stage: &Stage) -> anyhow::Result<()> {
        println!("\n$ tollgate usage\n{}", stage.ledger.command(&["usage"])?.trim_end());
        let by_command: Value = serde_json::from_str(&stage.ledger.command(&["usage", "--json"])?)?;
        let by_command = UsageSums::deserialize(&by_command["totals"])?;
        let by_api = stage.ledger.totals().await;
        if by_command != by_api {
            self.deviates(format!("tollgate usage says {by_command:?}, the API {by_api:?}"));
        }
        Ok(())
    }

    async fn compare_totals(&mut self, stage: &Stage) {
        let totals = stage.ledger.totals().await;
        let cost: NanoUsd = self.accounts.values().map(|account| account.cost).sum();
        if (totals.requests, totals.cost_nusd) == (self.requests, cost.0) {
            println!("  All {} requests and ${cost} agree to the nano-dollar.", self.requests);
        } else {
            self.deviates(format!(
                "in all: the clients made {} requests for ${cost}, the ledger has {} for ${}",
                self.requests,
                totals.requests,
                NanoUsd(totals.cost_nusd)
            ));
        }
    }
}

fn api(order: &Order) -> &'static str {
    match order.api {
        Api::OpenAi => "openai",
        Api::Anthropic => "anthropic",
    }
}

/// What the refusal says about trying again.
fn retry(chat: &Chat) -> String {
    let again = match (chat.header("retry-after"), chat.header("x-should-retry")) {
        (Some(seconds), _) => format!("; try again in {seconds} s"),
        (None, Some("false")) => "; trying again won't help".to_owned(),
        (None, _) => String::new(),
    };
    if chat.header("x-should-retry") == Some("false") && chat.header("retry-after").is_some() {
        return format!("{again}, not at once");
    }
    again
}

/// The message in the body, in either API's shape.
fn reason(order: &Order, chat: &Chat) -> String {
    let body = chat.body.clone().unwrap_or_default();
    let error =
        if order.api == Api::Anthropic || body.get("error").is_some() { &body["error"] } else { &body };
    let message = error["message"].as_str().map(str::to_owned);
    message.or_else(|| chat.message.clone()).unwrap_or_default()
}
