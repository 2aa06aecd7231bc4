//! The servers that tests share, and ports that are no Milvus.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use vecferry_sandbox::{Sandbox, SandboxSpec, ServerInfo, ServerSpec};

/// Some running servers. They end when this is dropped, or when the process ends however it does.
pub struct Servers {
    sandbox: Sandbox,
    program: PathBuf,
}

impl Servers {
    /// Starts servers; `program` is the `vecferry` binary, whose hidden command `sandbox` owns them.
    pub fn start(program: &str, servers: impl IntoIterator<Item = ServerSpec>) -> Self {
        let mut supervisor = Command::new(program);
        supervisor.arg("sandbox");
        let spec = SandboxSpec::new(servers).with_pymilvus();
        let sandbox = Sandbox::start(supervisor, &spec, &|_| {}).expect("the servers start");
        Self { sandbox, program: program.into() }
    }

    /// The `vecferry` binary.
    pub fn program(&self) -> &std::path::Path {
        &self.program
    }

    /// A server by the name it was started with.
    pub fn server(&self, name: &str) -> &ServerInfo {
        self.sandbox.server(name).expect("a server of the set")
    }

    /// Its address.
    pub fn uri(&self, name: &str) -> String {
        self.server(name).uri.clone()
    }

    /// The running supervisor, to kill and start servers.
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// Address, credentials and certificate files of every server, for the oracle.
    pub(crate) fn addresses(&self) -> BTreeMap<String, [Option<String>; 5]> {
        let text = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let server = |server: &ServerInfo| {
            let files = [&server.ca_certificate, &server.client_certificate, &server.client_key];
            let [ca, certificate, key] = files.map(text);
            (server.name.clone(), [Some(server.uri.clone()), server.token.clone(), ca, certificate, key])
        };
        self.sandbox.info().servers.iter().map(server).collect()
    }

    pub(crate) fn pymilvus(&self) -> &std::path::Path {
        self.sandbox.pymilvus().expect("pymilvus was asked for")
    }
}

/// A port of this machine on which nothing listens.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its number").port()
}

/// A port that answers like a web server, as long as the test process lives.
pub fn web_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("its number").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 1024];
            // Whoever hangs up early only ends this one answer.
            let _ = stream.read(&mut request);
            let _ = stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    port
}
