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
    histograms: HashMap<&'static str, Metric>,
    /// Where names are put together: counting allocates nothing.
    name: String,
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

    /// Adds to the counter of this name and these labels. An empty value is called `none`.
    pub fn count_labelled(&mut self, name: &str, labels: &[(&str, &str)], by: u64) {
        let mut all = core::mem::take(&mut self.name);
        all.clear();
        all.push_str(name);
        for (key, value) in labels {
            for part in [".", key, "=", if value.is_empty() { "none" } else { value }] {
                all.push_str(part);
            }
        }
        self.count(&all, by);
        self.name = all;
    }

    /// Adds a value to a histogram, at once.
    pub fn record(&mut self, name: &'static str, value: u64) {
        let known = self.histograms.get(name).copied();
        let Some(metric) = known.or_else(|| host::histogram(name).ok()) else { return };
        self.histograms.insert(name, metric);
        // A value Envoy does not take is one less in a statistic.
        let _ = host::record(metric, value);
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
