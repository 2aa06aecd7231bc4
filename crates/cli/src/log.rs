//! What happens inside, for whoever looks for a cause: the spans and events of the libraries, on stderr.

use std::io::{self, Write};

use tracing_subscriber::EnvFilter;
use vecferry_migrate::{Code, Problem};

use crate::args::{LogFormat, Shown};
use crate::output::readable;

/// Writes the log from now on, if that is asked for.
pub(crate) fn start(shown: &Shown) -> Result<(), Problem> {
    let Some(filter) = shown.log.as_deref().filter(|filter| !filter.is_empty()) else { return Ok(()) };
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| Problem::new(Code::Arguments).with("detail", format!("--log {filter}: {error}")))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
    match shown.log_format {
        LogFormat::Text => log.with_writer(|| Readable).init(),
        // Escaped already.
        LogFormat::Json => log.json().with_writer(io::stderr).init(),
    }
    Ok(())
}

/// What the libraries log holds servers' messages.
struct Readable;

impl Write for Readable {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        io::stderr().lock().write_all(readable(&text, false).as_bytes()).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}
