//! `vecferry serve`: the service in this process, and `vecferry serve organization`.

mod certificates;
mod demo;
mod figures;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use vecferry_migrate::{Exit, Problem, store_problem};
use vecferry_milvus::Secret;
use vecferry_server::secret::keyring::{KeySource, Keyring};
use vecferry_server::{Service, Settings};
use vecferry_store::Store;

use self::demo::Demonstration;
use super::config;
use crate::args::{OrganizationAction, OrganizationAddArgs, ServeAction, ServeArgs};
use crate::output::Output;
use crate::settings::checked::{Base, Checked, Listen};
use crate::settings::{Configuration, invalid};
use crate::signals::Signals;
use crate::{state, text};

/// The file of the keys where nobody names one.
const KEY_FILE: &str = "service.key";
/// The owner of the organization that the first start makes.
const FIRST_OWNER: &str = "owner@localhost";
/// The project of an organization that is added.
const FIRST_PROJECT: &str = "Default Project";
/// From the first signal to the end of the process, whatever is under way.
const END_MAX: Duration = Duration::from_millis(9_500);

/// The service listens.
#[derive(Serialize)]
struct Listening<'a> {
    event: &'static str,
    url: &'a str,
    store: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sign_in_link: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    demo: Option<Vec<demo::Cluster<'a>>>,
}

/// An organization was added.
#[derive(Serialize)]
struct Added<'a> {
    event: &'static str,
    name: &'a str,
    email: &'a str,
    sign_in_link: &'a str,
}

/// Runs the service until a signal, or does what is asked of its record.
pub(crate) async fn run(output: &Output, signals: &mut Signals, args: &ServeArgs) -> Exit {
    let done = match &args.action {
        Some(ServeAction::Organization(args)) => {
            let OrganizationAction::Add(args) = &args.action;
            add_organization(output, args).await
        }
        None => Box::pin(serve(output, signals, args)).await,
    };
    match done {
        Ok(exit) => exit,
        Err(problem) => output.refuse(&[problem]),
    }
}

async fn serve(output: &Output, signals: &mut Signals, args: &ServeArgs) -> Result<Exit, Problem> {
    let checked = Checked::of(&config::read(&args.service)?)?;
    match args.demo {
        true => Box::pin(demo::run(output, signals, checked)).await,
        false => Box::pin(run_service(output, signals, checked, None)).await,
    }
}

async fn run_service(
    output: &Output,
    signals: &mut Signals,
    checked: Checked,
    demonstration: Option<&Demonstration>,
) -> Result<Exit, Problem> {
    let certificates = checked.tls.as_ref().map(certificates::load).transpose()?;
    let tls = certificates.as_ref().map(certificates::Loaded::server_config).transpose()?;
    let listener = listen(&checked.listen).await?;
    let address = listener.local_addr().map_err(|error| unusable(&checked.listen, &error))?;
    let url = url_of(address, tls.is_some());
    let oidc = checked.oidc.map(|oidc| oidc.at(&url)).transpose()?;
    let settings = Settings { metrics: Some(figures::start()?), oidc, ..checked.settings };
    let (store, service, link) = open(&checked.base, settings).await?;
    if let Some(demonstration) = demonstration {
        demonstration.register(&service).await?;
    }
    let hangups = certificates::hangups();
    listening(output, (&url, &store.place()), link.as_ref(), demonstration);
    tracing::info!(%address, is_tls = tls.is_some(), "listens");

    let kept = tokio::spawn(certificates::keep(certificates, hangups));
    let cancel = CancellationToken::new();
    let serving = Box::pin(vecferry_server::serve(Arc::clone(&service), listener, tls));
    let bounded = async {
        tokio::select! {
            () = serving => {}
            () = end_of(&cancel) => tracing::warn!("ended before everything was given back"),
        }
    };
    let on_first = || {
        service.stop();
        if !output.quiet {
            output.note(text::service_ending(output.lang));
        }
    };
    let ended = signals.cancelable(&cancel, on_first, bounded).await;
    kept.abort();
    Ok(if ended.is_some() { Exit::Done } else { Exit::Canceled })
}

async fn end_of(cancel: &CancellationToken) {
    cancel.cancelled().await;
    tokio::time::sleep(END_MAX).await;
}

async fn listen(listen: &Listen) -> Result<TcpListener, Problem> {
    TcpListener::bind(listen.address).await.map_err(|error| unusable(listen, &error))
}

fn unusable(listen: &Listen, error: &std::io::Error) -> Problem {
    let address: SocketAddr = listen.address;
    let (english, chinese) = if error.kind() == std::io::ErrorKind::AddrInUse {
        (format!("another program already listens on {address}"), format!("{address} 已被其他程序占用"))
    } else {
        (format!("cannot listen on {address}: {error}"), format!("无法监听 {address}：{error}"))
    };
    invalid(&listen.place, english, chinese)
}

/// The store, and the service in it.
async fn open(
    base: &Base,
    settings: Settings,
) -> Result<(Arc<dyn Store>, Arc<Service>, Option<Secret>), Problem> {
    let store = state::store(&base.state).await?;
    let keyring = keyring(base, &*store).await?;
    let (service, link) = Service::open(Arc::clone(&store), keyring, settings).await?;
    Ok((store, service, link))
}

/// The keys: those of the settings, or those of the state directory, where a first start makes one.
async fn keyring(base: &Base, store: &dyn Store) -> Result<Keyring, Problem> {
    let unusable = |error: vecferry_server::secret::keyring::Error| {
        invalid(&base.keys_place, error.to_string(), format!("无法使用密钥：{error}"))
    };
    if let Some(source) = &base.keys {
        return Keyring::load(source).await.map_err(unusable);
    }
    let Some(directory) = store.directory() else {
        // Refused before: a database without keys.
        return Err(store_problem(store, "", &vecferry_store::Error::unreadable("no directory for keys")));
    };
    let path = directory.join(KEY_FILE);
    Keyring::create_file(&path).await.map_err(unusable)?;
    Keyring::load(&KeySource::File(path)).await.map_err(unusable)
}

/// Tells where it listens. The link is on stdout only, and never in the log.
fn listening(
    output: &Output,
    (url, store): (&str, &str),
    link: Option<&Secret>,
    demonstration: Option<&Demonstration>,
) {
    let link = link.map(|token| link_of(url, token));
    if output.json {
        let sign_in_link = link.as_deref();
        let demo = demonstration.map(Demonstration::clusters);
        return output.json_line(&Listening { event: "listening", url, store, sign_in_link, demo });
    }
    output.result(&text::service_listening(output.lang, url, store));
    if let Some(link) = link {
        output.result(&text::sign_in_link(output.lang, FIRST_OWNER, &link));
    }
    if let Some(demonstration) = demonstration {
        demonstration.show(output);
    }
}

fn url_of(address: SocketAddr, is_tls: bool) -> String {
    let scheme = if is_tls { "https" } else { "http" };
    format!("{scheme}://{address}")
}

fn link_of(url: &str, token: &Secret) -> String {
    format!("{url}/setup#{}", token.reveal())
}

async fn add_organization(output: &Output, args: &OrganizationAddArgs) -> Result<Exit, Problem> {
    let typed = args.base.typed();
    let configuration = Configuration::read(args.base.config.as_deref(), config::variable, typed)?;
    let checked = Checked::of(&configuration)?;
    let url = url_of(checked.listen.address, checked.tls.is_some());
    let (_, service, first) = open(&checked.base, checked.settings).await?;
    // The record is new: the first owner's link is shown here or never.
    if let Some(link) = first {
        added(output, ("Default Organization", FIRST_OWNER), &link_of(&url, &link));
    }
    let link = service.add_organization(&args.name, FIRST_PROJECT, &args.email).await?;
    added(output, (&args.name, &args.email), &link_of(&url, &link));
    Ok(Exit::Done)
}

fn added(output: &Output, (name, email): (&str, &str), sign_in_link: &str) {
    match output.json {
        true => output.json_line(&Added { event: "organization_added", name, email, sign_in_link }),
        false => output.result(&text::sign_in_link(output.lang, email, sign_in_link)),
    }
}
