//! Whether a success is one: both sides whole, row by row, without any code of the engine.

use std::collections::{BTreeMap, BTreeSet};

use vecferry_migrate::{AutoId, Code, Report, VerifyLevel};
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::Value;

use super::scene::{Scene, THEIRS, Touched};
use super::schedule::{NAMES, number_of};

/// Copies of rows, each with its values, by partition and number.
type Numbered = BTreeMap<(String, u32), Vec<BTreeMap<String, Value>>>;

/// Warnings that name updates of rows as what can't be seen, or can't be ruled out.
const UPDATES_TOLD: [&str; 2] = ["VF-0433", "VF-0434"];

/// Differences that are told of one collection.
const TOLD_MAX: usize = 8;

impl Scene {
    /// Compares all that a report calls a success.
    pub(crate) fn judge(&self, report: &Report) -> Result<(), String> {
        let touched = self.touched();
        let mut wrong = Vec::new();
        for (place, name) in NAMES.iter().take(self.schedule.collections.len()).enumerate() {
            let compared = Compared { scene: self, report, touched: &touched, place, name };
            wrong.extend(compared.differences());
        }
        if wrong.is_empty() {
            return Ok(());
        }
        Err(format!("false success: {wrong:#?}"))
    }
}

/// One collection of a successful job.
struct Compared<'a> {
    scene: &'a Scene,
    report: &'a Report,
    touched: &'a Touched,
    place: usize,
    name: &'a str,
}

impl Compared<'_> {
    fn differences(&self) -> Vec<String> {
        let name = self.name;
        if !self.scene.target.names("default").0.iter().any(|known| known == name) {
            return vec![format!("`{name}` is not there")];
        }
        let mut wrong = self.wrong_rows();
        wrong.truncate(TOLD_MAX);
        wrong.extend(self.wrong_definition());
        if self.scene.target.is_loaded("default", name) {
            wrong.push(format!("`{name}` of the target stays loaded"));
        }
        wrong
    }

    fn wrong_rows(&self) -> Vec<String> {
        let expected = self.rows(&self.scene.source, true);
        let found = self.rows(&self.scene.target, false);
        let ids: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
        let mut wrong = Vec::new();
        for id in ids {
            let (before, after) = (expected.get(id), found.get(id));
            let copies = after.map_or(0, Vec::len);
            let is_copied_once = copies <= 1;
            if before == after
                || is_copied_once && self.is_excused(&id.0, id.1, before.is_some(), after.is_some())
            {
                continue;
            }
            let (partition, number) = id;
            wrong.push(match (before, after) {
                (Some(_), None) => format!("`{}`: row {number} of {partition} is missing", self.name),
                (None, Some(_)) => {
                    format!("`{}`: row {number} of {partition} should not be there", self.name)
                }
                _ if copies > 1 => {
                    format!("`{}`: row {number} of {partition} is there {copies} times", self.name)
                }
                _ => format!("`{}`: row {number} of {partition} has other values", self.name),
            });
        }
        wrong
    }

    /// Rows of one side; of the source the newest of each key.
    fn rows(&self, server: &StandIn, is_source: bool) -> Numbered {
        let with_keys = self.scene.schedule.auto_id != AutoId::Regenerate;
        let mut numbered = Numbered::new();
        for ((partition, _), copies) in server.rows("default", self.name) {
            let kept = if is_source { copies.len() - 1 } else { 0 };
            for mut row in copies.into_iter().skip(kept) {
                if !with_keys {
                    row.remove("id");
                }
                let number = number_of(&row["vector"]);
                numbered.entry((partition.clone(), number)).or_default().push(row);
            }
        }
        numbered
    }

    /// Whether the report told of what somebody did to the row, or could not know it.
    fn is_excused(&self, partition: &str, number: u32, on_source: bool, on_target: bool) -> bool {
        let (is_on_both_sides, is_on_target_only) = (on_source && on_target, on_target && !on_source);
        let row = (self.place, number);
        let verify = self.scene.schedule.verify;
        let came_or_went = self.touched.counted.contains(&row);
        let of_source = came_or_went && (self.drift_is_told() || self.is_named(partition))
            || self.touched.updated.contains(&row) && (self.drift_is_told() || self.updates_are_told());
        let of_target = self.touched.target_counted.contains(&row) && verify == VerifyLevel::None;
        let values = is_on_both_sides
            && self.touched.target_updated.contains(&row)
            && (verify != VerifyLevel::Full || self.touched.target_late.contains(&row));
        // Deleted from a source that is out of memory, after its copy.
        let is_left_over = came_or_went && is_on_target_only && self.deletes_are_told();
        of_source || of_target || values || is_left_over
    }

    /// Whether the report says that this collection changed meanwhile.
    fn drift_is_told(&self) -> bool {
        let is_this = |report: &&vecferry_migrate::report::CollectionReport| report.collection == self.name;
        let reported = self.report.collections.iter().find(is_this).and_then(|report| report.drift.as_ref());
        let is_warned = self
            .report
            .warnings
            .iter()
            .any(|warning| warning.code == Code::Drift && warning.to_string().contains(self.name));
        self.scene.schedule.allow_drift && (reported.is_some_and(|drift| drift.drifted) || is_warned)
    }

    /// Whether the report names a partition or alias of this collection as what changed.
    fn is_named(&self, what: &str) -> bool {
        let (of, what) = (format!("`default.{}`", self.name), format!("`{what}`"));
        let names = |text: String| text.contains(&of) && text.contains(&what);
        self.scene.schedule.allow_drift
            && self.report.warnings.iter().any(|warning| names(warning.to_string()))
    }

    /// Whether the report says that deleted rows of this collection are not seen once it is released.
    fn deletes_are_told(&self) -> bool {
        let name = format!("`default.{}`", self.name);
        let is_it = |warning: &vecferry_migrate::Problem| {
            warning.code == Code::DeletesUnseen && warning.to_string().contains(&name)
        };
        self.report.warnings.iter().any(is_it)
    }

    /// Whether the report says that updates of existing rows are not seen on this source.
    fn updates_are_told(&self) -> bool {
        self.report.warnings.iter().any(|warning| UPDATES_TOLD.contains(&warning.code.to_string().as_str()))
    }

    fn wrong_definition(&self) -> Vec<String> {
        let expected = self.scene.source.definition("default", self.name);
        let found = self.scene.target.definition("default", self.name);
        let mut wrong = Vec::new();
        let mut tell = |what: &str, is_equal: bool, both: String| {
            if !is_equal {
                wrong.push(format!("`{}`: {what}: {both}", self.name));
            }
        };
        let (one, other) = (&expected.schema, &found.schema);
        tell("schema", one == other, format!("{one:?} / {other:?}"));
        tell("shards", expected.shards == found.shards, format!("{} / {}", expected.shards, found.shards));
        tell("consistency", expected.consistency == found.consistency, String::new());
        let (one, other) = (&expected.properties, &found.properties);
        tell("properties", one == other, format!("{one:?} / {other:?}"));
        let (one, other) = (&expected.indexes, &found.indexes);
        tell("indexes", one == other, format!("{one:?} / {other:?}"));
        let differing = expected.partitions.symmetric_difference(&found.partitions);
        let is_excused = |name: &String| {
            let is_known = self.drift_is_told() || self.is_named(name);
            let of_source = is_known && self.touched.partitions.contains(&(self.place, name.clone()));
            let of_target = name == THEIRS && self.touched.target_partitions.contains(&self.place);
            // What nobody looks at when nothing is verified.
            of_source || of_target && self.scene.schedule.verify == VerifyLevel::None
        };
        let others: Vec<_> = differing.filter(|name| !is_excused(name)).collect();
        tell("partitions on one side only", others.is_empty(), format!("{others:?}"));
        let late = format!("late_{}", self.name);
        let is_late_alias = |alias: &&String| {
            let is_known = self.drift_is_told() || self.is_named(alias);
            is_known && self.touched.aliases.contains(&self.place) && alias.as_str() == late
        };
        let differing = expected.aliases.symmetric_difference(&found.aliases);
        let others: Vec<_> = differing.filter(|alias| !is_late_alias(alias)).collect();
        tell("aliases on one side only", others.is_empty(), format!("{others:?}"));
        wrong
    }
}
