//! What was chosen so far, and the request that it makes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use vecferry_migrate::VerifyLevel;
use vecferry_policy::Deployment;
use vecferry_report::labels;
use vecferry_words::Lang;

use super::SideShown;
use crate::jobs::{Access, Options};

/// A registered cluster, as it was when it was chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Named {
    pub(super) cluster_id: String,
    pub(super) name: String,
    pub(super) plan: String,
}

/// What the test of a connection found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Found {
    pub(super) address: String,
    pub(super) version: String,
    /// Empty where the address does not tell.
    pub(super) plan: String,
    pub(super) databases: u64,
    pub(super) collections: u64,
    /// When; another credential makes another check necessary.
    pub(super) at_ms: i64,
    pub(super) has_credential: bool,
    pub(super) has_certificate: bool,
}

/// Where from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Source {
    /// A cluster of the organization.
    Cluster(Named),
    /// One of another; how to be let in is kept encrypted beside the draft.
    Elsewhere(Found),
}

/// A collection that is to be migrated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Chosen {
    pub(super) db: String,
    pub(super) name: String,
    /// By the statistics of the source, when it was chosen.
    pub(super) rows: u64,
}

impl Chosen {
    /// `db.name`
    pub(super) fn full(&self) -> String {
        format!("{}.{}", self.db, self.name)
    }
}

/// What was chosen so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Draft {
    pub(super) source: Option<Source>,
    pub(super) collections: Vec<Chosen>,
    pub(super) target: Option<Named>,
    /// Databases of the source that have another name on the target.
    pub(super) target_dbs: BTreeMap<String, String>,
    pub(super) options: Options,
}

impl Draft {
    /// The databases of what was chosen, each once.
    pub(super) fn databases(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.collections.iter().map(|chosen| chosen.db.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    pub(super) fn rows(&self) -> u64 {
        self.collections.iter().map(|chosen| chosen.rows).sum()
    }

    /// How the source is run, as far as that is known.
    pub(super) fn source_plan(&self) -> Option<Deployment> {
        match self.source.as_ref()? {
            Source::Cluster(named) => Deployment::parse(&named.plan),
            Source::Elsewhere(found) => Deployment::parse(&found.plan),
        }
    }

    pub(super) fn source_shown(&self, lang: Lang) -> Option<SideShown> {
        let (name, plan) = match self.source.as_ref()? {
            Source::Cluster(named) => (named.name.clone(), named.plan.as_str()),
            Source::Elsewhere(found) => (found.address.clone(), found.plan.as_str()),
        };
        let detail = match self.collections.len() {
            0 => lang.pick("no collection chosen yet", "尚未选择 Collection").to_owned(),
            count => {
                let collections = labels::some_collections(lang, count);
                format!("{collections}{}{}", labels::comma(lang), labels::about_rows(lang, self.rows()))
            }
        };
        Some(SideShown { name, plan: plan_title(lang, plan), detail })
    }

    pub(super) fn target_shown(&self, lang: Lang) -> Option<SideShown> {
        let target = self.target.as_ref()?;
        let renamed: Vec<_> =
            self.target_dbs.iter().map(|(from, to)| labels::destination(from, to)).collect();
        let detail = match renamed.is_empty() {
            true => lang.pick("databases keep their names", "Database 名称不变").to_owned(),
            false => renamed.join(labels::comma(lang)),
        };
        Some(SideShown { name: target.name.clone(), plan: plan_title(lang, &target.plan), detail })
    }

    /// The request of the API; none before everything was chosen.
    pub(super) fn request(&self, access: Option<&Access>, start_time: Option<&str>) -> Option<Value> {
        let source = match (self.source.as_ref()?, access) {
            (Source::Cluster(named), _) => json!({ "clusterId": named.cluster_id }),
            (Source::Elsewhere(_), Some(access)) => json!({
                "endpoint": access.address,
                "token": access.secret().map(|secret| secret.reveal().to_owned()),
                "caCertificate": access.ca_pem,
            }),
            (Source::Elsewhere(found), None) => json!({ "endpoint": found.address }),
        };
        let mut request = Map::new();
        request.insert("source".into(), source);
        request.insert("destination".into(), json!({ "clusterId": self.target.as_ref()?.cluster_id }));
        let databases = self.databases().into_iter().map(|db| {
            let of_db = self.collections.iter().filter(|chosen| chosen.db == db);
            let names = of_db.map(|chosen| json!({ "collectionName": chosen.name }));
            json!({
                "dbName": db,
                "destDbName": self.target_dbs.get(db),
                "collections": names.collect::<Vec<_>>(),
            })
        });
        request.insert("dbCollections".into(), Value::Array(databases.collect()));
        let Options { verify, auto_id, source_load, wait_index, keep_index_params, warm, load_target } =
            self.options;
        // The cut-over of a warm copy compares every row.
        let verify = if warm { VerifyLevel::Full } else { verify };
        let options = json!({
            "verify": verify,
            "autoId": auto_id,
            "sourceLoad": source_load,
            "waitIndex": wait_index,
            "keepIndexParams": keep_index_params,
            "warm": warm,
            "loadTarget": load_target,
        });
        request.insert("options".into(), options);
        if let Some(start_time) = start_time {
            request.insert("startTime".into(), start_time.into());
        }
        Some(Value::Object(request))
    }

    /// A name of what a check depends on: how thoroughly rows are compared afterwards does not belong to it.
    pub(super) fn hash(&self) -> String {
        let checked = Self { options: Options { verify: VerifyLevel::None, ..self.options }, ..self.clone() };
        let text = serde_json::to_string(&checked).unwrap_or_default();
        Sha256::digest(text.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A plan as a page names it. The names of the vendor's plans are the same in both languages.
pub(super) fn plan_title(lang: Lang, plan: &str) -> String {
    match Deployment::parse(plan) {
        Some(Deployment::SelfHosted) => lang.pick("self-hosted", "自建").to_owned(),
        Some(plan @ (Deployment::Free | Deployment::Serverless | Deployment::Dedicated)) => plan.to_string(),
        None => lang.pick("plan unknown", "部署方式未知").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(db: &str, name: &str) -> Chosen {
        Chosen { db: db.to_owned(), name: name.to_owned(), rows: 7 }
    }

    fn named(cluster_id: &str) -> Named {
        Named { cluster_id: cluster_id.to_owned(), name: "n".into(), plan: "Dedicated".into() }
    }

    #[test]
    fn a_draft_makes_a_request_when_everything_was_chosen() {
        let mut draft = Draft {
            source: Some(Source::Cluster(named("a"))),
            collections: vec![chosen("shop", "b"), chosen("rag", "c"), chosen("shop", "a")],
            ..Draft::default()
        };
        assert_eq!(draft.request(None, None), None);
        draft.target = Some(named("b"));
        draft.target_dbs.insert("shop".into(), "store".into());
        let request = draft.request(None, Some("2026-12-01T02:00:00Z")).unwrap();
        assert_eq!(request["source"], json!({"clusterId": "a"}));
        assert_eq!(request["dbCollections"][1]["destDbName"], "store");
        assert_eq!(request["dbCollections"][1]["collections"][1]["collectionName"], "a");
        assert_eq!(request["options"]["verify"], "sample");
        assert_eq!(request["startTime"], "2026-12-01T02:00:00Z");
    }

    #[test]
    fn another_choice_is_checked_anew_but_not_another_verification() {
        let draft = Draft { collections: vec![chosen("a", "b")], ..Draft::default() };
        let mut other = draft.clone();
        other.options.verify = VerifyLevel::Full;
        assert_eq!(draft.hash(), other.hash());
        other.options.keep_index_params = true;
        assert_ne!(draft.hash(), other.hash());
        let mut warm = draft.clone();
        warm.options.warm = true;
        assert_ne!(draft.hash(), warm.hash());
    }
}
