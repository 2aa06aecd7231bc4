//! `vecferry serve --demo`: the service between two servers of its own, which end with it.

use serde::Serialize;
use vecferry_migrate::{Exit, Lang, Problem, words_of};
use vecferry_milvus::{Client, Secret};
use vecferry_sandbox::{Sandbox, ServerInfo};
use vecferry_server::Service;
use vecferry_server::network::{Cidr, ParseCidrError};

use super::run_service;
use crate::commands::demo::{SOURCE, TARGET, endpoint, sample_problem, shop, start, step};
use crate::output::Output;
use crate::settings::checked::Checked;
use crate::settings::invalid;
use crate::signals::Signals;
use crate::text;

/// Where the servers listen.
const LOOPBACK: &str = "127.0.0.0/8";
/// The cluster that is copied from.
const SOURCE_CLUSTER: (&str, &str) = ("demo-source", "Sample data of a shop");
/// The cluster that is copied to.
const TARGET_CLUSTER: (&str, &str) = ("demo-target", "Empty, to migrate to");

/// A cluster, for machines.
#[derive(Serialize)]
pub(super) struct Cluster<'a> {
    name: &'a str,
    address: &'a str,
    credential: Option<&'a str>,
}

/// The two servers.
pub(super) struct Demonstration(Sandbox);

/// Runs the service between two servers until a signal, and ends them.
pub(super) async fn run(output: &Output, signals: &mut Signals, checked: Checked) -> Result<Exit, Problem> {
    let mut checked = checked;
    let directory = own_directory(&mut checked)?;
    allow_loopback(&mut checked)?;
    step(output, text::service_demo_start(output.lang));
    let demonstration = match signals.unless_signaled(start(output)).await {
        Some(sandbox) => Demonstration(sandbox?),
        None => return Ok(Exit::Canceled),
    };
    let exit = filled_and_served(output, signals, checked, &demonstration).await;
    // Ends both servers and waits for that; it takes a moment.
    drop(tokio::task::spawn_blocking(move || drop(demonstration)).await);
    if !output.quiet {
        output.note(match directory {
            Some(_) => text::service_demo_ended(output.lang),
            None => text::service_demo_ended_records_stay(output.lang),
        });
    }
    exit
}

async fn filled_and_served(
    output: &Output,
    signals: &mut Signals,
    checked: Checked,
    demonstration: &Demonstration,
) -> Result<Exit, Problem> {
    step(output, text::demo_filling(output.lang));
    let source = endpoint(&demonstration.0, SOURCE)?;
    let filled = async {
        let client = Client::connect(source, 1).await?;
        shop::fill(&client).await
    };
    match signals.unless_signaled(Box::pin(filled)).await {
        Some(filled) => filled.map_err(|error| sample_problem(&error))?,
        None => return Ok(Exit::Canceled),
    }
    Box::pin(run_service(output, signals, checked, Some(demonstration))).await
}

/// Where nothing says where the records are to be kept, they go with the demonstration. In a database they would stay
/// among those of a real service.
fn own_directory(checked: &mut Checked) -> Result<Option<tempfile::TempDir>, Problem> {
    let state = &mut checked.base.state;
    if state.store.is_some() {
        let english = "a demonstration keeps its records in a directory: set `state-dir`, or nothing";
        let chinese = "演示的记录保存在目录中：请设置 `state-dir`，或都不设置";
        return Err(invalid("`store`", english.to_owned(), chinese.to_owned()));
    }
    if state.state_dir.is_some() {
        return Ok(None);
    }
    let directory = tempfile::tempdir().map_err(|error| {
        let words = words_of(&error);
        invalid("`state-dir`", words.text(Lang::En).to_owned(), words.text(Lang::Zh).to_owned())
    })?;
    state.state_dir = Some(directory.path().to_path_buf());
    Ok(Some(directory))
}

/// Where only some networks are allowed, that of the servers is too.
fn allow_loopback(checked: &mut Checked) -> Result<(), Problem> {
    let allow = &mut checked.settings.networks.allow;
    if !allow.is_empty() {
        let loopback: Result<Cidr, ParseCidrError> = LOOPBACK.parse();
        allow.push(
            loopback.map_err(|error| invalid("`allow-network`", error.to_string(), error.to_string()))?,
        );
    }
    Ok(())
}

impl Demonstration {
    fn servers(&self) -> Vec<((&'static str, &'static str), &ServerInfo)> {
        let named = [(SOURCE_CLUSTER, SOURCE), (TARGET_CLUSTER, TARGET)];
        let found = named.into_iter().map(|(cluster, name)| (cluster, self.0.server(name).ok()));
        found.filter_map(|(cluster, server)| Some((cluster, server?))).collect()
    }

    /// Registers both.
    pub(super) async fn register(&self, service: &Service) -> Result<(), Problem> {
        for (named, server) in self.servers() {
            let token = server.token.as_deref().map(Secret::new);
            service.register_example(named, &server.uri, token).await?;
        }
        Ok(())
    }

    /// What they are, for machines. The credential is that of every new Milvus.
    pub(super) fn clusters(&self) -> Vec<Cluster<'_>> {
        let servers = self.servers().into_iter();
        servers
            .map(|((name, _), server)| Cluster {
                name,
                address: &server.uri,
                credential: server.token.as_deref(),
            })
            .collect()
    }

    /// Tells what they are.
    pub(super) fn show(&self, output: &Output) {
        let servers = self.servers();
        let clusters: Vec<_> =
            servers.iter().map(|((name, _), server)| (*name, server.uri.as_str())).collect();
        let token = servers.first().and_then(|(_, server)| server.token.as_deref()).unwrap_or("-");
        output.result(&text::service_demo_clusters(output.lang, &clusters, token));
    }
}
