//! The first step: which cluster, and what of it.

use askama::Template;
use vecferry_migrate::problem::Side;
use vecferry_policy::Deployment;
use vecferry_report::labels;
use vecferry_words::Lang;

use super::cluster::{Offered, administered, away, choice, named};
use super::collections::{CollectionsShown, held};
use super::draft::{Found, Source};
use super::elsewhere::{DATABASES_MAX, Typed};
use super::{At, Head, Shows, Step, at};
use crate::access::Action;
use crate::api::clusters::cluster;
use crate::api::{Path, Refusal};
use crate::console::form::Form;
use crate::console::frame::{Frame, Visit};
use crate::console::page::{Shown, page_of_form};
use crate::console::show::{Say, Trouble};
use crate::jobs::{collections_max, edition};

#[derive(Template)]
#[template(path = "wizard_source.html")]
struct SourcePage {
    frame: Frame,
    t: Say,
    head: Head,
    troubles: Vec<Trouble>,
    is_elsewhere: bool,
    offered: Offered,
    /// Where clusters are searched for.
    fields: Vec<(&'static str, &'static str)>,
    typed: Typed,
}

#[derive(Template)]
#[template(path = "wizard_what.html")]
struct WhatPage {
    frame: Frame,
    t: Say,
    head: Head,
    troubles: Vec<Trouble>,
    found: Option<Found>,
    /// What a test of the connection counted.
    holds: String,
    /// What the source holds, for browsers without scripts.
    shown: Option<CollectionsShown>,
}

/// The step, as it is now.
pub(super) async fn shown(at: &At, shows: &Shows) -> Shown {
    let find = shows.find.as_deref().unwrap_or_default();
    match (&at.draft.source, shows.change.is_some() || shows.from.is_some()) {
        (Some(_), false) => what(at, None, shows.list.is_some()).await,
        (Some(Source::Elsewhere(_)), true) => {
            let is_elsewhere = shows.from.as_deref() != Some("here");
            where_from(at, None, (is_elsewhere, find, None), Typed::of(&at.draft)).await
        }
        (Some(Source::Cluster(_)) | None, _) => {
            let is_elsewhere = shows.from.as_deref() == Some("elsewhere");
            where_from(at, None, (is_elsewhere, find, None), Typed::default()).await
        }
    }
}

/// Which cluster; after a refusal with what was chosen.
pub(super) async fn where_from(
    at: &At,
    refusal: Option<&Refusal>,
    (is_elsewhere, find, typed_id): (bool, &str, Option<&str>),
    typed: Typed,
) -> Shown {
    let offered = match is_elsewhere {
        true => Offered::default(),
        false => offered(at, find, typed_id).await?,
    };
    let page = SourcePage {
        frame: at.frame().await?,
        t: at.t(),
        head: at.head(Step::Source),
        troubles: at.troubles(refusal),
        is_elsewhere,
        offered,
        fields: vec![("step", "source"), ("change", "source"), ("from", "here")],
        typed,
    };
    page_of_form(refusal, &page)
}

async fn offered(at: &At, find: &str, typed_id: Option<&str>) -> Result<Offered, Refusal> {
    let (service, lang) = (&at.visit.service, at.visit.lang());
    let (count, records) = administered(service, &at.visit.caller, None, find.trim()).await?;
    let projects = records.iter().map(|record| record.project_id.as_str());
    let names = service.tables().project_names(&at.visit.caller.org_id, projects).await?;
    let chosen = match &at.draft.source {
        Some(Source::Cluster(named)) => Some(named.cluster_id.as_str()),
        Some(Source::Elsewhere(_)) | None => None,
    };
    let chosen = typed_id.or(chosen);
    let choices = records.into_iter().map(|record| {
        let project = names.get(&record.project_id).cloned().unwrap_or_default();
        let problem = away(&record, Side::Source);
        choice(record, project, chosen, problem.as_ref(), lang)
    });
    let mut choices: Vec<_> = choices.collect();
    choices.sort_by_key(|choice| choice.trouble.is_some());
    Ok(Offered { choices, find: find.trim().to_owned(), count })
}

/// What a test of the connection counted: all databases, and the collections of the first of them.
fn holds(found: &Found, lang: Lang) -> String {
    let databases = match (lang, found.databases) {
        (Lang::En, 1) => "1 database".to_owned(),
        (Lang::En, count) => format!("{count} databases"),
        (Lang::Zh, count) => format!("{count} 个 Database"),
    };
    let collections = usize::try_from(found.collections).unwrap_or(usize::MAX);
    let collections = labels::some_collections(lang, collections);
    let is_cut = usize::try_from(found.databases).is_ok_and(|count| count > DATABASES_MAX);
    match (lang, is_cut) {
        (Lang::En | Lang::Zh, false) => format!("{databases}{}{collections}", labels::comma(lang)),
        (Lang::En, true) => format!("{databases}; {collections} in the first {DATABASES_MAX} of them"),
        (Lang::Zh, true) => format!("{databases}；其中前 {DATABASES_MAX} 个共有 {collections}"),
    }
}

/// What of the cluster.
pub(super) async fn what(at: &At, refusal: Option<&Refusal>, with_list: bool) -> Shown {
    let shown = match with_list {
        true => Some(held(at).await?),
        false => None,
    };
    let found = match &at.draft.source {
        Some(Source::Elsewhere(found)) => Some(found.clone()),
        Some(Source::Cluster(_)) | None => None,
    };
    let page = WhatPage {
        frame: at.frame().await?,
        t: at.t(),
        head: at.head(Step::Source),
        troubles: at.troubles(refusal),
        holds: found.as_ref().map(|found| holds(found, at.visit.lang())).unwrap_or_default(),
        found,
        shown,
    };
    page_of_form(refusal, &page)
}

/// Collections that a job takes whatever the target, and that one into a Free cluster takes.
pub(super) async fn limits(at: &At) -> Result<(Option<u64>, Option<u64>), Refusal> {
    let edition = edition(&at.visit.service, &at.visit.caller.org_id).await?;
    let target = at.draft.target.as_ref().and_then(|target| Deployment::parse(&target.plan));
    Ok((collections_max(target, &edition), collections_max(Some(Deployment::Free), &edition)))
}

/// Takes a cluster of the organization.
pub(super) async fn choose(visit: Visit, Path(path): Path<(String, String)>, form: Form) -> Shown {
    let mut at = match at(visit, path).await? {
        Ok(at) => at,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let cluster_id = form.text("cluster");
    match chosen(&mut at, cluster_id).await {
        Ok(()) => at.to(Step::Source),
        Err(refusal) => {
            let typed = (false, form.text("find"), Some(cluster_id));
            where_from(&at, Some(&refusal), typed, Typed::default()).await
        }
    }
}

async fn chosen(at: &mut At, cluster_id: &str) -> Result<(), Refusal> {
    if cluster_id.is_empty() {
        return Err(Refusal::bad_told("no cluster is chosen", "尚未选择集群"));
    }
    let record = cluster(&at.visit.service, &at.visit.caller, cluster_id, Action::Administer).await?;
    if let Some(problem) = away(&record, Side::Source) {
        return Err(problem.into());
    }
    let source = Some(Source::Cluster(named(&record)));
    at.take_source(source, None);
    at.keep().await
}

impl At {
    /// Takes another source. What was chosen of the one before does not belong to it.
    pub(super) fn take_source(&mut self, source: Option<Source>, secret: Option<Vec<u8>>) {
        let place = |source: &Option<Source>| match source {
            Some(Source::Cluster(named)) => Some(named.cluster_id.clone()),
            Some(Source::Elsewhere(found)) => Some(found.address.clone()),
            None => None,
        };
        if place(&self.draft.source) != place(&source) {
            self.draft.collections.clear();
            self.draft.target_dbs.clear();
        }
        self.draft.source = source;
        self.record.secret = secret;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_counted_is_not_told_as_counted() {
        let found = |databases, collections| Found {
            address: "https://source".into(),
            version: "2.6.0".into(),
            plan: String::new(),
            databases,
            collections,
            at_ms: 0,
            has_credential: false,
            has_certificate: false,
        };
        for (databases, en, zh) in [
            (1, "1 database, 3 collections", "1 个 Database，3 个 Collection"),
            (200, "200 databases, 3 collections", "200 个 Database，3 个 Collection"),
            (
                201,
                "201 databases; 3 collections in the first 200 of them",
                "201 个 Database；其中前 200 个共有 3 个 Collection",
            ),
        ] {
            let found = found(databases, 3);
            assert_eq!((holds(&found, Lang::En).as_str(), holds(&found, Lang::Zh).as_str()), (en, zh));
        }
    }
}
