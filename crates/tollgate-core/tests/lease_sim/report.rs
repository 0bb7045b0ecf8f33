//! What a run came to.

/// Counts of one run, or of several.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub requests: u64,
    pub admitted: u64,
    pub denied: u64,
    /// Refused because the ledger was away.
    pub unreachable: u64,
    /// Refused because what was left came in too small pieces for as long as they waited.
    pub outwaited: u64,
    pub waited: u64,
    /// Messages sent by Envoys and answers sent by the ledger.
    pub messages: u64,
    /// Percent of the quota for everybody that was unspent at the first refusal of each window.
    pub stranded: Vec<f64>,
    /// Percent of it that was used by the end of each window.
    pub used: Vec<f64>,
    /// Percent of it that was spent above what may be.
    pub over: Vec<f64>,
    /// What should never be, in words; at most a few.
    pub violations: Vec<String>,
}

impl Report {
    pub fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.admitted += other.admitted;
        self.denied += other.denied;
        self.unreachable += other.unreachable;
        self.outwaited += other.outwaited;
        self.waited += other.waited;
        self.messages += other.messages;
        self.stranded.extend(other.stranded);
        self.used.extend(other.used);
        self.over.extend(other.over);
        self.violations.extend(other.violations);
    }

    fn share(&self, part: u64) -> f64 {
        part as f64 * 100.0 / self.requests.max(1) as f64
    }

    pub fn header() -> &'static str {
        "envoys faults  runs | over-admission % mean [worst] | used % mean (worst) | stranded % mean [worst] | unreachable % | outwaited % | messages/1000 | waited %"
    }

    pub fn line(&self, envoys: usize, faults: &str, runs: u64) -> String {
        format!(
            "{envoys:6} {faults:7} {runs:4} | {:16.3} [{:.3}]       | {:8.2} ({:6.2})  | {:9.2} [{:5.2}]       | {:13.2} | {:11.2} | {:13} | {:8.2}",
            mean(&self.over),
            most(&self.over),
            mean(&self.used),
            self.used.iter().copied().fold(100.0, f64::min),
            mean(&self.stranded),
            most(&self.stranded),
            self.share(self.unreachable),
            self.share(self.outwaited),
            self.messages * 1000 / self.requests.max(1),
            self.share(self.waited),
        )
    }
}

pub fn mean(all: &[f64]) -> f64 {
    all.iter().sum::<f64>() / all.len().max(1) as f64
}

pub fn most(all: &[f64]) -> f64 {
    all.iter().copied().fold(0.0, f64::max)
}
