//! What the service counts beside the engine (`vecferry_migrate::metrics`). Labels have few values, all of them known here: no
//! job, cluster or caller is one.

/// Seconds that bound the buckets of [`REQUEST_SECONDS`]: from a look into the store to a check of two clusters.
pub const REQUEST_SECONDS_BUCKETS: [f64; 12] =
    [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 20.0, 60.0];

/// How long requests took.
pub const REQUEST_SECONDS: &str = "vecferry_http_request_seconds";

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It is spread over buckets.
    Histogram,
}

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// What it counts.
    pub help: &'static str,
    /// Names of its labels.
    pub labels: &'static [&'static str],
}

/// All of them.
pub const CATALOGUE: [Metric; 6] = [
    Metric {
        name: "vecferry_http_requests_total",
        kind: Kind::Counter,
        help: "requests that were answered",
        labels: &["method", "path", "status"],
    },
    Metric {
        name: REQUEST_SECONDS,
        kind: Kind::Histogram,
        help: "seconds until a request was answered",
        labels: &["path"],
    },
    Metric {
        name: "vecferry_jobs_ended_total",
        kind: Kind::Counter,
        help: "jobs that ended in this process, by their state",
        labels: &["state"],
    },
    Metric {
        name: "vecferry_webhook_attempts_total",
        kind: Kind::Counter,
        help: "attempts to deliver a webhook, by what came of them",
        labels: &["result"],
    },
    Metric {
        name: "vecferry_jobs_waiting",
        kind: Kind::Gauge,
        help: "jobs of all processes that wait for their turn",
        labels: &[],
    },
    Metric {
        name: "vecferry_jobs_running",
        kind: Kind::Gauge,
        help: "jobs of all processes that run",
        labels: &[],
    },
];

/// Tells the recorder what each metric counts.
pub fn describe() {
    for Metric { name, kind, help, labels: _ } in CATALOGUE {
        match kind {
            Kind::Counter => metrics::describe_counter!(name, help),
            Kind::Gauge => metrics::describe_gauge!(name, help),
            Kind::Histogram => metrics::describe_histogram!(name, help),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Names behind `counter!(`, `gauge!(` and `histogram!(` in the files of a directory.
    fn counted(directory: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                counted(&path, found);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for named in ["counter!(\"", "gauge!(\"", "histogram!(\""] {
                let names = text.split(named).skip(1).filter_map(|rest| rest.split('"').next());
                found.extend(names.filter(|name| name.starts_with("vecferry_")).map(str::to_owned));
            }
        }
    }

    #[test]
    fn what_is_counted_is_in_the_catalogue_and_the_other_way_round() {
        let mut found = BTreeSet::new();
        counted(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        let known: BTreeSet<_> = CATALOGUE.iter().map(|metric| metric.name.to_owned()).collect();
        assert_eq!(found, known);
    }
}
