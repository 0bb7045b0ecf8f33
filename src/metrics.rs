//! Metrics, summed in the VM and given to Envoy on a tick: a counter then costs a request nothing.
//!
//! Labels are part of the name, `.key=value` each; the `stats_tags` of the example configuration turn them into
//! Prometheus labels. Envoy never frees a metric, so values come from the configuration and never from a client.

use hashbrown::HashMap;

use crate::host::{self, Metric};

#[derive(Debug)]
struct Series {
    metric: Option<Metric>,
    pending: u64,
}

/// All series of this VM.
#[derive(Debug, Default)]
pub struct Metrics {
    series: HashMap<String, Series>,
}

impl Metrics {
    /// Adds to the counter of this name.
    pub fn count(&mut self, name: &str, by: u64) {
        if by == 0 {
            return;
        }
        match self.series.get_mut(name) {
            Some(series) => series.pending += by,
            None => {
                self.series.insert(name.into(), Series { metric: None, pending: by });
            }
        }
    }

    /// Hands everything to Envoy.
    pub fn flush(&mut self) {
        for (name, series) in self.series.iter_mut().filter(|(_, series)| series.pending > 0) {
            let Some(metric) = series.metric.or_else(|| host::counter(name).ok()) else {
                continue;
            };
            series.metric = Some(metric);
            if host::increment(metric, series.pending).is_ok() {
                series.pending = 0;
            }
        }
    }
}
