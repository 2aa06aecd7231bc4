//! Properties of collections that are set last, or never.

/// Properties that change what happens to rows or who writes them; set when everything else is done, or never.
pub(crate) const PROPERTY_TTL: &str = "collection.ttl.seconds";
/// Lets a server take keys that it would make itself (2.6 and later).
pub(crate) const PROPERTY_KEPT_KEYS: &str = "allow_insert_auto_id";
