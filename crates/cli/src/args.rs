//! What the command line takes. Parsing only: what the values mean is found out elsewhere.

use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use vecferry_migrate::{AutoId, Duplicates, Lang, OnBadRow, RbacUsers, SourceLoad, VerifyLevel};
use vecferry_milvus::Secret;
use vecferry_policy::{CuType, Deployment, EDITION_DEFAULT};

use crate::output::ColorChoice;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "vecferry",
    version,
    about = "Moves whole Milvus and Zilliz Cloud clusters and proves that every row arrived",
    after_help = "Exit codes: 0 done, 2 unusable arguments, 3 refused before anything was written, 4 failed after the \
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
    /// Write one JSON object a line to stdout: progress, and the result as the last line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Show no plan and no progress, only the result, warnings and errors
    #[arg(long, global = true)]
    pub(crate) quiet: bool,
    /// Language of messages [default: from LC_ALL, LC_MESSAGES or LANG]
    #[arg(long, global = true, value_name = "LANG", value_parser = lang_parser())]
    pub(crate) lang: Option<Lang>,
    /// Use colors; `auto` uses them on a terminal unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t = ColorChoice::Auto)]
    pub(crate) color: ColorChoice,
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
    /// Try it: two real Milvus servers, sample data, one migration, its report
    Demo(DemoArgs),
    /// Check both clusters and write down what a migration will do, without writing anything to them
    Plan(Box<PlanArgs>),
    /// Copy collections from one cluster into another and prove that they arrived
    Migrate(Box<MigrateArgs>),
    /// Show how large collections are, how many compute units of each type they need, and how long a copy takes
    Capacity(Box<CapacityArgs>),
    /// List the jobs, newest first
    Jobs(StateArgs),
    /// Show how far a job is
    Status(JobName),
    /// Go on with a job that failed, was canceled or was interrupted
    Resume(Box<ResumeArgs>),
    /// Limit the data rate of a job, also while another process runs it
    Rate(RateArgs),
    /// End a job; it can be resumed, or with --clean everything that it made is removed
    Cancel(Box<CancelArgs>),
    /// Show the report of a job
    Report(ReportArgs),
    /// Compare collections of two clusters without copying anything
    Verify(Box<VerifyArgs>),
    /// Load collections of the target, so that they can be searched
    Load(LoadArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Copy splits of a job that another process works on with --by-workers
    #[command(hide = true)]
    Worker(Box<WorkerArgs>),
    /// Own the servers of the demo or of a test until standard input closes
    #[command(hide = true)]
    Sandbox,
}

impl Command {
    /// The directory of the record of jobs that is asked for.
    pub(crate) fn state_dir(&self) -> Option<&Path> {
        let state = match self {
            Self::Demo(_) | Self::Capacity(_) | Self::Completions { .. } | Self::Sandbox => return None,
            Self::Plan(args) => &args.state,
            Self::Migrate(args) => &args.state,
            Self::Jobs(args) => args,
            Self::Status(args) => &args.state,
            Self::Resume(args) => &args.job.state,
            Self::Rate(args) => &args.state,
            Self::Cancel(args) => &args.job.state,
            Self::Report(args) => &args.job.state,
            Self::Verify(args) => &args.state,
            Self::Load(args) => &args.state,
            Self::Worker(args) => &args.job.state,
        };
        state.state_dir.as_deref()
    }
}

/// `demo`
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {}

/// Address and credentials of the source.
#[derive(Debug, Args)]
#[command(next_help_heading = "Source")]
pub(crate) struct SourceArgs {
    /// Address of the source: https://host:port, http://host:port, or the id of a Zilliz Cloud cluster
    #[arg(long, value_name = "URI", env = "VECFERRY_SOURCE", hide_env_values = true, value_hint = ValueHint::Url)]
    source: String,
    #[command(flatten)]
    access: SourceAccess,
}

/// How to be let into the source.
#[derive(Debug, Args)]
#[command(next_help_heading = "Source")]
pub(crate) struct SourceAccess {
    /// Credentials: user:password or an API key; better given in the environment, where `ps` does not show them
    #[arg(long, value_name = "TOKEN", env = "VECFERRY_SOURCE_TOKEN", hide_env_values = true, value_parser = secret)]
    source_token: Option<Secret>,
    /// API key of Zilliz Cloud: finds the cluster where the address is a cluster id (in01-…), its plan and its size, and is the
    /// credential where no token is given
    #[arg(long, value_name = "KEY", env = "VECFERRY_SOURCE_API_KEY", hide_env_values = true, value_parser = secret)]
    source_api_key: Option<Secret>,
    /// Certificate authority to trust (PEM)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    source_ca: Option<PathBuf>,
    /// Client certificate (PEM), for servers that ask for one
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
    /// Address of the target: https://host:port, http://host:port, or the id of a Zilliz Cloud cluster
    #[arg(long, value_name = "URI", env = "VECFERRY_TARGET", hide_env_values = true, value_hint = ValueHint::Url)]
    target: String,
    #[command(flatten)]
    access: TargetAccess,
}

/// How to be let into the target.
#[derive(Debug, Args)]
#[command(next_help_heading = "Target")]
pub(crate) struct TargetAccess {
    /// Credentials: user:password or an API key; better given in the environment, where `ps` does not show them
    #[arg(long, value_name = "TOKEN", env = "VECFERRY_TARGET_TOKEN", hide_env_values = true, value_parser = secret)]
    target_token: Option<Secret>,
    /// API key of Zilliz Cloud: finds the cluster where the address is a cluster id (in01-…), its plan and its size, and is the
    /// credential where no token is given
    #[arg(long, value_name = "KEY", env = "VECFERRY_TARGET_API_KEY", hide_env_values = true, value_parser = secret)]
    target_api_key: Option<Secret>,
    /// Certificate authority to trust (PEM)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    target_ca: Option<PathBuf>,
    /// Client certificate (PEM), for servers that ask for one
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
    /// Key of the control plane.
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
    /// Only this collection (repeatable); DB.* is a whole database, a name without a dot is in `default`
    #[arg(long, value_name = "DB.NAME")]
    pub(crate) collection: Vec<String>,
    /// Not this collection (repeatable)
    #[arg(long, value_name = "DB.NAME")]
    pub(crate) exclude: Vec<String>,
    /// Of whole databases, take only what this user sees
    #[arg(long)]
    pub(crate) visible_only: bool,
    /// Database SRC of the source is database DST on the target (repeatable)
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
    /// Find out whether the target takes every definition of the plan, and measure how long collections take there, by making
    /// and removing scratch collections of random names
    #[arg(long)]
    pub(crate) probe_write: bool,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

/// `migrate`
#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    /// Address of the source: https://host:port, http://host:port, or the id of a Zilliz Cloud cluster
    #[arg(long, value_name = "URI", env = "VECFERRY_SOURCE", hide_env_values = true, value_hint = ValueHint::Url,
          required_unless_present = "plan", help_heading = "Source")]
    source: Option<String>,
    #[command(flatten)]
    source_access: SourceAccess,
    /// Address of the target: https://host:port, http://host:port, or the id of a Zilliz Cloud cluster
    #[arg(long, value_name = "URI", env = "VECFERRY_TARGET", hide_env_values = true, value_hint = ValueHint::Url,
          required_unless_present = "plan", help_heading = "Target")]
    target: Option<String>,
    #[command(flatten)]
    target_access: TargetAccess,
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,
    /// Carry out this plan as `vecferry plan` wrote it: addresses, collections and options are those in it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Migration",
          conflicts_with_all = ["SelectionArgs", "JobArgs", "RbacArgs", "PlansArgs"])]
    pub(crate) plan: Option<PathBuf>,
    /// How many percent of a collection's rows may have been added or removed since the plan
    #[arg(long, value_name = "PERCENT", requires = "plan", default_value_t = 1.0, value_parser = percent,
          help_heading = "Migration")]
    pub(crate) row_tolerance: f64,
    /// Start without asking
    #[arg(long, help_heading = "Migration")]
    pub(crate) yes: bool,
    /// Check, plan, and read every row without writing anything, to measure the source
    #[arg(long, help_heading = "Migration")]
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
        _ => Err("it is not a number from 0 to 100".to_owned()),
    }
}

/// Roles and users.
#[derive(Debug, Args)]
#[command(next_help_heading = "Roles and users")]
pub(crate) struct RbacArgs {
    /// Copy what is no collection, too: `rbac` is roles, grants, privilege groups and users
    #[arg(long, value_name = "WHAT", value_enum)]
    pub(crate) with: Option<WithArg>,
    /// Users: create each with a new password (passwords can't be copied), or skip them
    #[arg(long, value_name = "HOW", value_enum, default_value_t = RbacUsersArg::Create, requires = "with")]
    pub(crate) rbac_users: RbacUsersArg,
    /// New file for these passwords [default: users/JOB.json in the state directory]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "with")]
    pub(crate) users_file: Option<PathBuf>,
}

/// How a migration is carried out.
#[derive(Debug, Args)]
#[command(next_help_heading = "Migration")]
pub(crate) struct JobArgs {
    /// Proof after the copy: `count` compares exact counts, `sample` also random rows bit for bit, `full` every row
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = VerifyArg::Sample)]
    pub(crate) verify: VerifyArg,
    /// What to do with source collections that are not loaded: load them for the copy and release them again, or
    /// refuse
    #[arg(long, value_name = "HOW", value_enum, default_value_t = SourceLoadArg::Temporary)]
    pub(crate) source_load: SourceLoadArg,
    /// How many source collections may be loaded for the copy at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) source_load_parallel: u8,
    /// What repeated keys in the source are: a warning (one row of each key arrives), or a reason to refuse
    #[arg(long, value_name = "HOW", value_enum, default_value_t = DuplicatesArg::Warn)]
    pub(crate) duplicates: DuplicatesArg,
    /// What to do with the collection of rows that the target refuses (the other rows are copied, and the job fails at the
    /// end, either way): leave it unfinished, without its aliases, or finish it without these rows
    #[arg(long, value_name = "HOW", value_enum, default_value_t = OnBadRowArg::Fail)]
    pub(crate) on_bad_row: OnBadRowArg,
    /// What becomes of keys that the server makes (auto id): refuse such collections, keep the keys where the target can be
    /// told to take them, or let the target make new ones and compare rows without them
    #[arg(long, value_name = "HOW", value_enum, default_value_t = AutoIdArg::Refuse)]
    pub(crate) auto_id: AutoIdArg,
    /// Let the source change during the copy; what is written meanwhile may be missing on the target
    #[arg(long)]
    pub(crate) allow_drift: bool,
    /// Build the index that each vector has on the source (HNSW, IVF, DISKANN …) with its parameters where the target has
    /// it, instead of AUTOINDEX
    #[arg(long)]
    pub(crate) keep_index_params: bool,
    /// Wait until all indexes of the target are built
    #[arg(long)]
    pub(crate) wait_index: bool,
}

/// Plans of the two clusters.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Plans of the clusters")]
pub(crate) struct PlansArgs {
    /// Which plans may be migrated to which: zilliz-cn, zilliz-global, or a file
    #[arg(long, value_name = "NAME|FILE", default_value = EDITION_DEFAULT)]
    pub(crate) policy: String,
    /// Plan of the source, where it can't be found out
    #[arg(long, value_name = "PLAN", value_enum)]
    pub(crate) source_plan: Option<DeploymentArg>,
    /// Plan of the target, where it can't be found out
    #[arg(long, value_name = "PLAN", value_enum)]
    pub(crate) target_plan: Option<DeploymentArg>,
    /// Compute units of the target (or what of them is free), where the control plane does not say it
    #[arg(long, value_name = "N", value_parser = compute_units)]
    pub(crate) target_cu: Option<f64>,
    /// Type of the target's compute units
    #[arg(long, value_name = "TYPE", value_enum)]
    pub(crate) target_cu_type: Option<CuTypeArg>,
}

fn compute_units(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(units) if (0.001..=2048.0).contains(&units) => Ok(units),
        _ => Err("it is not a number from 0.001 to 2048".to_owned()),
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
    /// Address of the source: https://host:port, http://host:port, or the id of a Zilliz Cloud cluster
    #[arg(long, value_name = "URI", env = "VECFERRY_SOURCE", hide_env_values = true, value_hint = ValueHint::Url,
          required_unless_present = "plan", help_heading = "Source")]
    source: Option<String>,
    #[command(flatten)]
    access: SourceAccess,
    /// Only this collection (repeatable); DB.* is a whole database, a name without a dot is in `default`
    #[arg(long, value_name = "DB.NAME", help_heading = "Selection", conflicts_with = "plan")]
    pub(crate) collection: Vec<String>,
    /// Not this collection (repeatable)
    #[arg(long, value_name = "DB.NAME", help_heading = "Selection", conflicts_with = "plan")]
    pub(crate) exclude: Vec<String>,
    /// Of whole databases, take only what this user sees
    #[arg(long, help_heading = "Selection", conflicts_with = "plan")]
    pub(crate) visible_only: bool,
    /// Instead of asking a source: the collections of this plan, as `vecferry plan` wrote it
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
    /// Write no more than that: 20MB/s (B, KB, MB, GB, KiB, MiB, GiB), 5000rows/s, or `none`; `vecferry rate` changes it
    #[arg(long, value_name = "RATE")]
    pub(crate) max_rate: Option<String>,
    /// Leave the copying to processes of `vecferry worker`
    #[arg(long, hide = true)]
    pub(crate) by_workers: bool,
}

/// Where jobs are remembered.
#[derive(Debug, Args)]
pub(crate) struct StateArgs {
    /// Directory of the record of jobs [default: $XDG_STATE_HOME/vecferry or ~/.local/state/vecferry]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) state_dir: Option<PathBuf>,
}

/// A job, by its number or the beginning of it.
#[derive(Debug, Args)]
pub(crate) struct JobName {
    /// The job's number, or enough of its beginning
    #[arg(value_name = "JOB")]
    pub(crate) job: String,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

/// `rate`
#[derive(Debug, Args)]
pub(crate) struct RateArgs {
    /// The job's number, or enough of its beginning
    #[arg(value_name = "JOB")]
    pub(crate) job: String,
    /// 20MB/s (B, KB, MB, GB, KiB, MiB, GiB), 5000rows/s, or `none`
    #[arg(value_name = "RATE")]
    pub(crate) rate: String,
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

/// `worker`
#[derive(Debug, Args)]
pub(crate) struct WorkerArgs {
    #[command(flatten)]
    pub(crate) job: JobName,
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
    /// Remove from the target everything that the job made, and nothing else
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
    /// Write the report as a page that needs no other file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) html: Option<PathBuf>,
}

/// `verify`
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,
    #[command(flatten)]
    pub(crate) comparison: ComparisonArgs,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

/// How a comparison is carried out.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Comparison")]
pub(crate) struct ComparisonArgs {
    /// `count` compares exact counts, `sample` also random rows bit for bit, `full` every row bit for bit
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = LevelArg::Sample)]
    pub(crate) level: LevelArg,
    /// Mend the target: copy rows that are missing or differ anew, and remove rows that the source does not have; needs
    /// `--level full`. Only collections that a job of the state directory made
    #[arg(long)]
    pub(crate) repair: bool,
    /// Mend also collections that no job of the state directory made
    #[arg(long, requires = "repair")]
    pub(crate) repair_foreign: bool,
    /// Repair without asking
    #[arg(long, requires = "repair")]
    pub(crate) yes: bool,
}

/// `load`
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// Address of the target: https://host:port, http://host:port, or the id of a Zilliz Cloud cluster
    #[arg(long, value_name = "URI", env = "VECFERRY_TARGET", hide_env_values = true, value_hint = ValueHint::Url,
          required_unless_present = "job", help_heading = "Target")]
    target: Option<String>,
    #[command(flatten)]
    access: TargetAccess,
    /// The collection (repeatable); DB.* is a whole database, a name without a dot is in `default`
    #[arg(long, value_name = "DB.NAME", required_unless_present = "job", conflicts_with = "job")]
    pub(crate) collection: Vec<String>,
    /// Instead of naming collections: what this job copied, as it was loaded on the source, on the job's target
    #[arg(long, value_name = "JOB")]
    pub(crate) job: Option<String>,
    /// Copies in memory [default: as many as on the source with --job, else 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) replicas: Option<u32>,
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
    fn migrate_has_the_documented_defaults() {
        let cli = parse("vecferry migrate --source http://a:1 --target http://b:2").unwrap();
        let Command::Migrate(args) = cli.command else { panic!("another command") };
        assert_eq!(args.job.verify, VerifyArg::Sample);
        assert_eq!(args.job.source_load, SourceLoadArg::Temporary);
        assert_eq!(args.job.source_load_parallel, 1);
        assert_eq!(args.job.duplicates, DuplicatesArg::Warn);
        assert!(!args.yes && !args.job.allow_drift && !args.job.wait_index);
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
