//! Secrets of the service: the keys that encrypt stored credentials, passwords, tokens, and files that hold keys. Nothing
//! here knows accounts, clusters or the store.

pub mod file;
pub mod keyring;
pub mod password;
pub mod token;
