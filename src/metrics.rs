//! Metrics, summed in the VM and given to Envoy on a tick: a counter then costs a request nothing.
//!
//! Labels are part of the name, `.key=value` each; the `stats_tags` of the example configuration turn them into
//! Prometheus labels. Envoy never frees a metric, so values come from the configuration and never from a client.

use core::hash::{BuildHasher, Hasher};

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use crate::host::{self, Metric};

#[derive(Debug)]
struct Series {
    name: String,
    hash: u64,
    metric: Option<Metric>,
    pending: u64,
}

/// All series of this VM.
#[derive(Debug, Default)]
pub struct Metrics {
    series: HashTable<Series>,
    hasher: DefaultHashBuilder,
    histograms: HashMap<&'static str, Metric>,
}

impl Metrics {
    /// Adds to the counter of this name.
    pub fn count(&mut self, name: &str, by: u64) {
        self.count_labelled(name, &[], by);
    }

    /// Adds to the counter of this name and these labels. An empty value is called `none`. A name is put together only
    /// once: counting allocates nothing.
    pub fn count_labelled(&mut self, name: &str, labels: &[(&str, &str)], by: u64) {
        if by == 0 {
            return;
        }
        let mut hasher = self.hasher.build_hasher();
        parts(name, labels).for_each(|part| hasher.write(part.as_bytes()));
        let hash = hasher.finish();
        match self.series.find_mut(hash, |series| is_made_of(&series.name, parts(name, labels))) {
            Some(series) => series.pending += by,
            None => {
                let name = parts(name, labels).collect();
                let series = Series { name, hash, metric: None, pending: by };
                self.series.insert_unique(hash, series, |series| series.hash);
            }
        }
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
        for series in self.series.iter_mut().filter(|series| series.pending > 0) {
            let Some(metric) = series.metric.or_else(|| host::counter(&series.name).ok()) else {
                continue;
            };
            series.metric = Some(metric);
            if host::increment(metric, series.pending).is_ok() {
                series.pending = 0;
            }
        }
    }
}

fn parts<'a>(name: &'a str, labels: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = &'a str> {
    let labels =
        labels.iter().flat_map(|(key, value)| [".", key, "=", if value.is_empty() { "none" } else { value }]);
    core::iter::once(name).chain(labels)
}

fn is_made_of<'a>(name: &str, parts: impl Iterator<Item = &'a str>) -> bool {
    let mut rest = name;
    for part in parts {
        match rest.strip_prefix(part) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    rest.is_empty()
}
