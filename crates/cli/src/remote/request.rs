//! From the options of `migrate` to the body of a request.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use vecferry_migrate::request::Selector;
use vecferry_migrate::{AutoId, Code, MaxRate, Problem, SourceLoad};
use vecferry_words::Told;

use super::answers::Cluster;
use crate::args::{JobArgs, MigrateArgs, SelectionArgs};
use crate::commands::migrate::{level, max_rate, selection};
use crate::connection::both;

/// What is asked for, without the clusters.
pub(super) struct Asked {
    /// None is everything.
    databases: Option<Value>,
    options: Value,
}

impl Asked {
    /// What the arguments ask for, or everything that is wrong with them.
    pub(super) fn of(args: &MigrateArgs) -> Result<Self, Vec<Problem>> {
        let options = options(&args.job).map_err(|problem| vec![problem]);
        let ((databases, max_rate), mut options) =
            both(both(databases(&args.selection), max_rate(&args.pace)), options)?;
        if let Some(max_rate) = max_rate.flatten() {
            options["maxRate"] = json!(max_rate.to_string());
        }
        Ok(Self { databases, options })
    }

    /// The body of a request for it.
    pub(super) fn body(&self, [source, target]: &[Cluster; 2]) -> Value {
        let mut body = json!({
            "source": {"clusterId": source.cluster_id},
            "destination": {"clusterId": target.cluster_id},
            "options": self.options,
        });
        if let Some(databases) = &self.databases {
            body["dbCollections"] = databases.clone();
        }
        body
    }
}

/// A limit as the service takes it.
pub(super) fn rate_text(rate: Option<MaxRate>) -> String {
    rate.map_or_else(|| "none".to_owned(), |rate| rate.to_string())
}

fn options(args: &JobArgs) -> Result<Value, Problem> {
    let mut options = json!({
        "verify": level(args.verify.into(), args.warm)?,
        "autoId": AutoId::from(args.auto_id),
        "sourceLoad": SourceLoad::from(args.source_load),
        "waitIndex": args.wait_index,
        "keepIndexParams": args.keep_index_params,
    });
    // Older services take any other migration.
    if args.warm {
        options["warm"] = json!(true);
        options["loadTarget"] = json!(args.load_target);
    }
    Ok(options)
}

/// The databases, each with its collections or as a whole; none where everything is meant.
fn databases(args: &SelectionArgs) -> Result<Option<Value>, Vec<Problem>> {
    let (selection, target_dbs) = selection(args)?;
    let mut named: BTreeMap<&str, Option<Vec<&str>>> = BTreeMap::new();
    for selector in selection.included() {
        match selector {
            Selector::Database(db) => {
                named.insert(db, None);
            }
            Selector::Collection(name) => {
                let of_db = named.entry(&name.db).or_insert_with(|| Some(Vec::new()));
                // A whole database holds it already.
                if let Some(collections) = of_db {
                    collections.push(&name.name);
                }
            }
        }
    }
    let unnamed: Vec<_> =
        target_dbs.iter().filter(|(db, _)| !named.contains_key(db.as_str())).map(unnamed).collect();
    if !unnamed.is_empty() {
        return Err(unnamed);
    }
    let databases = named.into_iter().map(|(db, collections)| {
        let mut database = json!({ "dbName": db });
        if let Some(target) = target_dbs.get(db) {
            database["destDbName"] = json!(target);
        }
        if let Some(collections) = collections {
            database["collections"] =
                collections.into_iter().map(|name| json!({ "collectionName": name })).collect();
        }
        database
    });
    let databases: Vec<_> = databases.collect();
    Ok((!databases.is_empty()).then_some(Value::Array(databases)))
}

/// The service takes the other name of a database together with what is copied of it.
fn unnamed((db, target): (&String, &String)) -> Problem {
    let detail = Told::both(
        format!(
            "with --server, `--target-db {db}={target}` needs `--collection` with collections of `{db}`, or `--collection '{db}.*'`"
        ),
        format!(
            "使用 --server 时，`--target-db {db}={target}` 需要用 `--collection` 指定 `{db}` 中的 Collection，或使用 `--collection '{db}.*'`"
        ),
    );
    Problem::new(Code::Arguments).told("detail", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn databases_of(collections: &[&str], target_dbs: &[&str]) -> Result<Option<Value>, Vec<Problem>> {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        databases(&SelectionArgs {
            collection: owned(collections),
            exclude: Vec::new(),
            visible_only: false,
            target_db: owned(target_dbs),
        })
    }

    #[test]
    fn collections_are_sent_by_database() {
        assert_eq!(databases_of(&[], &[]).unwrap(), None);
        assert_eq!(
            databases_of(&["a", "x.b.c", "x.d", "y.*", "y.e"], &["x=z"]).unwrap().unwrap(),
            json!([
                {"dbName": "default", "collections": [{"collectionName": "a"}]},
                {"dbName": "x", "destDbName": "z", "collections": [{"collectionName": "b.c"}, {"collectionName": "d"}]},
                {"dbName": "y"},
            ])
        );
        let problems = databases_of(&["x.*"], &["x=z", "w=z"]).unwrap_err();
        assert_eq!(problems.len(), 1);
        assert!(problems[0].to_string().contains("`--target-db w=z` needs"), "{}", problems[0]);
        assert_eq!(databases_of(&["a."], &["x"]).unwrap_err().len(), 2);
    }
}
