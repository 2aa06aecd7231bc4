//! Just enough of PostgreSQL's protocol to see whether a server takes connections.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Protocol 3.0, which every version in use speaks.
const PROTOCOL: u32 = 3 << 16;
/// The server asks for a password, or says that none is needed.
const AUTHENTICATION: u8 = b'R';

/// Whether the server asks a new client for its password. A server that still recovers answers as well, with an error.
pub(super) fn takes_connections(port: u16, user: &str) -> bool {
    first_byte(port, user).is_ok_and(|byte| byte == AUTHENTICATION)
}

fn first_byte(port: u16, user: &str) -> std::io::Result<u8> {
    let mut stream =
        TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), ANSWER_TIMEOUT)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    stream.write_all(&startup_message(user))?;
    let mut first = [0];
    stream.read_exact(&mut first)?;
    Ok(first[0])
}

/// Length, version, pairs of a name and a value, and an empty name.
fn startup_message(user: &str) -> Vec<u8> {
    let mut body = PROTOCOL.to_be_bytes().to_vec();
    for text in ["user", user] {
        body.extend_from_slice(text.as_bytes());
        body.push(0);
    }
    body.push(0);
    // The length counts itself. A user's name is short.
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [length.to_be_bytes().to_vec(), body].concat()
}
