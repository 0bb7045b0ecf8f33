//! When to turn requests away because the models are loaded.

use serde::Deserialize;

config! {
    /// Whom to turn away, with 503, or to keep waiting, when the models are loaded: the lower its tier's priority, the
    /// earlier. Load is the larger of the requests in flight, as a share of `capacity`, and the highest utilisation reported lately.
    pub struct Load {
        /// Requests in flight in this Envoy that are full load. Absent: they don't count.
        #[serde(default)]
        pub capacity: Option<u32>,
        /// Values of the models' ORCA reports (`endpoint-load-metrics`) that are utilisations, 1 being full.
        #[serde(default)]
        pub utilization: Vec<String>,
        /// The value of those reports that is the model's RAM in use, in MB: what `ram` limits look at.
        #[serde(default)]
        pub ram: Option<String>,
        /// The same of SSD.
        #[serde(default)]
        pub ssd: Option<String>,
        /// Percent of full load above which the least important are turned away. The thresholds of the others stand in
        /// equal steps above it, up to full load for critical workflows.
        #[serde(default = "default_shed")]
        pub shed_above: u32,
        /// What becomes of whom the load turns away. A tier may say something else.
        #[serde(default)]
        pub action: LoadAction,
        /// Tighter limits while utilisation is high.
        #[serde(default)]
        pub tighten: Option<Tighten>,
        /// Workflows that are turned away last, and go first where requests wait in line.
        #[serde(default)]
        pub critical_workflows: Vec<String>,
    }
}

config! {
    /// What becomes of whom the load turns away.
    #[derive(Copy, Default, PartialEq, Eq)]
    pub enum LoadAction {
        /// 503.
        #[default]
        Reject,
        /// It waits in line until the load has fallen, within the bounds of `queue`.
        Queue,
    }
}

config! {
    /// Tighter limits from one utilisation on, until it has stayed below another for a while. Without `utilization` the
    /// requests in flight count instead, as a share of `capacity`.
    #[derive(Copy)]
    pub struct Tighten {
        /// Percent above which they apply.
        pub above: u32,
        /// Percent below which they end.
        pub below: u32,
        /// How long it must have been below, in milliseconds.
        #[serde(default = "default_relax_after")]
        pub relax_after_ms: u64,
        /// Percent of the capacity that is left.
        #[serde(default = "all")]
        pub factor: u32,
        /// Percent of every `rate`, its burst included, and of every `window` that is left.
        #[serde(default = "all")]
        pub limits: u32,
    }
}

fn default_shed() -> u32 {
    80
}

fn default_relax_after() -> u64 {
    5000
}

fn all() -> u32 {
    100
}
