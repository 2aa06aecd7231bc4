//! The verification that everything arrived: exact counts, and random rows bit for bit.
//!
//! The source is asked right after the copy, while it is loaded; what it says is kept as counts and digests
//! ([`Expected`]), so that it can be released. The target is asked when it has stored everything and is loaded
//! ([`compare`]). Where both sides are loaded at once, every row can be compared ([`full`], and [`by_spans`] where it is known
//! how to cut the keys), and what differs be repaired ([`Repair`]).

mod by_key;
mod by_spans;
mod compare;
mod expect;
mod full;
pub(crate) mod mend;
mod multiset;
mod pages;
mod read_ahead;
mod repair;
pub(crate) mod spans;
mod step;
mod surplus;
mod window;

pub(crate) use by_key::keys_present;
pub(crate) use by_spans::{Cut, by_spans};
pub(crate) use compare::{Outcome, compare};
pub(crate) use expect::{Expected, expect};
pub(crate) use full::full;
pub(crate) use pages::Half;
pub(crate) use read_ahead::ReadAhead;
pub(crate) use repair::Repair;
pub(crate) use spans::Mark;
pub(crate) use step::{Follow, FullOutcome, Step};
pub(crate) use surplus::{Surplus, diagnose};
pub(crate) use window::Layout;
