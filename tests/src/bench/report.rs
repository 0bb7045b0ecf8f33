//! The figures: a table for people, a file for programs.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Context;
use serde::Serialize;
use serde_json::{Map, Value};

use super::Settings;
use crate::paths;

/// One turn of one variant, or the medians of all its turns.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sample {
    /// Envoy's CPU time per request, microseconds.
    pub cpu_us: f64,
    /// Requests per second.
    pub rps: f64,
    /// Median latency, milliseconds.
    pub p50_ms: f64,
    /// Latency that one request in a hundred exceeds, milliseconds.
    pub p99_ms: f64,
    /// Envoy's memory at the end of the turn, MiB.
    pub rss_mib: f64,
}

/// All turns of all variants.
pub struct Report {
    names: Vec<&'static str>,
    samples: Vec<Vec<Sample>>,
}

impl Report {
    /// Of these variants.
    pub fn new(names: Vec<&'static str>) -> Self {
        let samples = names.iter().map(|_| Vec::new()).collect();
        Self { names, samples }
    }

    /// Enters a turn of the variant at this place.
    pub fn add(&mut self, at: usize, sample: Sample) {
        self.samples[at].push(sample);
    }

    fn medians(&self, at: usize) -> Sample {
        let of = |field: fn(&Sample) -> f64| median(self.samples[at].iter().map(field).collect());
        Sample {
            cpu_us: of(|sample| sample.cpu_us),
            rps: of(|sample| sample.rps),
            p50_ms: of(|sample| sample.p50_ms),
            p99_ms: of(|sample| sample.p99_ms),
            rss_mib: of(|sample| sample.rss_mib),
        }
    }

    /// What a variant costs over plain Envoy: the median of the differences within each round, which is steadier than
    /// the difference of the medians.
    fn added_us(&self, at: usize) -> Option<f64> {
        let plain = self.names.iter().position(|name| *name == "plain")?;
        let pairs = self.samples[at].iter().zip(&self.samples[plain]);
        Some(median(pairs.map(|(variant, plain)| variant.cpu_us - plain.cpu_us).collect()))
    }

    /// One variant's CPU time as a part of another's: the median within each round.
    pub fn ratio(&self, at: usize, to: usize) -> f64 {
        let pairs = self.samples[at].iter().zip(&self.samples[to]);
        median(pairs.map(|(one, other)| one.cpu_us / other.cpu_us).collect())
    }

    /// The table.
    pub fn table(&self, settings: Settings) -> String {
        let mut table = format!(
            "Envoy with one worker, POST of a chat, {} users; {} requests on {} connections a turn, medians of {} turns\n\n",
            super::USERS,
            settings.requests,
            settings.connections,
            settings.rounds
        );
        let heads = ["variant", "CPU us/req", "added us", "req/s", "p50 ms", "p99 ms", "RSS MiB"];
        // Writing to a String does not fail.
        let _ = writeln!(
            table,
            "{:<18}{:>11}{:>10}{:>9}{:>9}{:>9}{:>9}",
            heads[0], heads[1], heads[2], heads[3], heads[4], heads[5], heads[6]
        );
        for (at, name) in self.names.iter().enumerate() {
            let sample = self.medians(at);
            let added = self.added_us(at).map_or_else(|| "-".to_owned(), |added| format!("{added:+.1}"));
            let _ = writeln!(
                table,
                "{name:<18}{:>11.1}{added:>10}{:>9.0}{:>9.2}{:>9.2}{:>9.1}",
                sample.cpu_us, sample.rps, sample.p50_ms, sample.p99_ms, sample.rss_mib
            );
        }
        table
    }

    /// Writes a file of this name to `bench` below the target folder.
    pub fn write(&self, name: &str) -> anyhow::Result<PathBuf> {
        let mut variants = Map::new();
        for (at, name) in self.names.iter().enumerate() {
            let sample = self.medians(at);
            let round = |value: f64| (value * 100.0).round() / 100.0;
            let rounded = Sample {
                cpu_us: round(sample.cpu_us),
                rps: round(sample.rps),
                p50_ms: round(sample.p50_ms),
                p99_ms: round(sample.p99_ms),
                rss_mib: round(sample.rss_mib),
            };
            variants.insert((*name).to_owned(), serde_json::to_value(rounded)?);
        }
        let path = paths::target().join(format!("bench/{name}.json"));
        let folder = path.parent().context("no folder")?;
        std::fs::create_dir_all(folder)?;
        std::fs::write(&path, serde_json::to_string_pretty(&Value::Object(variants))?)?;
        Ok(path)
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
    }
}
