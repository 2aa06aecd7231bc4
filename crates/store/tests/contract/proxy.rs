//! Stands between a store and PostgreSQL, and cuts one connection at one commit.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// Where a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The server never hears of the commit.
    Before,
    /// The server commits, and nobody hears of it.
    AfterAnswer,
    /// The server hears of it, and may be committing while the client is back already.
    Between,
}

/// The server does nothing for the connection; from its last `ReadyForQuery`.
const IDLE: u8 = b'I';

pub(crate) struct Proxy {
    port: u16,
    state: Arc<State>,
}

struct State {
    server: u16,
    /// The commit to cut at, from 1, and how; none to count only.
    cut: Option<(usize, Cut)>,
    commits: AtomicUsize,
}

impl Proxy {
    /// Lives as long as the process, in a thread of its own: a store that is dropped waits for the server, and keeps the
    /// thread that drops it from anything else.
    pub(crate) fn start(server: u16, cut: Option<(usize, Cut)>) -> Self {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State { server, cut, commits: AtomicUsize::new(0) });
        let of_all = Arc::clone(&state);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(accept(listener, of_all));
        });
        Self { port, state }
    }

    /// The address of a database by way of this.
    pub(crate) fn url(&self, url: &str) -> String {
        let (front, rest) = url.rsplit_once(':').unwrap();
        let (_, database) = rest.split_once('/').unwrap();
        format!("{front}:{}/{database}?sslmode=disable", self.port)
    }

    /// Commits that were seen so far.
    pub(crate) fn commits(&self) -> usize {
        self.state.commits.load(Ordering::SeqCst)
    }
}

async fn accept(listener: std::net::TcpListener, state: Arc<State>) {
    let listener = TcpListener::from_std(listener).unwrap();
    while let Ok((client, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        tokio::spawn(async move { serve(client, &state).await });
    }
}

impl State {
    fn cut_now(&self) -> Option<Cut> {
        let number = self.commits.fetch_add(1, Ordering::SeqCst) + 1;
        self.cut.filter(|(at, _)| *at == number).map(|(_, cut)| cut)
    }
}

/// One connection, as both of its directions see it.
struct Seen {
    status: AtomicU8,
    swallows: AtomicBool,
}

async fn serve(mut client: TcpStream, state: &State) -> io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", state.server)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let seen = Seen { status: AtomicU8::new(0), swallows: AtomicBool::new(false) };
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    // Whichever ends first ends both, and closes both connections.
    tokio::select! {
        ended = requests(from_client, to_server, state, &seen) => ended,
        ended = answers(from_server, to_client, &seen) => ended,
    }
}

async fn requests(
    mut client: ReadHalf<'_>,
    mut server: WriteHalf<'_>,
    state: &State,
    seen: &Seen,
) -> io::Result<()> {
    let mut statements = Statements::default();
    let startup = message(&mut client, false).await?;
    server.write_all(&startup).await?;
    loop {
        let message = message(&mut client, true).await?;
        let is_idle = seen.status.load(Ordering::SeqCst) == IDLE;
        let cut = if statements.commits(&message, is_idle) { state.cut_now() } else { None };
        match cut {
            Some(Cut::Before) => return Ok(()),
            Some(Cut::AfterAnswer) => seen.swallows.store(true, Ordering::SeqCst),
            Some(Cut::Between) | None => {}
        }
        server.write_all(&message).await?;
        if cut == Some(Cut::Between) {
            return Ok(());
        }
    }
}

async fn answers(mut server: ReadHalf<'_>, mut client: WriteHalf<'_>, seen: &Seen) -> io::Result<()> {
    loop {
        let message = message(&mut server, true).await?;
        let is_end = message[0] == b'Z';
        if seen.swallows.load(Ordering::SeqCst) {
            if is_end {
                return Ok(());
            }
            continue;
        }
        if is_end {
            seen.status.store(message[5], Ordering::SeqCst);
        }
        client.write_all(&message).await?;
    }
}

/// The next message, which has a type unless it is the first one.
async fn message(from: &mut ReadHalf<'_>, has_type: bool) -> io::Result<Vec<u8>> {
    let mut message = Vec::new();
    if has_type {
        message.push(from.read_u8().await?);
    }
    let length = from.read_u32().await?;
    message.extend(length.to_be_bytes());
    let start = message.len();
    message.resize(start + usize::try_from(length).unwrap() - 4, 0);
    from.read_exact(&mut message[start..]).await?;
    Ok(message)
}

/// The prepared statements of a connection, and whether the one that is on its way writes.
#[derive(Default)]
struct Statements {
    writes: HashMap<Vec<u8>, bool>,
    on_the_way: bool,
}

impl Statements {
    /// Whether with this message something is committed.
    fn commits(&mut self, message: &[u8], is_idle: bool) -> bool {
        let mut texts = message[5..].split(|byte| *byte == 0);
        let mut text = || texts.next().unwrap_or_default().to_vec();
        match message[0] {
            b'Q' => text() == b"COMMIT",
            b'P' => {
                let (name, sql) = (text(), text());
                self.writes.insert(name, writes(&String::from_utf8_lossy(&sql)));
                false
            }
            b'B' => {
                let (_portal, name) = (text(), text());
                self.on_the_way = self.writes.get(&name).copied().unwrap_or(false);
                false
            }
            // Outside of a transaction, a statement is one.
            b'S' => std::mem::take(&mut self.on_the_way) && is_idle,
            _ => false,
        }
    }
}

/// Whether a statement writes what the test is about: leases are renewed whenever it is time.
fn writes(sql: &str) -> bool {
    let begins = ["INSERT ", "UPDATE ", "DELETE ", "WITH "].iter().any(|word| sql.starts_with(word));
    begins && !sql.contains(" leases ")
}
