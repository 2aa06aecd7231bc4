//! What a round behind the warm copy does with each collection: it compares both sides and mends the target.

mod collection;
mod recording;
mod unchanged;
mod writer;

#[cfg(test)]
mod tests;

pub(super) use collection::{ComparedFacts, RoundPair, RoundPart, RoundStop, RoundTuning};
pub(super) use writer::Mended;
