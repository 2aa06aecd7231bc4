//! A gRPC proxy between a client and a server that passes everything through until a fault is armed.
//!
//! ```no_run
//! use std::time::Duration;
//! use vecferry_testkit::fault_proxy::{Cut, Fault, FaultProxy, When};
//!
//! let proxy = FaultProxy::start("http://127.0.0.1:19530");
//! let fault = proxy.arm("Insert", When::Nth(3), Fault::CutAfterApply(Cut::Connection));
//! // … a client that is given `proxy.uri()` makes calls …
//! assert!(fault.wait_until_fired(Duration::from_secs(10)));
//! assert_eq!(proxy.calls("Insert"), 3);
//! ```
//!
//! Every client connection has one upstream connection of its own, and ends when that one ends. HTTP/2 without TLS on
//! both sides. A call suffers at most one fault.

mod board;
mod delay;
mod fault;
mod relay;
mod reply;
mod upstream;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use http::Uri;
use http::uri::Authority;
use tokio::net::TcpSocket;
use tokio::sync::mpsc::UnboundedSender;

use board::Board;
use relay::{Command, Relay};

pub use fault::{Act, Answer, Calls, Cut, Fault, Garbage, When};
pub(crate) use fault::{emptied, message_with};
pub use reply::{ReleaseError, Reply};

/// A running proxy on a loopback port of its own. It ends, and breaks every connection, when this is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    board: Arc<Board>,
    commands: UnboundedSender<Command>,
    thread: Option<JoinHandle<()>>,
}

/// A fault that was armed. Dropping this does not disarm it.
#[derive(Debug)]
pub struct Armed {
    rule: usize,
    board: Arc<Board>,
    commands: UnboundedSender<Command>,
}

impl FaultProxy {
    /// Starts a proxy in front of `http://HOST:PORT`, which need not run yet.
    pub fn start(upstream_uri: &str) -> Self {
        Self::start_with_delay(upstream_uri, Duration::ZERO)
    }

    /// The same, as far away that everything its clients send and receive arrives so much later, in either direction. The
    /// rate is not limited by that. That a connection is made is not delayed.
    pub fn start_with_delay(upstream_uri: &str, delay: Duration) -> Self {
        let upstream = authority(upstream_uri);
        let board = Arc::new(Board::default());
        let (commands, inbox) = tokio::sync::mpsc::unbounded_channel();
        let (started, address) = mpsc::channel();
        let seen = Arc::clone(&board);
        let thread = std::thread::Builder::new().name("fault-proxy".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let port = reserved_port();
                let relay = Relay::new(&port, upstream, delay, seen);
                started.send(port.local_addr().expect("its number")).expect("the caller waits");
                relay.run(inbox).await;
            });
        });
        let thread = Some(thread.expect("a thread"));
        Self { address: address.recv().expect("the proxy starts"), board, commands, thread }
    }

    /// The address to give to a client.
    pub fn uri(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Arms a fault. Of several that would fire for one call, the one armed first does.
    pub fn arm(&self, calls: impl Into<Calls>, when: When, fault: Fault) -> Armed {
        let rule = self.board.arm(calls.into(), when, fault);
        Armed { rule, board: Arc::clone(&self.board), commands: self.commands.clone() }
    }

    /// Cuts the network: breaks every connection and refuses new ones, until it is switched back. Both are done when
    /// this returns. What is captured or already sent upstream for a fault is not affected.
    pub fn refuse_all(&self, refuse: bool) {
        let (done, wait) = mpsc::channel();
        self.command(Command::Refuse(refuse, done));
        wait.recv().expect("the proxy runs");
    }

    /// How many calls of a method have arrived here, whatever became of them.
    pub fn calls(&self, method: &str) -> u64 {
        self.board.calls(method)
    }

    /// The same of every method called so far.
    pub fn calls_by_method(&self) -> BTreeMap<String, u64> {
        self.board.calls_by_method()
    }

    /// The most calls of a method that were ever under way at once.
    pub fn most_at_once(&self, method: &str) -> u64 {
        self.board.most_at_once(method)
    }

    /// Waits until at least `count` calls of a method have arrived; `false` after the timeout.
    #[must_use]
    pub fn wait_for_calls(&self, method: &str, count: u64, timeout: Duration) -> bool {
        self.board.wait_for_calls(method, count, timeout)
    }

    fn command(&self, command: Command) {
        self.commands.send(command).expect("the proxy runs");
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        // A proxy whose thread panicked has nothing left to stop.
        let _ = self.commands.send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Armed {
    /// How many times it fired, that is, took its effect: a call was broken, answered, delayed or captured.
    pub fn fired(&self) -> u64 {
        self.board.fired(self.rule)
    }

    /// Waits until it fired at least once; `false` after the timeout.
    #[must_use]
    pub fn wait_until_fired(&self, timeout: Duration) -> bool {
        self.wait_until_fired_times(1, timeout)
    }

    /// Waits until it fired at least so many times; `false` after the timeout.
    #[must_use]
    pub fn wait_until_fired_times(&self, count: u64, timeout: Duration) -> bool {
        self.board.wait_until_fired(self.rule, count, timeout)
    }

    /// It fires no more. What it holds stays held.
    pub fn disarm(&self) {
        self.board.disarm(self.rule);
    }

    /// How many calls it holds: captured by [`Fault::Hold`], or with an answer withheld by [`Fault::HalfOpen`].
    pub fn held(&self) -> usize {
        self.board.held(self.rule)
    }

    /// Lets go of the call that is held longest, and returns upstream's answer to it. A captured request is sent only
    /// now, whether or not its client still exists; a client that still waits gets the answer too.
    pub fn release(&self, timeout: Duration) -> Result<Reply, ReleaseError> {
        let (answer, wait) = mpsc::channel();
        let command = Command::Release { rule: self.rule, answer };
        self.commands.send(command).map_err(|_| ReleaseError::ProxyEnded)?;
        wait.recv_timeout(timeout).map_err(|error| match error {
            mpsc::RecvTimeoutError::Timeout => ReleaseError::Timeout,
            mpsc::RecvTimeoutError::Disconnected => ReleaseError::ProxyEnded,
        })?
    }
}

fn authority(uri: &str) -> Authority {
    let uri: Uri = uri.parse().expect("an address");
    assert_ne!(uri.scheme_str(), Some("https"), "the proxy speaks no TLS");
    uri.into_parts().authority.expect("an address with host and port")
}

/// A free port that stays ours: bound, but nobody listens. Listeners come and go beside it, and while there is none,
/// connecting is refused and no other process can be given the port.
fn reserved_port() -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("a shared port");
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    socket
}
