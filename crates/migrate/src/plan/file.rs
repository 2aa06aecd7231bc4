//! A plan as a file: a person reviews it, and later it is carried out as it was reviewed or not at all.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use vecferry_milvus::{CollectionName, Endpoint};

use super::stored::{DocumentError, plan_value, read_plan_value, read_request, write_request};
use super::{Plan, PlannedCollection, SourceChange};
use crate::cluster::load_state::FormerLoad;
use crate::plan::splits::splits_expected;
use crate::problem::Check;
use crate::problem::{Code, Problem, Told, words_of};
use crate::request::{MigrateRequest, Selection};

/// Version of the file's form. A newer one is refused, an older one read.
const FORMAT: u64 = 1;
/// Member that holds the hash of all others.
const HASH: &str = "content_hash";

/// A plan that was read from a file, or will be written to one. It holds no credentials.
#[derive(Clone, Debug)]
pub struct PlanFile {
    plan: Plan,
    document: Value,
}

/// The file. Its members are written in the order of their names, whatever order they have here.
#[derive(Serialize, Deserialize)]
struct Document {
    vecferry_plan: u64,
    vecferry_version: String,
    created_at: String,
    /// For people; what counts is `plan`.
    summary: Vec<Value>,
    /// What was looked at, and what was found.
    checks: Vec<Check>,
    request: Value,
    plan: Value,
    #[serde(default)]
    content_hash: String,
}

/// A collection for people.
#[derive(Serialize)]
struct Summary<'a> {
    source: String,
    target: String,
    rows: u64,
    row_bytes: f64,
    /// Key ranges that are copied side by side; they are found when the copy begins.
    splits_expected: u64,
    partitions: &'a [String],
    aliases: &'a [String],
    fields: Vec<String>,
    indexes: Vec<String>,
    changes: Vec<String>,
    loaded_for_the_copy: bool,
    source_load: FormerLoad,
}

impl<'a> Summary<'a> {
    fn of(planned: &'a PlannedCollection) -> Self {
        Self {
            source: planned.source.to_string(),
            target: planned.target.to_string(),
            rows: planned.rows_estimate,
            row_bytes: planned.size.bytes(),
            splits_expected: splits_expected(planned),
            partitions: &planned.partitions,
            aliases: &planned.aliases,
            fields: planned.described.schema.outline(),
            indexes: planned
                .indexes
                .iter()
                .map(|index| format!("{}: {:?}", index.field, index.params))
                .collect(),
            changes: planned
                .changes
                .iter()
                .map(|change| format!("{}: {} -> {}", change.what, change.source, change.target))
                .collect(),
            loaded_for_the_copy: planned.needs_load,
            source_load: planned.source_load(),
        }
    }
}

fn failed(path: &Path, detail: impl Into<Told>) -> Problem {
    Problem::new(Code::PlanFile).with("file", path.display()).told("detail", detail)
}

/// SHA-256 of a document without its hash. Members are in the order of their names, so that white space and order say
/// nothing.
fn hash(document: &Value) -> String {
    let mut content = document.clone();
    if let Some(members) = content.as_object_mut() {
        members.remove(HASH);
    }
    let digest = Sha256::digest(content.to_string().as_bytes());
    digest.iter().fold("sha256:".to_owned(), |mut text, byte| {
        // Writing to a text can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl PlanFile {
    /// A plan to be written.
    pub(crate) fn of(
        request: &MigrateRequest,
        plan: &Plan,
        checks: &[Check],
        created_at: String,
    ) -> Result<Self, DocumentError> {
        let summary = plan.collections.iter().map(|planned| serde_json::to_value(Summary::of(planned)));
        let mut document = serde_json::to_value(Document {
            vecferry_plan: FORMAT,
            vecferry_version: env!("CARGO_PKG_VERSION").to_owned(),
            created_at,
            summary: summary.collect::<Result<_, _>>()?,
            checks: checks.to_vec(),
            request: serde_json::from_str(&write_request(request)?)?,
            plan: plan_value(plan)?,
            content_hash: String::new(),
        })?;
        document[HASH] = hash(&document).into();
        Ok(Self { plan: plan.clone(), document })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It is no plan or not a whole one, it was changed, or its form is newer than this program.
    pub fn read(path: &Path, text: &str) -> Result<Self, Problem> {
        let document: Value = serde_json::from_str(text).map_err(|error| failed(path, words_of(&error)))?;
        let Some(format) = document["vecferry_plan"].as_u64() else {
            return Err(failed(
                path,
                Told::both("it has no `vecferry_plan` member", "其中没有 `vecferry_plan` 成员"),
            ));
        };
        if format > FORMAT {
            let version = document["vecferry_version"].as_str().unwrap_or_default();
            let problem = Problem::new(Code::PlanNewer).with("file", path.display());
            return Err(problem.with("version", version).with("format", format));
        }
        if document[HASH].as_str() != Some(&hash(&document)) {
            return Err(Problem::new(Code::PlanEdited).with("file", path.display()));
        }
        let parts: Document =
            serde_json::from_value(document.clone()).map_err(|error| failed(path, words_of(&error)))?;
        let plan = read_plan_value(parts.plan).map_err(|error| failed(path, words_of(&error)))?;
        Ok(Self { plan, document })
    }

    /// What will be done.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The hash of its content, `sha256:` and 64 hexadecimal digits.
    pub fn hash(&self) -> &str {
        self.document[HASH].as_str().unwrap_or_default()
    }

    /// The file's content.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        format!("{:#}\n", self.document)
    }

    /// The request that the plan was made for, with addresses and credentials of now. Selected is what is in the plan.
    pub(crate) fn request(
        &self,
        source: Endpoint,
        target: Endpoint,
    ) -> Result<MigrateRequest, DocumentError> {
        let mut request = read_request(&self.document["request"].to_string(), &self.plan, source, target)?;
        request.selection = Selection::of(self.plan.collections.iter().map(|planned| planned.source.clone()));
        Ok(request)
    }
}

/// Why a plan that was made earlier is not carried out, by comparison with one made now. A job that `follows` its source
/// takes rows, partitions, aliases and properties as they are by now.
pub(crate) fn outdated(then: &Plan, now: &Plan, row_tolerance_percent: f64, follows: bool) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut report = |collection: &dyn std::fmt::Display, detail: Told| {
        problems.push(Problem::new(Code::PlanOutdated).with("collection", collection).told("detail", detail));
    };
    for planned in &then.collections {
        match now.collections.iter().find(|found| found.source == planned.source) {
            Some(found) => {
                let found = changes(planned, found, row_tolerance_percent, follows);
                if !found.is_empty() {
                    report(&planned.source, Told::parts(&found));
                }
            }
            None => report(&planned.source, Told::both("it was dropped or renamed", "已被删除或重命名")),
        }
    }
    let databases = |plan: &Plan| plan.new_databases.iter().cloned().collect::<BTreeSet<_>>();
    for db in databases(then).symmetric_difference(&databases(now)) {
        let exists = then.new_databases.contains(db);
        let text = if exists {
            Told::both("the target now has this database", "目标集群上已有该 Database")
        } else {
            Told::both("the target no longer has this database", "目标集群上已没有该 Database")
        };
        report(&CollectionName::new(db.as_str(), "*"), text);
    }
    problems
}

/// What changed about a collection since it was planned.
fn changes(
    then: &PlannedCollection,
    now: &PlannedCollection,
    row_tolerance_percent: f64,
    follows: bool,
) -> Vec<Told> {
    let mut changes = then.changes_of_source(&now.described, &now.partitions, &now.aliases);
    changes.retain(|change| !follows || !change.can_be_followed());
    let mut found = SourceChange::all_told(&changes);
    let (mut of_then, mut of_now) = (then.indexes.clone(), now.indexes.clone());
    of_then.sort_by(|one, other| (&one.field, &one.name).cmp(&(&other.field, &other.name)));
    of_now.sort_by(|one, other| (&one.field, &one.name).cmp(&(&other.field, &other.name)));
    if of_then != of_now {
        found.push(Told::both("indexes changed", "索引已变化"));
    }
    if then.changes != now.changes {
        found.push(Told::both(
            "the planned differences on the target changed",
            "计划中目标集群上的差异已变化",
        ));
    }
    let (rows_then, rows_now) = (then.rows_estimate, now.rows_estimate);
    if !follows && rows_then.abs_diff(rows_now) as f64 > rows_then as f64 * row_tolerance_percent / 100.0 {
        found.push(Told::both(
            format!("{rows_then} rows when planned, {rows_now} now"),
            format!("生成计划时 {rows_then} 行，现在 {rows_now} 行"),
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::estimate::DurationEstimate;

    fn file() -> PlanFile {
        file_with(None)
    }

    fn file_with(duration: Option<DurationEstimate>) -> PlanFile {
        let cluster = crate::cluster::Cluster { address: "http://a:1".into(), version: "2.3.5".into() };
        let plan = Plan {
            source: cluster.clone(),
            target: cluster,
            collections: Vec::new(),
            new_databases: vec!["shop".into()],
            rbac: None,
            resource_groups: Some(Vec::new()),
            duration,
            warnings: Vec::new(),
        };
        let endpoint = || Endpoint::parse("http://a:1").unwrap();
        PlanFile::of(&MigrateRequest::new(endpoint(), endpoint()), &plan, &[], "2026-01-01T00:00:00Z".into())
            .unwrap()
    }

    #[test]
    fn a_file_is_read_as_it_was_written_whatever_its_white_space() {
        let file = file();
        let compact = serde_json::from_str::<Value>(&file.to_text()).unwrap().to_string();
        for text in [file.to_text(), compact] {
            let read = PlanFile::read(Path::new("plan.json"), &text).unwrap();
            assert_eq!(read.plan().new_databases, ["shop"]);
            assert_eq!(read.hash(), file.hash());
        }
        assert_eq!(file.hash().len(), "sha256:".len() + 64);
    }

    #[test]
    fn every_number_is_read_as_it_was_written() {
        // A reader that is off by the last bit now and then takes a good plan for an edited one.
        let seconds = (1..2_000_u32).map(|n| (format!("c{n}"), 1.37 * f64::from(n).sqrt())).collect();
        let file = file_with(Some(DurationEstimate { collections: seconds, ..DurationEstimate::default() }));
        let read = PlanFile::read(Path::new("plan.json"), &file.to_text()).unwrap();
        assert_eq!(read.plan().duration, file.plan().duration);
    }

    #[test]
    fn an_estimate_of_an_earlier_version_is_none() {
        let mut document: Value =
            serde_json::from_str(&file_with(Some(DurationEstimate::default())).to_text()).unwrap();
        let estimate = document["plan"]["duration"].as_object_mut().unwrap();
        assert!(estimate.remove("steps").is_some());
        document[HASH] = hash(&document).into();
        let read = PlanFile::read(Path::new("plan.json"), &document.to_string()).unwrap();
        assert_eq!(read.plan().duration, None);
    }

    #[test]
    fn files_that_are_cut_edited_or_newer_are_told_apart() {
        let text = file().to_text();
        let read = |text: &str| PlanFile::read(Path::new("plan.json"), text).unwrap_err();
        for (text, code, says) in [
            (text[..text.len() / 2].to_owned(), Code::PlanFile, "plan.json"),
            ("{}".to_owned(), Code::PlanFile, "vecferry_plan"),
            (text.replace("shop", "shoq"), Code::PlanEdited, "hash"),
            (text.replace("sha256:", "sha256:0"), Code::PlanEdited, "hash"),
            (text.replace("\"vecferry_plan\": 1", "\"vecferry_plan\": 2"), Code::PlanNewer, "format 2"),
        ] {
            let problem = read(&text);
            assert_eq!(problem.code, code, "{problem}");
            assert!(problem.to_string().contains(says), "{problem}");
        }
    }

    #[test]
    fn databases_that_came_or_went_make_a_plan_outdated() {
        let then = file().plan().clone();
        assert!(outdated(&then, &then, 0.0, false).is_empty());
        let now = Plan { new_databases: Vec::new(), ..then.clone() };
        let problems = outdated(&then, &now, 0.0, false);
        assert!(
            problems[0].to_string().contains("`shop.*` changed after the plan was made"),
            "{}",
            problems[0]
        );
    }
}
