//! What comes between a client and the server, call by call, as a test says.

use vecferry_milvus::proto::common::Status;

/// A call on its way.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Its method, such as `Insert`.
    pub method: &'a str,
    /// Its message.
    pub message: &'a [u8],
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Interference {
    /// It is carried out and answered.
    None,
    /// It is not carried out: the user lacks the privilege. Calls that need none are carried out.
    Denied,
    /// It is not carried out, and answered with this status.
    Refused(Status),
    /// It is carried out, and answered with this status.
    FailedAfter(Status),
    /// It is carried out, and its answer arrives without rows; only a query has rows.
    EmptiedPage,
    /// It is not carried out, and its stream breaks.
    CutBefore,
    /// It is carried out, and its stream breaks.
    CutAfter,
}

/// Decides for each call.
pub(super) type Interfere = Box<dyn FnMut(Seen<'_>) -> Interference + Send>;
