//! Which collections of a cluster are meant.

use vecferry_milvus::{CollectionName, DB_DEFAULT};

use crate::problem::{Code, Problem, Told};

/// Which collections are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    include: Vec<Selector>,
    exclude: Vec<Selector>,
}

/// One `--collection` or `--exclude`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// All collections of a database.
    Database(String),
    /// One collection, or the collection behind an alias.
    Collection(CollectionName),
}

impl Selector {
    /// Reads `NAME`, `DB.NAME` or `DB.*`. The first dot ends the database: only names of collections hold dots, on
    /// milvus-lite 3.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let bad = |en: &str, zh: &str| {
            Problem::new(Code::Selector).with("selector", text).told("detail", Told::both(en, zh))
        };
        let (db, name) = text.split_once('.').unwrap_or((DB_DEFAULT, text));
        if db.is_empty() || name.is_empty() {
            return Err(bad("the database or collection name is empty", "Database 或 Collection 名称为空"));
        }
        if db.contains('*') || name != "*" && name.contains('*') {
            return Err(bad("`*` is only allowed as DB.*", "`*` 只能用于 DB.*"));
        }
        Ok(if name == "*" {
            Self::Database(db.to_owned())
        } else {
            Self::Collection(CollectionName::new(db, name))
        })
    }

    fn matches(&self, collection: &CollectionName) -> bool {
        match self {
            Self::Database(db) => *db == collection.db,
            Self::Collection(name) => name == collection,
        }
    }
}

impl Selection {
    /// Reads the texts of `--collection` (none means everything) and `--exclude`.
    pub fn parse<Text: AsRef<str>>(include: &[Text], exclude: &[Text]) -> Result<Self, Problem> {
        let parse = |texts: &[Text]| -> Result<Vec<_>, Problem> {
            texts.iter().map(|text| Selector::parse(text.as_ref())).collect()
        };
        Ok(Self { include: parse(include)?, exclude: parse(exclude)? })
    }

    pub(crate) fn new(include: Vec<Selector>, exclude: Vec<Selector>) -> Self {
        Self { include, exclude }
    }

    /// Exactly these collections.
    pub(crate) fn of(names: impl IntoIterator<Item = CollectionName>) -> Self {
        Self { include: names.into_iter().map(Selector::Collection).collect(), exclude: Vec::new() }
    }

    /// What is asked for by name; empty for everything.
    pub fn included(&self) -> &[Selector] {
        &self.include
    }

    /// What is left out.
    pub(crate) fn excluded(&self) -> &[Selector] {
        &self.exclude
    }

    /// Whether no whole database and no whole cluster is meant.
    pub(crate) fn names_every_collection(&self) -> bool {
        let is_named = |selector: &Selector| matches!(selector, Selector::Collection(_));
        !self.include.is_empty() && self.include.iter().all(is_named)
    }

    /// Whether a collection is left out.
    pub fn excludes(&self, collection: &CollectionName) -> bool {
        self.exclude.iter().any(|selector| selector.matches(collection))
    }
}
