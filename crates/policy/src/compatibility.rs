//! Which plan is migrated to which: tables as data, one an edition, because the vendor's own pages differ.

use serde::{Deserialize, Serialize};

use crate::deployment::Deployment;

/// The edition that holds where none is named: the specification page.
pub const EDITION_DEFAULT: &str = "zilliz-cn";

const EDITIONS: [(&str, &str); 2] = [
    ("zilliz-cn", include_str!("../editions/zilliz-cn.json")),
    ("zilliz-global", include_str!("../editions/zilliz-global.json")),
];

/// A table of plans.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edition {
    /// Its name.
    pub edition: String,
    /// Where it is from.
    pub source: String,
    /// Every pair.
    pub pairs: Vec<Pair>,
    /// Collections that one job takes, where that is another number than the plan's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collections_per_job_max: Option<u64>,
}

/// What holds for one pair of plans.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// Plan of the source.
    pub source: Deployment,
    /// Plan of the target.
    pub target: Deployment,
    /// What holds.
    pub outcome: Outcome,
    /// Why it is not supported, in English.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub en: String,
    /// The same in Chinese.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub zh: String,
}

/// What holds for a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is migrated.
    Supported,
    /// It is not.
    Refused,
    /// The cluster itself becomes one of the other plan.
    UpgradeInPlace,
    /// The vendor makes a new cluster from it.
    UpgradeToNew,
}

/// Why an edition can't be used.
#[derive(Debug, thiserror::Error)]
pub enum EditionError {
    /// It is no JSON document of the right form.
    #[error("{0}")]
    Form(#[from] serde_json::Error),
    /// A pair without a reason in both languages.
    #[error("{source_plan} to {target} has no reason `en` and `zh`")]
    NoReason {
        /// The plan of the source.
        source_plan: Deployment,
        /// The plan of the target.
        target: Deployment,
    },
    /// A pair that is missing.
    #[error("{source_plan} to {target} is missing")]
    Missing {
        /// The plan of the source.
        source_plan: Deployment,
        /// The plan of the target.
        target: Deployment,
    },
    /// A pair that is there twice.
    #[error("{source_plan} to {target} is there twice")]
    Twice {
        /// The plan of the source.
        source_plan: Deployment,
        /// The plan of the target.
        target: Deployment,
    },
}

/// [`EDITION_DEFAULT`].
impl Default for Edition {
    fn default() -> Self {
        // That it is there is tested; without it every pair would be refused.
        Self::named(EDITION_DEFAULT).unwrap_or_else(|| Self {
            edition: EDITION_DEFAULT.to_owned(),
            source: String::new(),
            pairs: Vec::new(),
            collections_per_job_max: None,
        })
    }
}

impl Edition {
    /// Names of the editions that are built in.
    pub fn names() -> impl Iterator<Item = &'static str> {
        EDITIONS.iter().map(|(name, _)| *name)
    }

    /// A built-in edition.
    pub fn named(name: &str) -> Option<Self> {
        let (_, text) = EDITIONS.iter().find(|(known, _)| *known == name)?;
        // They are read by the tests.
        Self::read(text).ok()
    }

    /// An edition from its document.
    pub fn read(text: &str) -> Result<Self, EditionError> {
        let edition: Self = serde_json::from_str(text)?;
        for source in PLANS {
            for target in PLANS {
                let found =
                    edition.pairs.iter().filter(|pair| (pair.source, pair.target) == (source, target));
                match found.collect::<Vec<_>>().as_slice() {
                    [pair]
                        if pair.outcome == Outcome::Supported
                            || !pair.en.is_empty() && !pair.zh.is_empty() => {}
                    [_] => return Err(EditionError::NoReason { source_plan: source, target }),
                    [] => return Err(EditionError::Missing { source_plan: source, target }),
                    _ => return Err(EditionError::Twice { source_plan: source, target }),
                }
            }
        }
        Ok(edition)
    }

    /// What holds for two clusters.
    pub fn pair(&self, source: Deployment, target: Deployment) -> Option<&Pair> {
        let wanted = (source.in_tables(), target.in_tables());
        self.pairs.iter().find(|pair| (pair.source, pair.target) == wanted)
    }
}

const PLANS: [Deployment; 3] = [Deployment::Free, Deployment::Serverless, Deployment::Dedicated];

#[cfg(test)]
mod tests {
    use super::*;
    use Deployment::{Dedicated, Free, SelfHosted, Serverless};
    use Outcome::{Refused, Supported, UpgradeInPlace, UpgradeToNew};

    /// The tables of the two pages, cell by cell.
    #[test]
    fn every_cell_is_that_of_its_page() {
        for (name, cells) in [
            (
                "zilliz-cn",
                [
                    (Free, [Refused, UpgradeInPlace, UpgradeToNew]),
                    (Serverless, [Refused, Refused, Supported]),
                    (Dedicated, [Refused, Refused, Supported]),
                ],
            ),
            (
                "zilliz-global",
                [
                    (Free, [Refused, UpgradeInPlace, Supported]),
                    (Serverless, [Refused, Supported, Supported]),
                    (Dedicated, [Refused, Refused, Supported]),
                ],
            ),
        ] {
            let edition = Edition::named(name).unwrap();
            assert!(edition.source.starts_with("https://"), "{name}");
            for (source, outcomes) in cells {
                for (target, outcome) in PLANS.into_iter().zip(outcomes) {
                    assert_eq!(
                        edition.pair(source, target).unwrap().outcome,
                        outcome,
                        "{name} {source} {target}"
                    );
                }
            }
            assert_eq!(edition.pair(SelfHosted, SelfHosted).unwrap().outcome, Supported, "{name}");
            assert_eq!(edition.pair(SelfHosted, Serverless), edition.pair(Dedicated, Serverless), "{name}");
        }
        assert!(Edition::named(EDITION_DEFAULT).is_some() && Edition::named("other").is_none());
        assert_eq!(Edition::names().count(), 2);
    }

    #[test]
    fn a_table_with_holes_is_none() {
        let text = EDITIONS[0].1;
        let twice = text.replacen("\"target\": \"serverless\"", "\"target\": \"free\"", 1);
        for (broken, why) in [
            (text.replacen("Free 集群不能作为迁移目标", "", 1), "Free to Free has no reason"),
            (twice, "Free to Free is there twice"),
            ("{}".to_owned(), "missing field"),
            (text.replacen("refused", "maybe", 1), "unknown variant"),
        ] {
            let error = Edition::read(&broken).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
