//! The world of a run: events in order of time, and what really was spent.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use tollgate_core::lease::{Grant, Hold, Unreachable};

use crate::books::{Account, Books};
use crate::chance::Chance;
use crate::envoy::{Envoy, Line, MAX_SKEW_MS, No};
use crate::plan::{ANSWER_MS, DEMAND_PERCENT, MEAN_UNITS, MEDIAN_UNITS, Plan, TEAMS};
use crate::report::Report;

const TICK_MS: u64 = 200;
const WINDOWS: u64 = 2;
/// An Envoy gives up on a call after this long.
const CALL_MS: u64 = 1_000;
const RESTART_MS: u64 = 3_000;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive(usize),
    Tick(usize),
    Complete(usize),
    GiveUp(usize),
    ToLedger(usize),
    ToEnvoy(usize),
    CallOver(usize),
    Crash(usize),
    Restart(usize),
    CutOff(usize, bool),
    Burst(usize, bool),
    Outage(bool),
    Limit(u64),
}

struct Request {
    envoy: usize,
    process: u64,
    accounts: [Account; 2],
    reserved: u64,
    used: u64,
    holds: Vec<Hold>,
}

struct Call {
    envoy: usize,
    process: u64,
    sent_ms: u64,
    lines: Vec<Line>,
    grants: Vec<Grant>,
    answered: bool,
}

/// What happened to a quota in truth.
#[derive(Clone, Copy, Debug, Default)]
struct Truth {
    spent: u64,
    /// Bounds and uses of the requests in flight.
    in_flight: u64,
    /// Of both: what no lease covered.
    uncovered: u64,
    /// Most that may be spent: the limit, or what was granted already when it was lowered.
    ceiling: u64,
    refused: bool,
}

pub struct World {
    plan: Plan,
    now_ms: u64,
    end_ms: u64,
    chance: Chance,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    number: u64,
    envoys: Vec<Envoy>,
    books: Books,
    outage: bool,
    requests: Vec<Request>,
    calls: Vec<Call>,
    truth: BTreeMap<Account, Truth>,
    report: Report,
}

impl World {
    pub fn run(plan: Plan) -> Report {
        let mut world = Self::new(plan);
        world.prepare();
        while let Some(Reverse((at_ms, _, event))) = world.events.pop() {
            if at_ms > world.end_ms {
                break;
            }
            world.now_ms = at_ms;
            world.happen(event);
        }
        world.close()
    }

    fn new(plan: Plan) -> Self {
        let mut chance = Chance::new(plan.seed);
        let everybody = (plan.requests as f64 * MEAN_UNITS) as u64;
        let mut limits = vec![everybody];
        limits.extend([everybody * 2 / 5; TEAMS]);
        // Zipf weights; an Envoy bursts a tenth of its time at eleven times its rate, hence twice the rate on average.
        let weights: Vec<f64> = (1..=plan.envoys).map(|rank| 1.0 / rank as f64).collect();
        let total: f64 = weights.iter().sum();
        let rate = plan.requests as f64 * DEMAND_PERCENT as f64 / 100.0 / plan.window_ms as f64 / 2.0;
        let envoys = weights.iter().enumerate().map(|(number, weight)| {
            let skew = chance.below(2 * plan.faults.skew_ms + 1);
            Envoy::new(number, rate * weight / total, MAX_SKEW_MS - plan.faults.skew_ms + skew)
        });
        let envoys = envoys.collect();
        Self {
            now_ms: 0,
            end_ms: plan.window_ms * WINDOWS,
            events: BinaryHeap::new(),
            number: 0,
            envoys,
            books: Books::new(limits, plan.window_ms, plan.bug),
            outage: false,
            requests: Vec::new(),
            calls: Vec::new(),
            truth: BTreeMap::new(),
            report: Report::default(),
            chance,
            plan,
        }
    }

    fn at(&mut self, at_ms: u64, event: Event) {
        self.number += 1;
        self.events.push(Reverse((at_ms, self.number, event)));
    }

    fn after(&mut self, delay_ms: u64, event: Event) {
        self.at(self.now_ms + delay_ms, event);
    }

    fn prepare(&mut self) {
        let faults = self.plan.faults;
        for envoy in 0..self.envoys.len() {
            let (tick, burst) = (self.chance.below(TICK_MS), self.chance.below(45_000));
            self.after(tick, Event::Tick(envoy));
            self.after(1, Event::Arrive(envoy));
            self.after(burst, Event::Burst(envoy, true));
            if faults.crash_ms > 0 {
                let at = self.chance.wait(faults.crash_ms as f64);
                self.after(at, Event::Crash(envoy));
            }
            if faults.partition_ms.0 > 0 {
                let at = self.chance.wait(faults.partition_ms.0 as f64);
                self.after(at, Event::CutOff(envoy, true));
            }
        }
        if faults.outage {
            let at = self.chance.below(self.end_ms - 20_000);
            self.after(at, Event::Outage(true));
        }
        if self.plan.limit_moves {
            let limit = self.books.limits[0];
            self.at(self.plan.window_ms / 4, Event::Limit(limit / 2));
            self.at(self.plan.window_ms / 2, Event::Limit(limit * 2 / 3));
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive(envoy) => self.arrive(envoy),
            Event::Tick(envoy) => {
                self.after(TICK_MS, Event::Tick(envoy));
                if self.envoys[envoy].alive {
                    self.envoys[envoy].tick(self.now_ms, self.plan.window_ms);
                    self.send(envoy);
                }
            }
            Event::Complete(request) => self.complete(request),
            Event::GiveUp(request) => self.give_up(request),
            Event::ToLedger(call) => self.reach_ledger(call),
            Event::ToEnvoy(call) => self.reach_envoy(call),
            Event::CallOver(call) => self.call_over(call),
            Event::Crash(envoy) => self.crash(envoy),
            Event::Restart(envoy) => self.envoys[envoy].alive = true,
            Event::CutOff(envoy, cut_off) => self.cut_off(envoy, cut_off),
            Event::Burst(envoy, bursting) => {
                self.envoys[envoy].bursting = bursting;
                let lasts = self.chance.wait(if bursting { 5_000.0 } else { 45_000.0 });
                self.after(lasts, Event::Burst(envoy, !bursting));
            }
            Event::Outage(begins) => {
                self.outage = begins;
                if begins {
                    self.after(15_000, Event::Outage(false));
                }
            }
            Event::Limit(limit) => self.move_limit(limit),
        }
    }

    fn arrive(&mut self, envoy: usize) {
        let rate = self.envoys[envoy].rate * if self.envoys[envoy].bursting { 11.0 } else { 1.0 };
        let gap = self.chance.wait(1.0 / rate);
        self.after(gap, Event::Arrive(envoy));
        if !self.envoys[envoy].alive {
            return;
        }
        self.report.requests += 1;
        let used = self.chance.size(MEDIAN_UNITS);
        let reserved = used * (10 + self.chance.below(41)) / 10;
        let overlong = self.chance.permille(self.plan.overlong);
        let window = self.envoys[envoy].wall_ms(self.now_ms) / self.plan.window_ms;
        let team = 1 + self.chance.below(TEAMS as u64) as usize;
        self.requests.push(Request {
            envoy,
            process: self.envoys[envoy].process,
            accounts: [(0, window), (team, window)],
            reserved: if overlong { used.div_ceil(2) } else { reserved },
            used,
            holds: Vec::new(),
        });
        let request = self.requests.len() - 1;
        if self.decide(request) {
            return;
        }
        self.report.waited += 1;
        self.envoys[envoy].waiting.push(request);
        self.after(u64::from(self.plan.terms.wait_ms), Event::GiveUp(request));
        self.send(envoy);
    }

    /// Decides a request; false: it has to wait.
    fn decide(&mut self, number: usize) -> bool {
        let Request { envoy, accounts, reserved, .. } = self.requests[number];
        match self.envoys[envoy].admit(self.now_ms, &accounts, reserved, &self.plan.terms) {
            Ok(holds) => {
                self.report.admitted += 1;
                for (account, hold) in accounts.iter().zip(&holds) {
                    self.count(*account, |truth| {
                        truth.in_flight += reserved;
                        truth.uncovered += if hold.beyond { reserved } else { 0 };
                    });
                }
                self.requests[number].holds = holds;
                let lasts = self.chance.wait(ANSWER_MS);
                self.after(lasts, Event::Complete(number));
            }
            Err(No::Wait) => return false,
            Err(No::Denied(quota)) => self.denied((quota, accounts[0].1)),
            Err(No::Unreachable) => self.report.unreachable += 1,
        }
        true
    }

    fn denied(&mut self, account: Account) {
        self.report.denied += 1;
        let limit = self.books.limits[account.0];
        let truth = self.truth(account);
        if account.0 == 0 && !truth.refused {
            let unspent = limit.saturating_sub(truth.spent + truth.in_flight);
            self.report.stranded.push(unspent as f64 * 100.0 / limit as f64);
        }
        self.count(account, |truth| truth.refused = true);
    }

    fn complete(&mut self, number: usize) {
        let request = &self.requests[number];
        let (reserved, used, envoy) = (request.reserved, request.used, request.envoy);
        // A crash has ended it; what it had used was counted then.
        if self.envoys[envoy].process != request.process || !self.envoys[envoy].alive {
            return;
        }
        for (account, hold) in request.accounts.into_iter().zip(request.holds.clone()) {
            self.envoys[envoy].complete(account, &hold, used);
            self.spent(account, reserved, used, hold.beyond);
        }
        self.requests[number].holds.clear();
    }

    /// A request has ended, and used so much.
    fn spent(&mut self, account: Account, reserved: u64, used: u64, beyond: bool) {
        self.count(account, |truth| {
            truth.in_flight -= reserved;
            truth.spent += used;
            truth.uncovered -= if beyond { reserved } else { 0 };
            truth.uncovered += if beyond { used } else { used.saturating_sub(reserved) };
        });
    }

    fn give_up(&mut self, number: usize) {
        let envoy = self.requests[number].envoy;
        let Some(place) = self.envoys[envoy].waiting.iter().position(|waits| *waits == number) else {
            return;
        };
        self.envoys[envoy].waiting.remove(place);
        if self.decide(number) {
            return;
        }
        let accounts = self.requests[number].accounts;
        match self.envoys[envoy].away(self.now_ms, &accounts, &self.plan.terms) {
            true => self.report.unreachable += 1,
            false => self.report.outwaited += 1,
        }
    }

    fn send(&mut self, envoy: usize) {
        let lines = self.envoys[envoy].asks(self.now_ms, &self.plan.terms);
        if lines.is_empty() {
            return;
        }
        self.report.messages += 1;
        let process = self.envoys[envoy].process;
        self.calls.push(Call {
            envoy,
            process,
            sent_ms: self.now_ms,
            lines,
            grants: Vec::new(),
            answered: false,
        });
        let call = self.calls.len() - 1;
        self.travel(Event::ToLedger(call));
        self.after(CALL_MS, Event::CallOver(call));
    }

    /// A message on its way: it may be lost, come late or come twice.
    fn travel(&mut self, event: Event) {
        let faults = self.plan.faults;
        let copies = 1 + u64::from(self.chance.permille(faults.twice));
        for _ in 0..copies {
            if self.chance.permille(faults.lost) {
                continue;
            }
            let late = if self.chance.permille(faults.late) { 200 + self.chance.below(2_000) } else { 0 };
            let delay = 2 + self.chance.below(20) + late;
            self.after(delay, event.clone());
        }
    }

    fn reach_ledger(&mut self, number: usize) {
        let envoy = self.calls[number].envoy;
        if self.outage || self.envoys[envoy].cut_off {
            return;
        }
        let lines = self.calls[number].lines.clone();
        // Now and then the node dies before anybody heard of the commit, and the next one does not have it.
        let forgets = self.plan.faults.outage && self.chance.permille(5);
        let before = forgets.then(|| self.books.clone());
        let grants: Vec<Grant> = lines
            .iter()
            .map(|line| self.books.enter(line.account, line.life, &line.ask, self.now_ms))
            .collect();
        if let Some(before) = before {
            self.books = before;
            return;
        }
        self.calls[number].grants = grants;
        self.report.messages += 1;
        lines.iter().for_each(|line| self.check_books(line.account));
        self.travel(Event::ToEnvoy(number));
    }

    fn reach_envoy(&mut self, number: usize) {
        let call = &mut self.calls[number];
        let envoy = call.envoy;
        if self.envoys[envoy].cut_off || self.envoys[envoy].process != call.process {
            return;
        }
        call.answered = true;
        for (line, grant) in call.lines.iter().zip(&call.grants) {
            self.envoys[envoy].answered(self.now_ms, call.sent_ms, line, grant, &self.plan.terms);
        }
        self.check_holders(envoy);
        self.look_again(envoy);
    }

    fn look_again(&mut self, envoy: usize) {
        for request in core::mem::take(&mut self.envoys[envoy].waiting) {
            if !self.decide(request) {
                self.envoys[envoy].waiting.push(request);
            }
        }
        self.send(envoy);
    }

    fn call_over(&mut self, number: usize) {
        let call = &self.calls[number];
        if !call.answered && self.envoys[call.envoy].process == call.process {
            for line in &call.lines {
                self.envoys[call.envoy].failed(self.now_ms, line, &self.plan.terms);
            }
        }
    }

    fn crash(&mut self, envoy: usize) {
        let process = self.envoys[envoy].process;
        let open: Vec<usize> = (0..self.requests.len())
            .filter(|number| {
                let request = &self.requests[*number];
                request.envoy == envoy && request.process == process && !request.holds.is_empty()
            })
            .collect();
        // Their answers were made all the same.
        for number in open {
            let Request { accounts, reserved, used, ref holds, .. } = self.requests[number];
            let beyond: Vec<bool> = holds.iter().map(|hold| hold.beyond).collect();
            for (account, beyond) in accounts.into_iter().zip(beyond) {
                self.spent(account, reserved, used, beyond);
            }
            self.requests[number].holds.clear();
        }
        let this = &mut self.envoys[envoy];
        (this.process, this.alive) = (process + 1, false);
        this.holders.clear();
        this.waiting.clear();
        self.after(RESTART_MS, Event::Restart(envoy));
        let next = RESTART_MS + self.chance.wait(self.plan.faults.crash_ms as f64);
        self.after(next, Event::Crash(envoy));
    }

    fn cut_off(&mut self, envoy: usize, cut_off: bool) {
        self.envoys[envoy].cut_off = cut_off;
        let (every, lasts) = self.plan.faults.partition_ms;
        let next = if cut_off { lasts } else { self.chance.wait(every as f64) };
        self.after(next, Event::CutOff(envoy, !cut_off));
    }

    fn move_limit(&mut self, limit: u64) {
        let account = (0, self.now_ms / self.plan.window_ms);
        let quota = self.books.quota(account);
        self.books.limits[0] = limit;
        self.count(account, |truth| truth.ceiling = limit.max(quota.settled + quota.held));
    }

    fn truth(&self, account: Account) -> Truth {
        let ceiling = self.books.limits[account.0];
        self.truth.get(&account).copied().unwrap_or(Truth { ceiling, ..Truth::default() })
    }

    fn count(&mut self, account: Account, change: impl FnOnce(&mut Truth)) {
        let mut truth = self.truth(account);
        change(&mut truth);
        self.truth.insert(account, truth);
        // What is in flight is still within its bound, unless its answer is overlong.
        let most = truth.ceiling + truth.uncovered;
        if truth.spent + truth.in_flight > most {
            self.violation(format!("{account:?} at {} ms: {truth:?}", self.now_ms));
        }
    }

    fn check_books(&mut self, account: Account) {
        if !self.books.agree(account, self.truth(account).ceiling) {
            self.violation(format!("the books of {account:?}: {:?}", self.books.quota(account)));
        }
    }

    fn check_holders(&mut self, envoy: usize) {
        let wrong: Vec<Account> = self.envoys[envoy]
            .holders
            .iter()
            .filter(|(account, holder)| {
                !holder.is_sound() || !holder.agrees_with(&self.books.lease(**account, holder.life()))
            })
            .map(|(account, _)| *account)
            .collect();
        for account in wrong {
            let holder = self.envoys[envoy].holders[&account].clone();
            let row = self.books.lease(account, holder.life());
            self.violation(format!("{account:?}: {holder:?} and {row:?}"));
        }
    }

    fn violation(&mut self, what: String) {
        if self.report.violations.len() < 5 {
            self.report.violations.push(format!("seed {}: {what}", self.plan.seed));
        }
    }

    fn close(mut self) -> Report {
        let allowance = match self.plan.terms.unreachable {
            Unreachable::Allow { units, funded: false } => units * self.envoys.len() as u64,
            _ => 0,
        };
        for (account, truth) in self.truth.clone() {
            let limit = truth.ceiling;
            let over = (truth.spent + truth.in_flight).saturating_sub(limit);
            if account.0 == 0 && account.1 < WINDOWS {
                self.report.over.push(over as f64 * 100.0 / limit as f64);
                self.report.used.push(truth.spent as f64 * 100.0 / limit as f64);
            }
            // A crash begins a new allowance: it is counted per process.
            let processes: u64 = self.envoys.iter().map(|envoy| envoy.process).sum();
            let allowed = allowance + allowance / self.envoys.len() as u64 * processes;
            if self.plan.overlong == 0 && truth.uncovered > allowed {
                self.violation(format!("{account:?}: more than allowed: {truth:?}"));
            }
        }
        self.report
    }
}
