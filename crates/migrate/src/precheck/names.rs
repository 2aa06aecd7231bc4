//! Names on the target: each is allowed there, and nothing bears it yet.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use vecferry_milvus::{CollectionName, DB_DEFAULT, ErrorKind};
use vecferry_policy::{NameKind, Product, check_name};

use super::definitions::Checks;
use crate::cluster::connect::refusal;
use crate::cluster::inventory::Found;
use crate::plan::PlannedCollection;
use crate::problem::{CheckId, Code, Lang, Problem, Side, Told, message_of, name_fault};

/// Names that are looked at, at once.
const NAMES_PARALLEL: usize = 8;

/// What a target answers about a name.
enum Named {
    /// Nothing bears it.
    Free,
    /// A collection bears it, or is reached by it.
    Taken,
    /// It is not allowed, in the target's words.
    Forbidden(Told),
}

impl Checks<'_> {
    /// Names of collections and aliases are asked for later, all at once.
    pub(super) fn names(&mut self, found: &Found) {
        let name = &found.described.name;
        let db = self.request.target_db(&name.db);
        // Only made by the job itself: a database can't be tried and leave nothing.
        if let Err(fault) = check_name(self.product, NameKind::Database, &db) {
            self.problems.push(forbidden_name(NameKind::Database, name, &db, name_fault(fault)));
        }
        // What the source holds, a target of its release or a later one takes. A milvus-lite that has rules has no partitions.
        if self.follows_source || !matches!(self.product, Product::Milvus(_)) {
            return;
        }
        let fault_of = |partition: String| {
            let fault = check_name(self.product, NameKind::Partition, &partition).err()?;
            Some((partition, fault))
        };
        let faulty: Vec<_> = self.partitions(found).into_iter().filter_map(fault_of).collect();
        if let Some((partition, fault)) = faulty.first() {
            let names: Vec<_> = faulty.iter().map(|(partition, _)| partition).collect();
            let told = name_fault(*fault);
            let [fault, fault_zh] = [told.text(Lang::En), told.text(Lang::Zh)];
            let detail = Told::names(&names).within(
                |names| {
                    format!("its release may not allow names of partitions ({names}); `{partition}`: {fault}")
                },
                |names| format!("其版本可能不允许 Partition 名称（{names}）；`{partition}`：{fault_zh}"),
            );
            self.may_not_hold(found, CheckId::Names, detail);
        }
    }

    /// Nothing that exists on the target may bear the name of what is to be made, and the target must allow it.
    pub(super) async fn free_names(
        &mut self,
        collections: &[PlannedCollection],
        new_databases: &[String],
    ) -> Result<(), Vec<Problem>> {
        let wanted: Vec<_> = collections
            .iter()
            .flat_map(|planned| {
                let alias = |alias| (NameKind::Alias, CollectionName::new(&planned.target.db, alias));
                let own = (NameKind::Collection, planned.target.clone());
                let names = std::iter::once(own).chain(planned.aliases.iter().map(alias));
                names.map(move |(kind, name)| (planned, kind, name))
            })
            .collect();
        let checks: &Self = self;
        let ask = |(_, kind, name): &(&PlannedCollection, NameKind, CollectionName)| {
            let (is_new, kind, name) = (new_databases.contains(&name.db), *kind, name.clone());
            async move { if is_new { checks.is_allowed(kind, &name).await } else { checks.is_taken(&name).await } }
        };
        let asked: Vec<_> = wanted.iter().map(ask).collect();
        let answers: Vec<_> = stream::iter(asked).buffered(NAMES_PARALLEL).try_collect().await?;
        for ((planned, kind, name), answer) in wanted.iter().zip(answers) {
            match answer {
                Named::Free => {}
                Named::Taken if *name == planned.target => {
                    self.problems.push(Problem::new(Code::TargetExists).with("collection", name));
                }
                Named::Taken => {
                    let problem = Problem::new(Code::AliasTaken).with("alias", &name.name);
                    self.problems.push(problem.with("collection", &planned.source));
                }
                Named::Forbidden(words) => {
                    self.problems.push(forbidden_name(*kind, &planned.source, &name.name, words));
                }
            }
        }
        // Two source databases can be sent into one.
        let mut seen = BTreeSet::new();
        let twice = collections.iter().filter(|planned| !seen.insert(planned.target.clone()));
        self.problems.extend(twice.map(|planned| {
            Problem::new(Code::Selector).with("selector", &planned.target).told(
                "detail",
                Told::both(
                    "two source collections would get this name on the target",
                    "两个源 Collection 在目标集群上会使用同一个名称",
                ),
            )
        }));
        Ok(())
    }

    /// Whether a collection or an alias bears a name. A description of nothing tells as well whether the name is allowed.
    async fn is_taken(&self, name: &CollectionName) -> Result<Named, Vec<Problem>> {
        match self.target.describe(name).await {
            Ok(_) => Ok(Named::Taken),
            Err(error) if error.kind() == ErrorKind::CollectionNotFound => Ok(Named::Free),
            Err(error) if error.refuses_name() => Ok(Named::Forbidden(message_of(&error))),
            Err(error) => Err(vec![refusal(Side::Target, &error)]),
        }
    }

    /// Whether a name is allowed that a database is to have which is yet to be made: asked for in `default`, if the table
    /// has a doubt.
    async fn is_allowed(&self, kind: NameKind, name: &CollectionName) -> Result<Named, Vec<Problem>> {
        let Err(fault) = check_name(self.product, kind, &name.name) else { return Ok(Named::Free) };
        match self.target.describe(&CollectionName::new(DB_DEFAULT, &name.name)).await {
            Ok(_) => Ok(Named::Free),
            Err(error) if error.kind() == ErrorKind::CollectionNotFound => Ok(Named::Free),
            Err(error) if error.refuses_name() => Ok(Named::Forbidden(message_of(&error))),
            // Who may not ask there gets the table's answer. A database that is made beforehand is asked.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                Ok(Named::Forbidden(name_fault(fault)))
            }
            Err(error) => Err(vec![refusal(Side::Target, &error)]),
        }
    }
}

/// The refusal of a name, with a way out that exists for its kind.
pub(super) fn forbidden_name(
    kind: NameKind,
    collection: &CollectionName,
    name: &str,
    detail: impl Into<Told>,
) -> Problem {
    let way_out = way_out_of_name(kind, collection);
    let kind = match kind {
        // The name is the collection's own.
        NameKind::Collection => Told::both("collection", "Collection"),
        NameKind::Partition => {
            Told::both(format!("partition of `{collection}`"), format!("`{collection}` 的 Partition"))
        }
        NameKind::Alias => Told::both(format!("alias of `{collection}`"), format!("`{collection}` 的别名")),
        NameKind::Database => {
            Told::both(format!("database of `{collection}`"), format!("`{collection}` 的 Database"))
        }
    };
    Problem::new(Code::ForbiddenName)
        .with("name", name)
        .told("kind", kind)
        .told("detail", detail)
        .told("way_out", way_out)
}

/// What to do about a name that the target does not allow.
fn way_out_of_name(kind: NameKind, collection: &CollectionName) -> Told {
    match kind {
        NameKind::Database => Told::both(
            format!("choose another database with --target-db {}=NAME", collection.db),
            format!("请用 --target-db {}=NAME 选择其他 Database", collection.db),
        )
        .or_in_service("choose another target database", "请选择其他目标 Database"),
        NameKind::Collection => {
            let (rename, rename_zh) =
                ("rename the collection on the source", "请在源集群上重命名该 Collection");
            Told::both(
                format!("{rename}, or skip it with --exclude {collection}"),
                format!("{rename_zh}，或用 --exclude {collection} 跳过"),
            )
            .or_in_service(format!("{rename}, or leave it out"), format!("{rename_zh}，或跳过它"))
        }
        NameKind::Partition => {
            let move_rows = "a partition cannot be renamed: move its rows to another one on the source, use a target of 2.5 or \
                             later (it allows digits and hyphens)";
            let move_rows_zh = "Partition 无法重命名：请在源集群上把其中的行移到其他 Partition，或使用 2.5 及以上版本的目标集群（允许数字和连字符）";
            Told::both(
                format!("{move_rows}, or skip the collection with --exclude {collection}"),
                format!("{move_rows_zh}，或用 --exclude {collection} 跳过"),
            )
            .or_in_service(
                format!("{move_rows}, or leave the collection out"),
                format!("{move_rows_zh}，或跳过该 Collection"),
            )
        }
        NameKind::Alias => Told::both(
            "drop the alias on the source, and create it under another name",
            "请在源集群上删除该别名，并以其他名称重新创建",
        ),
    }
}
