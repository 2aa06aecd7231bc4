//! A stand-in for the control plane of Zilliz Cloud: answers with the documented shapes and errors, over HTTP/1.1 on a
//! loopback port of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::{Value, json};

/// What it knows and how it behaves.
#[derive(Clone, Debug, Default)]
pub struct CloudOptions {
    /// The key that it accepts.
    pub key: String,
    /// Its clusters, with the members of the documentation.
    pub clusters: Vec<Value>,
    /// Newest values of metrics, by name; a metric that is not here has no value.
    pub metrics: Vec<(String, String)>,
    /// So many calls are answered with "too many requests" first.
    pub throttled: usize,
    /// The list of clusters comes as an array, as the schema of the documentation says, and not in pages.
    pub plain_list: bool,
}

/// A running stand-in. It ends when this is dropped.
pub struct CloudStandIn {
    address: SocketAddr,
    calls: Arc<Mutex<Vec<String>>>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl CloudStandIn {
    /// Starts it.
    pub fn start(options: CloudOptions) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("its number");
        let (calls, stopped) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicBool>::default());
        let (seen, ends) = (Arc::clone(&calls), Arc::clone(&stopped));
        let thread = std::thread::spawn(move || {
            let throttled = AtomicUsize::new(options.throttled);
            for stream in listener.incoming() {
                if ends.load(Ordering::Relaxed) {
                    break;
                }
                // A client that goes away is no matter.
                let _ = stream.and_then(|stream| serve(&stream, &options, &seen, &throttled));
            }
        });
        Self { address, calls, stopped, thread: Some(thread) }
    }

    /// Its address.
    pub fn uri(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All calls so far, as `GET /v2/projects`.
    pub fn calls(&self) -> Vec<String> {
        self.calls.lock().expect("nobody panics with it").clone()
    }
}

impl Drop for CloudStandIn {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // The thread waits for the next connection.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One call, then the connection closes.
fn serve(
    mut stream: &TcpStream,
    options: &CloudOptions,
    seen: &Mutex<Vec<String>>,
    throttled: &AtomicUsize,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let (mut key, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "authorization" => key = value.trim().trim_start_matches("Bearer ").to_owned(),
            "content-length" => length = value.trim().parse().unwrap_or_default(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut words = first.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    seen.lock().expect("nobody panics with it").push(format!("{method} {path}"));
    let is_throttled =
        throttled.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
    let (status, answer) = if is_throttled {
        (429, json!({"code": 1, "message": "too many requests"}))
    } else if key != options.key {
        (401, json!({"code": 21119, "message": "The apikey is illegal"}))
    } else {
        let request = serde_json::from_slice(&body).unwrap_or(Value::Null);
        answer(method, path, &request, options)
    };
    let text = answer.to_string();
    write!(
        stream,
        "HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    )
}

fn done(data: Value) -> (u16, Value) {
    (200, json!({"code": 0, "data": data}))
}

/// Errors come with HTTP status 200.
fn refused(code: i64, message: &str) -> (u16, Value) {
    (200, json!({"code": code, "message": message}))
}

fn answer(method: &str, path: &str, request: &Value, options: &CloudOptions) -> (u16, Value) {
    let (route, query) = path.split_once('?').unwrap_or((path, ""));
    let parts: Vec<_> = route.trim_matches('/').split('/').collect();
    let number = |name: &str, default: usize| {
        let found = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name);
        found.and_then(|(_, value)| value.parse().ok()).unwrap_or(default)
    };
    let cluster = |id: &str| options.clusters.iter().find(|cluster| cluster["clusterId"] == *id);
    match (method, parts.as_slice()) {
        ("GET", ["v2", "projects"]) => done(
            json!([{"projectId": "proj-1", "projectName": "Default Project", "instanceCount": options.clusters.len(),
                "createTime": "2026-01-01T00:00:00Z", "plan": "Enterprise", "orgType": "SAAS"}]),
        ),
        ("GET", ["v2", "clusters"]) if options.plain_list => done(json!(options.clusters)),
        ("GET", ["v2", "clusters"]) => {
            let (size, page) = (number("pageSize", 10), number("currentPage", 1));
            if !(1..=100).contains(&size) {
                return refused(80003, "pageSize should be in [5,100]");
            }
            let clusters: Vec<_> = options.clusters.iter().skip((page - 1) * size).take(size).collect();
            done(
                json!({"count": options.clusters.len(), "currentPage": page, "pageSize": size, "clusters": clusters}),
            )
        }
        ("GET", ["v2", "clusters", id]) => match cluster(id) {
            Some(cluster) => done(cluster.clone()),
            None => refused(80020, "cluster id is invalid or you have no permission"),
        },
        ("POST", ["v2", "clusters", id, "metrics", "query"]) if cluster(id).is_some() => {
            let names = request["metricQueries"].as_array().cloned().unwrap_or_default();
            let results = names.iter().map(|query| {
                let known = options.metrics.iter().find(|(name, _)| query["name"] == *name);
                let newest = known.map_or(Value::Null, |(_, value)| json!(value));
                json!({"name": query["name"], "stat": "AVG", "unit": "percent", "values": [
                    {"timestamp": "2026-01-01T00:00:00Z", "value": "1"}, {"timestamp": "2026-01-01T00:01:00Z", "value": newest}]})
            });
            done(json!({"results": results.collect::<Vec<_>>()}))
        }
        ("POST", ["v2", "clusters", "createDedicated"]) => refused(40013, "cluster name already exists"),
        _ => (404, json!({"code": 404, "message": "no such route"})),
    }
}
