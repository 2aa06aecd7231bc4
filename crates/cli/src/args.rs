//! What the command line takes. Parsing only: what the values mean is found out elsewhere.

mod server;
mod service;

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use vecferry_migrate::{
    AutoId, Duplicates, Lang, OnBadRow, RbacUsers, RoundOptions, SourceLoad, VerifyLevel,
};
use vecferry_milvus::Secret;
use vecferry_policy::{CuType, Deployment, EDITION_DEFAULT};
use vecferry_report::typed::shell;
use vecferry_store::postgres::without_password;

use crate::output::ColorChoice;
pub(crate) use server::{SERVER_VARIABLE, ServerArgs};
pub(crate) use service::{
    BackupArgs, ConfigAction, ConfigArgs, OrganizationAction, OrganizationAddArgs, RestoreArgs, ServeAction,
    ServeArgs, ServiceArgs, Typed,
};

/// Names the database of job records, so that its password is on no command line.
pub(crate) const STORE_VARIABLE: &str = "VECFERRY_STORE";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "vecferry",
    version,
    about = "Migrates Milvus and Zilliz Cloud clusters and verifies that every row arrived",
    after_help = "Exit codes: 0 done, 2 invalid arguments, 3 rejected before anything was written, 4 failed after the \
                  first write, 5 verification found differences, 130 canceled.\n\nTry it: vecferry demo",
    arg_required_else_help = false,
    propagate_version = true,
    max_term_width = 110
)]
pub(crate) struct Cli {
    /// How results are shown.
    #[command(flatten)]
    pub(crate) shown: Shown,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How results are shown.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct Shown {
    /// Write JSON to stdout, one object per line: progress, then the result
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Show only the result, warnings and errors
    #[arg(long, global = true)]
    pub(crate) quiet: bool,
    /// Language of messages and help [default: from LC_ALL, LC_MESSAGES or LANG]
    #[arg(long, global = true, value_name = "LANG", value_parser = lang_parser())]
    pub(crate) lang: Option<Lang>,
    /// When to use colors
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t = ColorChoice::Auto)]
    pub(crate) color: ColorChoice,
    /// Write what happens inside to stderr: `info`, `debug`, `trace`, or a filter such as `vecferry_migrate=debug`
    #[arg(long, global = true, value_name = "FILTER", env = "VECFERRY_LOG")]
    pub(crate) log: Option<String>,
    /// Form of the log: lines of text, or one JSON object per line
    #[arg(long, global = true, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

fn lang_parser() -> impl TypedValueParser<Value = Lang> {
    PossibleValuesParser::new(["en", "zh"]).map(|name| if name == "zh" { Lang::Zh } else { Lang::En })
}

#[expect(clippy::unnecessary_wraps, reason = "the form that clap wants")]
fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Try it: migrate sample data between two real Milvus servers on this machine
    Demo(DemoArgs),
    /// Check both clusters and plan a migration, without writing anything to them
    Plan(Box<PlanArgs>),
    /// Copy collections to another cluster and verify that every row arrived
    Migrate(Box<MigrateArgs>),
    /// Estimate the size of collections, the compute units they need, and the copy time
    Capacity(Box<CapacityArgs>),
    /// List the jobs, newest first
    Jobs(JobsArgs),
    /// Show the progress of a job
    Status(JobName),
    /// Continue a job that failed, was canceled or was interrupted
    Resume(Box<ResumeArgs>),
    /// Bring the target of a warm copy up to date, while the application still writes
    CatchUp(Box<CatchUpArgs>),
    /// End a warm copy: compare every row, copy what changed, and set the aliases
    Cutover(Box<CutoverArgs>),
    /// Change the rate limit of a job, even while it runs in another process
    Rate(RateArgs),
    /// Cancel a job; with --clean, also remove everything that it created
    Cancel(Box<CancelArgs>),
    /// Show the report of a job
    Report(ReportArgs),
    /// Compare collections of two clusters without copying anything
    Verify(Box<VerifyArgs>),
    /// Load collections on the target, so that they can be searched
    Load(LoadArgs),
    /// Run the service: organizations, projects, clusters and jobs behind a REST API
    Serve(Box<ServeArgs>),
    /// Show the settings of the service
    Config(ConfigArgs),
    /// Copy the job records of the state directory to a file, while others use them
    Backup(BackupArgs),
    /// Create a state directory from a file that `vecferry backup` wrote
    Restore(RestoreArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Copy splits of a job that another process runs with --by-workers
    #[command(hide = true)]
    Worker(Box<WorkerArgs>),
    /// Own the servers of the demo or of a test until standard input closes
    #[command(hide = true)]
    Sandbox,
}

impl Command {
    /// Where the command's jobs are recorded, if it is about any.
    pub(crate) fn state(&self) -> Option<&StateArgs> {
        Some(match self {
            Self::Demo(_)
            | Self::Capacity(_)
            | Self::Config(_)
            | Self::Completions { .. }
            | Self::Sandbox => return None,
            Self::Plan(args) => &args.state,
            Self::Migrate(args) => &args.state,
            Self::Jobs(args) => &args.state,
            Self::Status(args) => &args.state,
            Self::Resume(args) => &args.job.state,
            Self::CatchUp(args) => &args.round.job.state,
            Self::Cutover(args) => &args.round.job.state,
            Self::Rate(args) => &args.state,
            Self::Cancel(args) => &args.job.state,
            Self::Report(args) => &args.job.state,
            Self::Verify(args) => &args.state,
            Self::Load(args) => &args.state,
            Self::Worker(args) => &args.state,
            Self::Serve(args) => &args.base().state,
            Self::Backup(args) => &args.state,
            Self::Restore(args) => &args.state,
        })
    }

    /// The service that the command drives, if it can drive one and one is named.
    pub(crate) fn server(&self) -> Option<&ServerArgs> {
        let server = match self {
            Self::Migrate(args) => &args.server,
            Self::Jobs(args) => &args.server,
            Self::Status(args) => &args.server,
            Self::Resume(args) => &args.job.server,
            Self::CatchUp(args) => &args.round.job.server,
            Self::Cutover(args) => &args.round.job.server,
            Self::Rate(args) => &args.server,
            Self::Cancel(args) => &args.job.server,
            Self::Report(args) => &args.job.server,
            Self::Load(args) => &args.server,
            Self::Verify(args) => &args.server,
            Self::Demo(_)
            | Self::Plan(_)
            | Self::Capacity(_)
            | Self::Serve(_)
            | Self::Config(_)
            | Self::Backup(_)
            | Self::Restore(_)
            | Self::Completions { .. }
            | Self::Worker(_)
            | Self::Sandbox => return None,
        };
        server.address().map(|_| server)
    }
}

/// `demo`
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {}

/// Address and credentials of the source.
#[derive(Debug, Args)]
#[command(next_help_heading = "Source")]
pub(crate) struct SourceArgs {
    /// Source address: https://host:port, http://host:port, or a Zilliz Cloud cluster ID
    #[arg(long, value_name = "URI", env = "VECFERRY_SOURCE", hide_env_values = true, value_hint = ValueHint::Url)]
    source: String,
    #[command(flatten)]
    access: SourceAccess,
}

/// How to sign in to the source.
#[derive(Debug, Args)]
#[command(next_help_heading = "Source")]
pub(crate) struct SourceAccess {
    /// Credentials: user:password or an API key (the variable is hidden from `ps`)
    #[arg(long, value_name = "TOKEN", env = "VECFERRY_SOURCE_TOKEN", hide_env_values = true, value_parser = secret)]
    source_token: Option<Secret>,
    /// Zilliz Cloud API key, for a cluster given by its ID (in01-…)
    ///
    /// Vecferry looks up the address, plan and size of the cluster with it. It also serves as the credential if no token is
    /// given.
    #[arg(long, value_name = "KEY", env = "VECFERRY_SOURCE_API_KEY", hide_env_values = true, value_parser = secret)]
    source_api_key: Option<Secret>,
    /// CA certificate to trust (PEM)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    source_ca: Option<PathBuf>,
    /// Client certificate (PEM), for servers that require one
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    source_cert: Option<PathBuf>,
    /// Private key of the client certificate (PEM)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    source_key: Option<PathBuf>,
}

/// Address and credentials of the target.
#[derive(Debug, Args)]
#[command(next_help_heading = "Target")]
pub(crate) struct TargetArgs {
    /// Target address: https://host:port, http://host:port, or a Zilliz Cloud cluster ID
    #[arg(long, value_name = "URI", env = "VECFERRY_TARGET", hide_env_values = true, value_hint = ValueHint::Url)]
    target: String,
    #[command(flatten)]
    access: TargetAccess,
}

/// How to sign in to the target.
#[derive(Debug, Args)]
#[command(next_help_heading = "Target")]
pub(crate) struct TargetAccess {
    /// Credentials: user:password or an API key (the variable is hidden from `ps`)
    #[arg(long, value_name = "TOKEN", env = "VECFERRY_TARGET_TOKEN", hide_env_values = true, value_parser = secret)]
    target_token: Option<Secret>,
    /// Zilliz Cloud API key, for a cluster given by its ID (in01-…)
    ///
    /// Vecferry looks up the address, plan and size of the cluster with it. It also serves as the credential if no token is
    /// given.
    #[arg(long, value_name = "KEY", env = "VECFERRY_TARGET_API_KEY", hide_env_values = true, value_parser = secret)]
    target_api_key: Option<Secret>,
    /// CA certificate to trust (PEM)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    target_ca: Option<PathBuf>,
    /// Client certificate (PEM), for servers that require one
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    target_cert: Option<PathBuf>,
    /// Private key of the client certificate (PEM)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    target_key: Option<PathBuf>,
}

/// Address and credentials of either side.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionArgs<'a> {
    /// `source` or `target`, as in the names of the flags.
    pub(crate) side: &'static str,
    /// Address.
    pub(crate) uri: &'a str,
    /// Credentials.
    pub(crate) token: Option<&'a Secret>,
    /// API key of the control plane.
    pub(crate) api_key: Option<&'a Secret>,
    /// Files.
    pub(crate) files: TlsFiles,
}

/// Certificate files as named on the command line.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsFiles {
    /// Certificate authority.
    pub(crate) ca: Option<PathBuf>,
    /// Client certificate.
    pub(crate) cert: Option<PathBuf>,
    /// Its key.
    pub(crate) key: Option<PathBuf>,
}

impl SourceArgs {
    /// The side as a whole.
    pub(crate) fn connection(&self) -> ConnectionArgs<'_> {
        self.access.at(&self.source)
    }
}

impl SourceAccess {
    /// The side as a whole, at an address that is known from elsewhere.
    pub(crate) fn at<'a>(&'a self, uri: &'a str) -> ConnectionArgs<'a> {
        ConnectionArgs {
            side: "source",
            uri,
            token: self.source_token.as_ref(),
            api_key: self.source_api_key.as_ref(),
            files: TlsFiles {
                ca: self.source_ca.clone(),
                cert: self.source_cert.clone(),
                key: self.source_key.clone(),
            },
        }
    }
}

impl TargetArgs {
    /// The side as a whole.
    pub(crate) fn connection(&self) -> ConnectionArgs<'_> {
        self.access.at(&self.target)
    }
}

impl TargetAccess {
    /// The side as a whole, at an address that is known from elsewhere.
    pub(crate) fn at<'a>(&'a self, uri: &'a str) -> ConnectionArgs<'a> {
        ConnectionArgs {
            side: "target",
            uri,
            token: self.target_token.as_ref(),
            api_key: self.target_api_key.as_ref(),
            files: TlsFiles {
                ca: self.target_ca.clone(),
                cert: self.target_cert.clone(),
                key: self.target_key.clone(),
            },
        }
    }
}

/// Which collections.
#[derive(Debug, Args)]
#[command(next_help_heading = "Selection")]
pub(crate) struct SelectionArgs {
    /// Only this collection (repeatable); DB.* is a whole database, NAME is in `default`
    #[arg(long, value_name = "DB.NAME")]
    pub(crate) collection: Vec<String>,
    /// Skip this collection (repeatable)
    #[arg(long, value_name = "DB.NAME")]
    pub(crate) exclude: Vec<String>,
    /// Of whole databases, include only what this user sees
    #[arg(long)]
    pub(crate) visible_only: bool,
    /// Copy the database SRC into the database DST on the target (repeatable)
    #[arg(long, value_name = "SRC=DST")]
    pub(crate) target_db: Vec<String>,
}

/// `plan`
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,
    #[command(flatten)]
    pub(crate) rbac: RbacArgs,
    #[command(flatten)]
    pub(crate) plans: PlansArgs,
    #[command(flatten)]
    pub(crate) job: JobArgs,
    /// Write the plan to this file, for `migrate --plan`
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// Check definitions and measure times with temporary collections on the target
    ///
    /// They have random names and are dropped again. They show whether the target accepts every definition of the plan, and
    /// how long collections take there.
    #[arg(long)]
    pub(crate) probe_write: bool,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

/// `migrate`
#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    /// Source address: https://host:port, http://host:port, or a Zilliz Cloud cluster ID
    ///
    /// With --server, the ID or name of a cluster of the service.
    #[arg(long, value_name = "URI", env = "VECFERRY_SOURCE", hide_env_values = true, value_hint = ValueHint::Url,
          required_unless_present = "plan", help_heading = "Source")]
    source: Option<String>,
    #[command(flatten)]
    source_access: SourceAccess,
    /// Target address: https://host:port, http://host:port, or a Zilliz Cloud cluster ID
    ///
    /// With --server, the ID or name of a cluster of the service.
    #[arg(long, value_name = "URI", env = "VECFERRY_TARGET", hide_env_values = true, value_hint = ValueHint::Url,
          required_unless_present = "plan", help_heading = "Target")]
    target: Option<String>,
    #[command(flatten)]
    target_access: TargetAccess,
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,
    /// Run this plan of `vecferry plan`, with the addresses, collections and options in it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Migration",
          conflicts_with_all = ["SelectionArgs", "JobArgs", "RbacArgs", "PlansArgs"])]
    pub(crate) plan: Option<PathBuf>,
    /// Percentage of rows that a collection may have gained or lost since the plan
    #[arg(long, value_name = "PERCENT", requires = "plan", default_value_t = 1.0, value_parser = percent,
          help_heading = "Migration")]
    pub(crate) row_tolerance: f64,
    /// Start without confirmation
    #[arg(long, help_heading = "Migration")]
    pub(crate) yes: bool,
    /// Check, plan and read every row, without writing anything, to measure the source
    #[arg(long, help_heading = "Migration", conflicts_with = "warm")]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) rbac: RbacArgs,
    #[command(flatten)]
    pub(crate) plans: PlansArgs,
    #[command(flatten)]
    pub(crate) job: JobArgs,
    #[command(flatten)]
    pub(crate) pace: PaceArgs,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

impl MigrateArgs {
    /// The source, at the address that is given here or in a plan.
    pub(crate) fn source<'a>(&'a self, planned: Option<&'a str>) -> ConnectionArgs<'a> {
        self.source_access.at(planned.or(self.source.as_deref()).unwrap_or_default())
    }

    /// The target, at the address that is given here or in a plan.
    pub(crate) fn target<'a>(&'a self, planned: Option<&'a str>) -> ConnectionArgs<'a> {
        self.target_access.at(planned.or(self.target.as_deref()).unwrap_or_default())
    }
}

fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse() {
        Ok(value) if (0.0..=100.0).contains(&value) => Ok(value),
        _ => Err("not a number from 0 to 100".to_owned()),
    }
}

/// Roles and users.
#[derive(Debug, Args)]
#[command(next_help_heading = "Roles and users")]
pub(crate) struct RbacArgs {
    /// Also copy `rbac`: roles, grants, privilege groups and users
    #[arg(long, value_name = "WHAT", value_enum)]
    pub(crate) with: Option<WithArg>,
    /// Create users with new passwords (passwords can't be copied), or skip them
    #[arg(long, value_name = "HOW", value_enum, default_value_t = RbacUsersArg::Create, requires = "with")]
    pub(crate) rbac_users: RbacUsersArg,
    /// File to write these passwords to [default: users/JOB.json in the state directory]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "with")]
    pub(crate) users_file: Option<PathBuf>,
}

/// How a migration runs.
#[derive(Debug, Args)]
#[command(next_help_heading = "Migration")]
pub(crate) struct JobArgs {
    /// Verification: `count` compares row counts, `sample` also random rows, `full` all rows
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = VerifyArg::Sample,
          default_value_if("warm", "true", "full"))]
    pub(crate) verify: VerifyArg,
    /// Copy while the application still writes, and switch later with `vecferry cutover`
    ///
    /// The job ends READY: nothing is verified before the cut-over, which compares every row.
    #[arg(long, conflicts_with = "allow_drift", help_heading = "Migration")]
    pub(crate) warm: bool,
    /// Load the target collections, so that the switch need not wait for it
    #[arg(long, requires = "warm", help_heading = "Migration")]
    pub(crate) load_target: bool,
    /// Source collections that are not loaded: load them for the copy only, or reject them
    #[arg(long, value_name = "HOW", value_enum, default_value_t = SourceLoadArg::Temporary)]
    pub(crate) source_load: SourceLoadArg,
    /// How many source collections to load for the copy at the same time; eight small ones (16 MiB) count as one
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) source_load_parallel: u8,
    /// Duplicate primary keys: copy one row of each and warn, or reject the collection
    #[arg(long, value_name = "HOW", value_enum, default_value_t = DuplicatesArg::Warn)]
    pub(crate) duplicates: DuplicatesArg,
    /// If the target rejects rows: leave their collection unfinished, or finish it
    ///
    /// An unfinished collection has no aliases. Either way all other rows are copied, and the job fails at the end.
    #[arg(long, value_name = "HOW", value_enum, default_value_t = OnBadRowArg::Fail)]
    pub(crate) on_bad_row: OnBadRowArg,
    /// Auto-generated IDs: reject such collections, keep the IDs, or generate new ones
    ///
    /// IDs can be kept if the target allows it (2.6 and later). If the target generates new ones, rows are compared without
    /// them.
    #[arg(long, value_name = "HOW", value_enum, default_value_t = AutoIdArg::Refuse)]
    pub(crate) auto_id: AutoIdArg,
    /// Accept changes to the source during the copy; they may be missing on the target
    #[arg(long)]
    pub(crate) allow_drift: bool,
    /// Keep the vector indexes of the source (HNSW …) instead of AUTOINDEX
    ///
    /// They are built with the parameters of the source, if the target supports them.
    #[arg(long)]
    pub(crate) keep_index_params: bool,
    /// Wait until all indexes on the target are built
    #[arg(long)]
    pub(crate) wait_index: bool,
}

/// Plans of the two clusters.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Plans of the clusters")]
pub(crate) struct PlansArgs {
    /// Which plans can be migrated to which: zilliz-cn, zilliz-global, or a file
    #[arg(long, value_name = "NAME|FILE", default_value = EDITION_DEFAULT)]
    pub(crate) policy: String,
    /// Plan of the source, if it can't be detected
    #[arg(long, value_name = "PLAN", value_enum)]
    pub(crate) source_plan: Option<DeploymentArg>,
    /// Plan of the target, if it can't be detected
    #[arg(long, value_name = "PLAN", value_enum)]
    pub(crate) target_plan: Option<DeploymentArg>,
    /// Free compute units (CU) of the target, if the control plane does not report them
    #[arg(long, value_name = "N", value_parser = compute_units)]
    pub(crate) target_cu: Option<f64>,
    /// Type of the target's compute units
    #[arg(long, value_name = "TYPE", value_enum)]
    pub(crate) target_cu_type: Option<CuTypeArg>,
}

fn compute_units(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(units) if (0.001..=2048.0).contains(&units) => Ok(units),
        _ => Err("not a number from 0.001 to 2048".to_owned()),
    }
}

/// `--source-plan`, `--target-plan`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeploymentArg {
    Free,
    Serverless,
    Dedicated,
    SelfHosted,
}

impl From<DeploymentArg> for Deployment {
    fn from(arg: DeploymentArg) -> Self {
        match arg {
            DeploymentArg::Free => Self::Free,
            DeploymentArg::Serverless => Self::Serverless,
            DeploymentArg::Dedicated => Self::Dedicated,
            DeploymentArg::SelfHosted => Self::SelfHosted,
        }
    }
}

/// `--target-cu-type`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CuTypeArg {
    Performance,
    Capacity,
    Tiered,
}

impl From<CuTypeArg> for CuType {
    fn from(arg: CuTypeArg) -> Self {
        match arg {
            CuTypeArg::Performance => Self::Performance,
            CuTypeArg::Capacity => Self::Capacity,
            CuTypeArg::Tiered => Self::Tiered,
        }
    }
}

/// `capacity`
#[derive(Debug, Args)]
pub(crate) struct CapacityArgs {
    /// Source address: https://host:port, http://host:port, or a Zilliz Cloud cluster ID
    #[arg(long, value_name = "URI", env = "VECFERRY_SOURCE", hide_env_values = true, value_hint = ValueHint::Url,
          required_unless_present = "plan", help_heading = "Source")]
    source: Option<String>,
    #[command(flatten)]
    access: SourceAccess,
    /// Only this collection (repeatable); DB.* is a whole database, NAME is in `default`
    #[arg(long, value_name = "DB.NAME", help_heading = "Selection", conflicts_with = "plan")]
    pub(crate) collection: Vec<String>,
    /// Skip this collection (repeatable)
    #[arg(long, value_name = "DB.NAME", help_heading = "Selection", conflicts_with = "plan")]
    pub(crate) exclude: Vec<String>,
    /// Of whole databases, include only what this user sees
    #[arg(long, help_heading = "Selection", conflicts_with = "plan")]
    pub(crate) visible_only: bool,
    /// Use the collections of this plan file instead of a source
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Selection")]
    pub(crate) plan: Option<PathBuf>,
}

impl CapacityArgs {
    /// The source.
    pub(crate) fn source(&self) -> ConnectionArgs<'_> {
        self.access.at(self.source.as_deref().unwrap_or_default())
    }
}

/// How fast rows are copied.
#[derive(Debug, Args)]
#[command(next_help_heading = "Migration")]
pub(crate) struct PaceArgs {
    /// Limit writes: 20MB/s (B to GB, KiB to GiB), 5000rows/s, or `none`
    #[arg(long, value_name = "RATE")]
    pub(crate) max_rate: Option<String>,
    /// Leave the copying to `vecferry worker` processes
    #[arg(long, hide = true)]
    pub(crate) by_workers: bool,
}

/// Where jobs are recorded.
#[derive(Debug, Args)]
pub(crate) struct StateArgs {
    /// Directory for job records, or only for files about jobs with --store [default: $XDG_STATE_HOME/vecferry or ~/.local/state/vecferry]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) state_dir: Option<PathBuf>,
    /// PostgreSQL database for job records: postgres://USER:PASSWORD@HOST:PORT/DATABASE
    #[arg(long, value_name = "URL", env = STORE_VARIABLE, hide_env_values = true, value_parser = secret)]
    pub(crate) store: Option<Secret>,
}

impl StateArgs {
    /// The options that a command about a job of this record needs, as they can be typed into a shell. What the environment
    /// says need not be typed, and a password is not shown.
    pub(crate) fn typed(&self) -> Option<String> {
        let directory = self.state_dir.as_deref().map(|path| {
            // A command may be typed in another directory.
            let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            format!(" --state-dir {}", shell(&path.display().to_string()))
        });
        let of_environment = std::env::var(STORE_VARIABLE).ok();
        let store = self.store.as_ref().map(Secret::reveal).filter(|url| !url.is_empty());
        let store = store.filter(|url| of_environment.as_deref() != Some(*url));
        let store = store.map(|url| format!(" --store {}", shell(&without_password(url))));
        let typed: String = [directory, store].into_iter().flatten().collect();
        (!typed.is_empty()).then_some(typed)
    }
}

/// `jobs`
#[derive(Debug, Args)]
pub(crate) struct JobsArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

/// A job, by its ID or the beginning of it.
#[derive(Debug, Args)]
pub(crate) struct JobName {
    /// Job ID, or a unique beginning of it
    #[arg(value_name = "JOB")]
    pub(crate) job: String,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

/// `rate`
#[derive(Debug, Args)]
pub(crate) struct RateArgs {
    /// Job ID, or a unique beginning of it
    #[arg(value_name = "JOB")]
    pub(crate) job: String,
    /// Rate limit: 20MB/s (B to GB, KiB to GiB), 5000rows/s, or `none`
    #[arg(value_name = "RATE")]
    pub(crate) rate: String,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

/// `resume`
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    pub(crate) job: JobName,
    #[command(flatten)]
    pub(crate) pace: PaceArgs,
    #[command(flatten)]
    pub(crate) source: SourceAccess,
    #[command(flatten)]
    pub(crate) target: TargetAccess,
}

/// `catch-up`
#[derive(Debug, Args)]
pub(crate) struct CatchUpArgs {
    #[command(flatten)]
    pub(crate) round: RoundArgs,
}

/// `cutover`
#[derive(Debug, Args)]
pub(crate) struct CutoverArgs {
    #[command(flatten)]
    pub(crate) round: RoundArgs,
    /// Start without confirmation: all writers of the source are stopped
    #[arg(long, help_heading = "Migration")]
    pub(crate) yes: bool,
    /// Sample key ranges that the last catch-up found equal, instead of comparing every row
    ///
    /// Their keys are compared, and some values at random: a row that was updated since may be missed. The report says
    /// `sample`.
    #[arg(long, help_heading = "Migration")]
    pub(crate) trust_unchanged: bool,
}

impl CutoverArgs {
    /// What the round may do.
    pub(crate) fn options(&self) -> RoundOptions {
        RoundOptions { trust_unchanged: self.trust_unchanged, ..self.round.accepted.into() }
    }
}

/// A round behind a warm copy.
#[derive(Debug, Args)]
pub(crate) struct RoundArgs {
    #[command(flatten)]
    pub(crate) job: JobName,
    #[command(flatten)]
    pub(crate) accepted: AcceptedArgs,
    /// Limit writes: 20MB/s (B to GB, KiB to GiB), 5000rows/s, or `none`
    #[arg(long, value_name = "RATE", help_heading = "Migration")]
    pub(crate) max_rate: Option<String>,
    #[command(flatten)]
    pub(crate) source: SourceAccess,
    #[command(flatten)]
    pub(crate) target: TargetAccess,
}

/// What a round does only if somebody asks for it.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Migration")]
pub(crate) struct AcceptedArgs {
    /// Remove collections from the target that the source dropped since
    ///
    /// Without it, the round is rejected: a wrong source address looks the same.
    #[arg(long)]
    pub(crate) accept_dropped: bool,
    /// Copy collections again that the source recreated or redefined since
    ///
    /// They are removed from the target first. Without it, the round is rejected.
    #[arg(long)]
    pub(crate) recopy: bool,
    /// Remove rows that others wrote to the target
    ///
    /// Without it, a collection with more rows on the target than the job left there is rejected.
    #[arg(long)]
    pub(crate) overwrite_target: bool,
}

impl From<AcceptedArgs> for RoundOptions {
    fn from(args: AcceptedArgs) -> Self {
        let AcceptedArgs { accept_dropped, recopy, overwrite_target } = args;
        Self { accept_dropped, recopy, overwrite_target, trust_unchanged: false }
    }
}

/// `worker`
#[derive(Debug, Args)]
pub(crate) struct WorkerArgs {
    /// Job ID, or a unique beginning of it
    #[arg(value_name = "JOB")]
    pub(crate) job: String,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    #[command(flatten)]
    pub(crate) source: SourceAccess,
    #[command(flatten)]
    pub(crate) target: TargetAccess,
}

/// `cancel`
#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    #[command(flatten)]
    pub(crate) job: JobName,
    /// Remove from the target everything that the job created, and nothing else
    #[arg(long)]
    pub(crate) clean: bool,
    #[command(flatten)]
    pub(crate) source: SourceAccess,
    #[command(flatten)]
    pub(crate) target: TargetAccess,
}

/// `report`
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    pub(crate) job: JobName,
    /// Write the report as a self-contained HTML page
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) html: Option<PathBuf>,
}

/// `verify`
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// With --server: the successful job whose collections are compared again
    #[arg(value_name = "JOB", requires = "server")]
    pub(crate) job: Option<String>,
    /// Source address: https://host:port, http://host:port, or a Zilliz Cloud cluster ID
    #[arg(long, value_name = "URI", env = "VECFERRY_SOURCE", hide_env_values = true, value_hint = ValueHint::Url,
          required_unless_present_any = ["job", "server"], help_heading = "Source")]
    source: Option<String>,
    #[command(flatten)]
    source_access: SourceAccess,
    /// Target address: https://host:port, http://host:port, or a Zilliz Cloud cluster ID
    #[arg(long, value_name = "URI", env = "VECFERRY_TARGET", hide_env_values = true, value_hint = ValueHint::Url,
          required_unless_present_any = ["job", "server"], help_heading = "Target")]
    target: Option<String>,
    #[command(flatten)]
    target_access: TargetAccess,
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,
    #[command(flatten)]
    pub(crate) comparison: ComparisonArgs,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

impl VerifyArgs {
    /// The source.
    pub(crate) fn source(&self) -> ConnectionArgs<'_> {
        self.source_access.at(self.source.as_deref().unwrap_or_default())
    }

    /// The target.
    pub(crate) fn target(&self) -> ConnectionArgs<'_> {
        self.target_access.at(self.target.as_deref().unwrap_or_default())
    }
}

/// How a comparison runs.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Comparison")]
pub(crate) struct ComparisonArgs {
    /// Verification: `count` compares row counts, `sample` also random rows, `full` all rows
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = LevelArg::Sample)]
    pub(crate) level: LevelArg,
    /// Copy missing and changed rows again, and remove extra rows
    ///
    /// Needs `--level full`. Only collections that a job recorded here (--state-dir, --store) created are repaired.
    #[arg(long)]
    pub(crate) repair: bool,
    /// Also repair collections that no job recorded here (--state-dir, --store) created
    #[arg(long, requires = "repair")]
    pub(crate) repair_foreign: bool,
    /// Repair without confirmation
    #[arg(long, requires = "repair")]
    pub(crate) yes: bool,
}

/// `load`
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// Target address: https://host:port, http://host:port, or a Zilliz Cloud cluster ID
    #[arg(long, value_name = "URI", env = "VECFERRY_TARGET", hide_env_values = true, value_hint = ValueHint::Url,
          required_unless_present = "job", help_heading = "Target")]
    target: Option<String>,
    #[command(flatten)]
    access: TargetAccess,
    /// Collection to load (repeatable); DB.* is a whole database, NAME is in `default`
    #[arg(long, value_name = "DB.NAME", required_unless_present = "job", conflicts_with = "job")]
    pub(crate) collection: Vec<String>,
    /// Load what this job copied, as it was loaded on the source
    #[arg(long, value_name = "JOB")]
    pub(crate) job: Option<String>,
    /// Number of replicas [default: as on the source with --job, otherwise 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) replicas: Option<u32>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

impl LoadArgs {
    /// The target, at the address of a job or at the one that is given here.
    pub(crate) fn target<'a>(&'a self, recorded: Option<&'a str>) -> ConnectionArgs<'a> {
        self.access.at(recorded.or(self.target.as_deref()).unwrap_or_default())
    }
}

/// `--verify`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum VerifyArg {
    None,
    Count,
    Sample,
    Full,
}

impl From<VerifyArg> for VerifyLevel {
    fn from(arg: VerifyArg) -> Self {
        match arg {
            VerifyArg::None => Self::None,
            VerifyArg::Count => Self::Count,
            VerifyArg::Sample => Self::Sample,
            VerifyArg::Full => Self::Full,
        }
    }
}

/// `--level`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LevelArg {
    Count,
    Sample,
    Full,
}

impl From<LevelArg> for VerifyLevel {
    fn from(arg: LevelArg) -> Self {
        match arg {
            LevelArg::Count => Self::Count,
            LevelArg::Sample => Self::Sample,
            LevelArg::Full => Self::Full,
        }
    }
}

/// `--source-load`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SourceLoadArg {
    Temporary,
    Never,
}

impl From<SourceLoadArg> for SourceLoad {
    fn from(arg: SourceLoadArg) -> Self {
        match arg {
            SourceLoadArg::Temporary => Self::Temporary,
            SourceLoadArg::Never => Self::Never,
        }
    }
}

/// `--auto-id`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AutoIdArg {
    Refuse,
    Keep,
    Regenerate,
}

impl From<AutoIdArg> for AutoId {
    fn from(arg: AutoIdArg) -> Self {
        match arg {
            AutoIdArg::Refuse => Self::Refuse,
            AutoIdArg::Keep => Self::Keep,
            AutoIdArg::Regenerate => Self::Regenerate,
        }
    }
}

/// `--on-bad-row`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnBadRowArg {
    Fail,
    Quarantine,
}

impl From<OnBadRowArg> for OnBadRow {
    fn from(arg: OnBadRowArg) -> Self {
        match arg {
            OnBadRowArg::Fail => Self::Fail,
            OnBadRowArg::Quarantine => Self::Quarantine,
        }
    }
}

/// `--with`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WithArg {
    Rbac,
}

/// `--rbac-users`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RbacUsersArg {
    Create,
    Skip,
}

impl From<RbacUsersArg> for RbacUsers {
    fn from(arg: RbacUsersArg) -> Self {
        match arg {
            RbacUsersArg::Create => Self::Create,
            RbacUsersArg::Skip => Self::Skip,
        }
    }
}

/// `--duplicates`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DuplicatesArg {
    Warn,
    Fail,
}

impl From<DuplicatesArg> for Duplicates {
    fn from(arg: DuplicatesArg) -> Self {
        match arg {
            DuplicatesArg::Warn => Self::Warn,
            DuplicatesArg::Fail => Self::Fail,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_warm_copy_is_compared_in_full_unless_somebody_says_otherwise() {
        for (more, level) in [
            ("", VerifyArg::Full),
            (" --verify full", VerifyArg::Full),
            (" --verify count", VerifyArg::Count),
        ] {
            let line = format!("vecferry migrate --warm --source a --target b{more}");
            let Command::Migrate(args) = parse(&line).unwrap().command else { panic!("another command") };
            assert_eq!((args.job.verify, args.job.warm), (level, true), "{more}");
        }
        for more in ["--warm --allow-drift", "--warm --dry-run", "--load-target", "--warm --plan p"] {
            assert!(parse(&format!("vecferry migrate --source a --target b {more}")).is_err(), "{more}");
        }
    }

    #[test]
    fn a_round_does_nothing_unusual_unless_somebody_says_so() {
        let round = |line: &str| {
            let command = parse(line).unwrap().command;
            let (round, yes) = if let Command::CatchUp(args) = command {
                (args.round, None)
            } else if let Command::Cutover(args) = command {
                (args.round, Some(args.yes))
            } else {
                panic!("another command")
            };
            (RoundOptions::from(round.accepted), yes, round.max_rate)
        };
        assert_eq!(round("vecferry catch-up 01"), (RoundOptions::default(), None, None));
        assert_eq!(round("vecferry cutover 01"), (RoundOptions::default(), Some(false), None));
        let only = |options| (options, Some(true), None);
        let none = RoundOptions::default();
        for (flag, options) in [
            ("--accept-dropped", RoundOptions { accept_dropped: true, ..none }),
            ("--recopy", RoundOptions { recopy: true, ..none }),
            ("--overwrite-target", RoundOptions { overwrite_target: true, ..none }),
        ] {
            assert_eq!(round(&format!("vecferry cutover 01 --yes {flag}")), only(options));
            assert_eq!(round(&format!("vecferry catch-up 01 {flag}")).0, options);
        }
        let trusting = RoundOptions { trust_unchanged: true, ..none };
        let Command::Cutover(args) = parse("vecferry cutover 01 --yes --trust-unchanged").unwrap().command
        else {
            panic!("another command")
        };
        assert_eq!(args.options(), trusting);
        let limited = round("vecferry catch-up --max-rate 5MB/s 01 --source-token t --state-dir d");
        assert_eq!(limited.2.as_deref(), Some("5MB/s"));
        for wrong in [
            "catch-up",
            "cutover",
            "catch-up 01 --yes",
            "cutover 01 02",
            "cutover 01 --by-workers",
            "catch-up 01 --trust-unchanged",
            "cut-over 01",
            "catchup 01",
        ] {
            assert!(parse(&format!("vecferry {wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn migrate_has_the_documented_defaults() {
        let cli = parse("vecferry migrate --source http://a:1 --target http://b:2").unwrap();
        let Command::Migrate(args) = cli.command else { panic!("another command") };
        assert_eq!(args.job.verify, VerifyArg::Sample);
        assert_eq!(args.job.source_load, SourceLoadArg::Temporary);
        assert_eq!(args.job.source_load_parallel, 1);
        assert_eq!(args.job.duplicates, DuplicatesArg::Warn);
        assert!(!args.yes && !args.job.allow_drift && !args.job.wait_index);
        assert!(!args.job.warm && !args.job.load_target);
        assert_eq!(args.source(None).uri, "http://a:1");
        assert_eq!(args.target(None).side, "target");
    }

    #[test]
    fn a_plan_says_what_the_flags_would() {
        let plan = "vecferry migrate --plan plan.json";
        for fits in ["", " --yes --source-token a:b", " --row-tolerance 5%", " --state-dir x"] {
            assert!(parse(&format!("{plan}{fits}")).is_ok(), "{fits}");
        }
        for contradicts in [" --collection a", " --verify full", " --target-db a=b", " --row-tolerance 101"] {
            assert!(parse(&format!("{plan}{contradicts}")).is_err(), "{contradicts}");
        }
        assert!(parse("vecferry migrate --source http://a:1").is_err(), "neither a target nor a plan");
        assert!(parse("vecferry migrate --source http://a:1 --target http://b:1 --row-tolerance 2").is_err());
    }

    #[test]
    fn numbers_have_limits_and_loads_need_a_collection() {
        let migrate = "vecferry migrate --source http://a:1 --target http://b:2 --source-load-parallel";
        assert!(parse(&format!("{migrate} 64")).is_ok());
        for wrong in ["0", "65", "x"] {
            assert!(parse(&format!("{migrate} {wrong}")).is_err());
        }
        let verify = "vecferry verify --source http://a:1 --target http://b:2";
        assert!(parse(&format!("{verify} --level full --repair --yes")).is_ok());
        assert!(parse(&format!("{verify} --level full --yes")).is_err(), "nothing to say yes to");
        assert!(parse("vecferry load --target http://b:2").is_err());
        assert!(parse("vecferry load --target http://b:2 --collection a --collection b.*").is_ok());
        assert!(parse("vecferry load --job 01 --replicas 2").is_ok());
        for wrong in ["--job 01 --collection a", "--job 01 --replicas 0"] {
            assert!(parse(&format!("vecferry load {wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rates_are_texts_here_and_have_their_place() {
        let migrate = "vecferry migrate --source http://a:1 --target http://b:2 --max-rate 20MB/s";
        let Command::Migrate(args) = parse(migrate).unwrap().command else { panic!("another command") };
        assert_eq!(args.pace.max_rate.as_deref(), Some("20MB/s"));
        let resume = "vecferry resume 01 --max-rate none";
        let Command::Resume(args) = parse(resume).unwrap().command else { panic!("another command") };
        assert_eq!(args.pace.max_rate.as_deref(), Some("none"));
        let rate = "vecferry rate 01 none --state-dir x";
        let Command::Rate(args) = parse(rate).unwrap().command else { panic!("another command") };
        assert_eq!((args.job.as_str(), args.rate.as_str()), ("01", "none"));
        assert!(parse("vecferry rate 01").is_err());
    }

    #[test]
    fn users_are_only_spoken_of_where_they_are_copied() {
        let migrate = "vecferry migrate --source http://a:1 --target http://b:2";
        let Command::Migrate(args) = parse(&format!("{migrate} --with rbac")).unwrap().command else {
            panic!("another command")
        };
        assert_eq!((args.rbac.with, args.rbac.rbac_users), (Some(WithArg::Rbac), RbacUsersArg::Create));
        assert!(parse(&format!("{migrate} --with rbac --rbac-users skip --users-file f")).is_ok());
        for wrong in ["--rbac-users skip", "--users-file f", "--with everything"] {
            assert!(parse(&format!("{migrate} {wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn global_flags_stand_before_or_behind_the_command() {
        assert!(parse("vecferry --json --lang zh demo").unwrap().shown.json);
        assert_eq!(parse("vecferry demo --lang zh").unwrap().shown.lang, Some(Lang::Zh));
        assert!(parse("vecferry demo --lang fr").is_err());
    }
}
