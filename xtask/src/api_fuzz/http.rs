//! As much HTTP as it takes to set the scene.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::Failure;

/// Whoever makes requests to the service.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    address: String,
    headers: Vec<(&'static str, String)>,
}

/// An answer that is no refusal.
pub(crate) struct Answer {
    head: String,
    /// What it brings.
    pub(crate) data: Value,
}

impl Answer {
    /// The cookie that it sets.
    pub(crate) fn cookie(&self) -> Result<&str, Failure> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let cookie = lines.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
        let cookie = cookie.and_then(|(_, value)| value.split(';').next());
        cookie.ok_or_else(|| "the answer sets no cookie".into())
    }
}

impl Client {
    pub(crate) fn new(address: &str) -> Self {
        Self { address: address.to_owned(), headers: Vec::new() }
    }

    /// Somebody who shows nothing.
    pub(crate) fn without_headers(&self) -> Self {
        Self::new(&self.address)
    }

    /// With one more header.
    pub(crate) fn with(&self, name: &'static str, value: &str) -> Self {
        let mut with = self.clone();
        with.headers.push((name, value.to_owned()));
        with
    }

    pub(crate) fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.send("GET", path, None)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Answer, Failure> {
        self.send("POST", path, Some(body))
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Result<Answer, Failure> {
        self.send("PUT", path, Some(body))
    }

    fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer, Failure> {
        let (head, mut value) = self.exchange(method, path, body)?;
        if value["code"] != 0 {
            return Err(format!("{method} {path}: {value}").into());
        }
        Ok(Answer { head, data: value["data"].take() })
    }

    /// A document without an envelope.
    pub(crate) fn document(&self, path: &str) -> Result<Value, Failure> {
        Ok(self.exchange("GET", path, None)?.1)
    }

    fn exchange(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(String, Value), Failure> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n",
            self.address,
            body.len()
        );
        if !body.is_empty() {
            request.push_str("Content-Type: application/json\r\n");
        }
        for (name, value) in &self.headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut stream = TcpStream::connect(&self.address)?;
        stream.write_all(format!("{request}\r\n{body}").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("the answer is cut off")?;
        Ok((head.to_owned(), serde_json::from_str(body)?))
    }
}

/// A text of an answer.
pub(crate) fn text(value: &Value) -> Result<String, Failure> {
    value.as_str().map(str::to_owned).ok_or_else(|| format!("{value} is no text").into())
}
