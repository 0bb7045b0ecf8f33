//! What Envoy counts, in its own format and in Prometheus'.

use std::collections::BTreeMap;

/// One reading of all statistics.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    plain: BTreeMap<String, u64>,
    samples: Vec<Sample>,
}

#[derive(Clone, Debug, PartialEq)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Metrics {
    /// Reads `name: value` lines; histograms and text are left out.
    pub(super) fn from_stats(text: &str) -> Self {
        let plain = text
            .lines()
            .filter_map(|line| line.rsplit_once(": "))
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
            .collect();
        Self { plain, samples: Vec::new() }
    }

    /// Reads Prometheus' text format.
    pub(super) fn from_prometheus(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect();
        Self { plain: BTreeMap::new(), samples }
    }

    /// A statistic by its name in `/stats`; 0 if there is none.
    pub fn stat(&self, name: &str) -> u64 {
        self.plain.get(name).copied().unwrap_or_default()
    }

    /// Names and values of the statistics whose name contains `part`.
    pub fn matching(&self, part: &str) -> Vec<(&str, u64)> {
        self.plain
            .iter()
            .filter(|(name, _)| name.contains(part))
            .map(|(name, value)| (name.as_str(), *value))
            .collect()
    }

    /// Sum of the samples of a metric that carry all these labels; `None` if there is no such sample.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut found = None;
        for sample in self.samples.iter().filter(|sample| sample.name == name) {
            let fits = labels
                .iter()
                .all(|(label, value)| sample.labels.get(*label).map(String::as_str) == Some(*value));
            if fits {
                found = Some(found.unwrap_or_default() + sample.value);
            }
        }
        found
    }

    /// The names of all metrics that begin so, once each.
    pub fn names(&self, prefix: &str) -> Vec<String> {
        let mut names: Vec<String> = self
            .samples
            .iter()
            .filter(|sample| sample.name.starts_with(prefix))
            .map(|sample| sample.name.clone())
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (series, ""),
    };
    let mut rest = labels;
    let mut read = BTreeMap::new();
    while let Some((label, after)) = rest.split_once("=\"") {
        let (value, after) = quoted(after)?;
        read.insert(label.trim_start_matches(',').to_owned(), value);
        rest = after;
    }
    Some(Sample { name: name.to_owned(), labels: read, value: value.parse().ok()? })
}

/// A label's value up to its closing quote, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_samples_are_summed_over_the_labels_not_asked_for() {
        let text = "# TYPE t counter\nt{a=\"1\",b=\"x, \\\"y\\\"\"} 2\nt{a=\"1\",b=\"z\"} 3\nu 7\n";
        let metrics = Metrics::from_prometheus(text);
        assert_eq!(metrics.sum("t", &[("a", "1")]), Some(5.0));
        assert_eq!(metrics.sum("t", &[("b", "x, \"y\"")]), Some(2.0));
        assert_eq!(metrics.sum("t", &[("a", "2")]), None);
        assert_eq!(metrics.sum("u", &[]), Some(7.0));
        assert_eq!(metrics.names(""), ["t", "u"]);
    }
}
