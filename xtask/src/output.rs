//! All that is printed.

use std::io::Write;

/// A part of the result.
pub(crate) fn result(text: &str) {
    // A closed pipe is the reader's wish.
    drop(writeln!(std::io::stdout().lock(), "{text}"));
}

/// Where it is.
pub(crate) fn note(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}
