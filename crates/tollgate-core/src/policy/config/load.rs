//! When to turn requests away because the models are loaded.

use serde::Deserialize;

config! {
    /// Whom to turn away, with 503, when the models are loaded: the lower its tier's priority, the earlier. Load is the
    /// larger of the requests in flight, as a share of `capacity`, and the highest utilisation reported lately.
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
        /// A smaller capacity while utilisation is high.
        #[serde(default)]
        pub tighten: Option<Tighten>,
        /// Workflows that are turned away last.
        #[serde(default)]
        pub critical_workflows: Vec<String>,
    }
}

config! {
    /// A smaller capacity from one utilisation on, until it has sunk below another.
    #[derive(Copy)]
    pub struct Tighten {
        /// Percent above which it applies.
        pub above: u32,
        /// Percent below which it ends.
        pub below: u32,
        /// Percent of the capacity that is left.
        pub factor: u32,
    }
}

fn default_shed() -> u32 {
    80
}
