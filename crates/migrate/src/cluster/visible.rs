//! Whether "everything" is everything: lists hold only what the user sees. Where a request means all collections of a
//! database or of the cluster, and it can't be shown that the user sees them all, somebody has to say that a part is meant.

use vecferry_milvus::{Client, Doubt};

use crate::cluster::connect::refusal;
use crate::cluster::selection::{Selection, Selector};
use crate::problem::{Code, Problem, Side, Told, of_server};

/// How the question was answered.
#[derive(Debug)]
pub(crate) enum Visible {
    /// Every collection is named: nothing can be left out without a word.
    Named,
    /// The user sees everything that is meant.
    Everything,
    /// Only what the user sees is meant.
    Part(Problem),
}

impl Visible {
    /// The sentence for the report; none where nothing is left out.
    pub(crate) fn sentence(self) -> Option<Problem> {
        match self {
            Self::Named | Self::Everything => None,
            Self::Part(problem) => Some(problem),
        }
    }
}

/// Finds out whether the user of a connection sees all that a selection means.
///
/// # Errors
/// That can't be shown, and `visible_only` does not say that a part is meant; or the server can't be asked.
pub(crate) async fn check(
    client: &Client,
    side: Side,
    selection: &Selection,
    visible_only: bool,
) -> Result<Visible, Vec<Problem>> {
    if selection.names_every_collection() {
        return Ok(Visible::Named);
    }
    let databases: Vec<_> = selection
        .included()
        .iter()
        .filter_map(|selector| match selector {
            Selector::Database(db) => Some(db.as_str()),
            Selector::Collection(_) => None,
        })
        .collect();
    let sight = client.sight().await.map_err(|error| vec![refusal(side, &error)])?;
    let doubt = if databases.is_empty() {
        sight.doubt_of_everything().map(|doubt| ("*.*".to_owned(), doubt))
    } else {
        let of = |db: &&str| Some((format!("{db}.*"), sight.doubt_of_database(db)?));
        databases.iter().find_map(of)
    };
    let Some((what, doubt)) = doubt else { return Ok(Visible::Everything) };
    let code = if visible_only { Code::VisibleOnly } else { Code::NotEverythingSeen };
    let problem = Problem::new(code)
        .with("side", side.name())
        .told("user", user(sight.user.as_deref()))
        .with("what", what)
        .told("detail", reason(&doubt));
    if visible_only { Ok(Visible::Part(problem)) } else { Err(vec![problem]) }
}

/// Whoever is asked about, as a part of a sentence.
fn user(name: Option<&str>) -> Told {
    match name {
        // In Chinese, a name in backticks stands apart from what follows it.
        Some(name) => Told::both(format!("user `{name}`"), format!("用户 `{name}` ")),
        None => Told::both("this API key", "该 API 密钥"),
    }
}

/// A doubt in both languages.
fn reason(doubt: &Doubt) -> Told {
    match doubt {
        Doubt::ApiKey => {
            Told::both("servers don't report what an API key can see", "服务不会说明 API 密钥能看到什么")
        }
        Doubt::NoRoles => Told::both("the server reports no roles for it", "服务没有给出它的角色"),
        Doubt::NotTold { call, message, code } => of_server(call, message.into(), *code).within(
            |error| format!("its roles can't be read ({error})"),
            |error| format!("无法查询它的角色（{error}）"),
        ),
        Doubt::Roles(roles) if roles.is_empty() => Told::both("it has no role", "它没有任何角色"),
        Doubt::Roles(roles) => Told::names(&roles.iter().collect::<Vec<_>>()).within(
            |names| format!("its roles {names} grant access to a part only"),
            |names| format!("它的角色 {names} 只被授予了一部分权限"),
        ),
    }
}
