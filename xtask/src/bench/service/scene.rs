//! A service with many clusters and jobs. One job between two stand-in clusters is a real one; the others are copies of it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use rand::Rng;
use serde_json::{Value, json};
use vecferry_store::Store;
use vecferry_store::postgres::{PostgresStore, Settings};
use vecferry_testkit::stand_in::generate::plain;
use vecferry_testkit::stand_in::{Key, Options, Version};
use vecferry_testkit::{Postgres, StandIn};

use super::seed::{self, Original, Size};
use super::tally::Errors;
use crate::api_fuzz::http::{Client, text};
use crate::api_fuzz::scene::{Process, key, session, started, token, user, wait_for};
use crate::{Failure, output};

const COLLECTION: &str = "books";
const ROWS: i64 = 20;
/// A job is run so often while the service is measured.
const MIGRATE_EVERY: Duration = Duration::from_secs(30);
/// Projects that a member of few sees.
const FEW: u32 = 3;
/// Projects that a member of many sees at most.
const MANY: u32 = 100;

/// The service, and whoever asks it.
pub(super) struct Scene {
    pub(super) address: String,
    /// Keys of an owner, of a member of few projects, and of a member of many.
    pub(super) owner_key: String,
    pub(super) few_key: String,
    pub(super) many_key: String,
    owner: Client,
    /// The job that is run again and again.
    request: Value,
    stand_ins: [StandIn; 2],
    // It ends before the database that it is on.
    process: Process,
    _place: Place,
}

/// Where the records are.
struct Place {
    state: PathBuf,
    config: PathBuf,
    postgres: Option<(Postgres, String)>,
}

impl Place {
    fn new(directory: &Path, on_postgres: bool) -> Result<Self, Failure> {
        let config = directory.join("config.toml");
        // Nothing is counted against a limit: what is measured is what the service can do.
        let mut settings = "listen = \"127.0.0.1:0\"\nallow-network = [\"127.0.0.0/8\"]\nlisteners = 500\n\
            requests-per-second = 100000\nrequests-burst = 100000\n"
            .to_owned();
        let postgres = on_postgres.then(|| {
            let postgres = Postgres::start();
            let url = postgres.create_database();
            (postgres, url)
        });
        if let Some((_, url)) = &postgres {
            let keys = directory.join("keys");
            let digits: String =
                (0..64).map(|_| format!("{:x}", rand::rng().random_range(0..16_u8))).collect();
            fs::write(&keys, digits)?;
            fs::set_permissions(&keys, Permissions::from_mode(0o600))?;
            settings.push_str(&format!("store = \"{url}\"\nkey-file = \"{}\"\n", keys.display()));
        }
        fs::write(&config, settings)?;
        fs::set_permissions(&config, Permissions::from_mode(0o600))?;
        Ok(Self { state: directory.join("state"), config, postgres })
    }

    fn service(&self, program: &Path) -> Result<(Process, Value), Failure> {
        let config = self.config.to_str().ok_or("the directory has no name")?;
        let (child, lines) = started(program, &self.state, &["--config", config])?;
        let process = Process(child);
        Ok((process, lines.last().cloned().ok_or("the service does not listen")?))
    }

    async fn store(&self) -> Result<Arc<dyn Store>, Failure> {
        Ok(match &self.postgres {
            Some((_, url)) => Arc::new(PostgresStore::connect(url, Settings::default()).await?),
            None => vecferry_store::sqlite::open(&self.state)?,
        })
    }
}

fn client(listening: &Value) -> Result<Client, Failure> {
    let url = text(&listening["url"])?;
    Ok(Client::new(url.trim_start_matches("http://")))
}

impl Scene {
    /// Starts it in a directory.
    pub(super) fn start(
        program: &Path,
        directory: &Path,
        size: Size,
        on_postgres: bool,
    ) -> Result<Self, Failure> {
        let place = Place::new(directory, on_postgres)?;
        let stand_ins = [(); 2].map(|()| StandIn::start(Options::new(Version::V2_6)));
        stand_ins[0].add(&plain(COLLECTION, false, &[("_default", (0..ROWS).map(Key::Long).collect())]));
        let (process, listening) = place.service(program)?;
        let nobody = client(&listening)?;
        let (in_session, _) = session(&nobody, &token(&listening["sign_in_link"])?)?;
        let owner_key = key(&in_session)?;
        let (request, original) = first_job(&nobody.with("Authorization", &bearer(&owner_key)), &stand_ins)?;
        drop(process);
        output::note(&format!("recording {} clusters and {} jobs", size.clusters, size.jobs));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async { seed::seed(&*place.store().await?, &original, size).await })?;
        let (process, listening) = place.service(program)?;
        let nobody = client(&listening)?;
        let owner = nobody.with("Authorization", &bearer(&owner_key));
        let member = |name: &str, projects: u32| -> Result<String, Failure> {
            let (user_id, token) = user(&owner, name)?;
            for number in 0..projects {
                let path = format!("/v2/projects/{}/users/{user_id}", seed::project_id(number));
                owner.put(&path, &json!({"projectRole": "readOnly"}))?;
            }
            key(&session(&nobody, &token)?.0)
        };
        Ok(Self {
            few_key: member("few", FEW.min(size.projects()))?,
            many_key: member("many", MANY.min(size.projects()))?,
            address: text(&listening["url"])?.trim_start_matches("http://").to_owned(),
            owner_key,
            owner,
            request,
            stand_ins,
            process,
            _place: place,
        })
    }

    /// The process of the service.
    pub(super) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// Ends a job.
    pub(super) fn cancel(&self, job_id: &str) -> Result<(), Failure> {
        self.owner.post(&format!("/v2/jobs/{job_id}/cancel"), &json!({})).map(drop)
    }

    /// Runs the job again and again, until it is told to stop. Returns how often that was.
    pub(super) fn migrate_until(&self, stop: &Receiver<()>) -> (usize, Errors) {
        let (mut jobs, mut errors) = (0, Errors::default());
        while stop.recv_timeout(MIGRATE_EVERY) == Err(RecvTimeoutError::Timeout) {
            self.stand_ins[1].remove("default", COLLECTION);
            match migrate(&self.owner, &self.request) {
                Ok(_) => jobs += 1,
                Err(error) => errors.add(format!("a job: {error}")),
            }
        }
        (jobs, errors)
    }
}

fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}

fn migrate(owner: &Client, request: &Value) -> Result<String, Failure> {
    let job_id = text(&owner.post("/v2/migrations/toExisting", request)?.data["jobId"])?;
    wait_for(owner, &job_id)?;
    Ok(job_id)
}

/// Registers both clusters, and migrates.
fn first_job(owner: &Client, stand_ins: &[StandIn; 2]) -> Result<(Value, Original), Failure> {
    let project_id = text(&owner.get("/v2/projects")?.data[0]["projectId"])?;
    let register = |name: &str, address: String| -> Result<String, Failure> {
        let body = json!({"projectId": project_id, "clusterName": name, "connectAddress": address});
        text(&owner.post("/v2/clusters", &body)?.data["clusterId"])
    };
    let source = register("source", stand_ins[0].uri())?;
    let target = register("target", stand_ins[1].uri())?;
    let request = json!({"source": {"clusterId": source}, "destination": {"clusterId": target}});
    let job_id = migrate(owner, &request)?;
    Ok((request, Original { project_id, cluster_id: source, job_id }))
}
