//! Where a browser is sent behind a form or a sign-in.

/// A page of this service to go back to, whatever is asked for: never one elsewhere.
pub(crate) fn back(path: &str) -> &str {
    let is_here = path.starts_with('/')
        && !path.starts_with("//")
        && !path.starts_with("/\\")
        && path.len() <= 2000
        && path.bytes().all(|byte| byte.is_ascii_graphic());
    if is_here { path } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        assert_eq!(back("/p/proj-1/migrations?status=FAILED"), "/p/proj-1/migrations?status=FAILED");
        for path in
            ["", "//evil.example", "/\\evil.example", "https://evil.example", "/a b", "/\r\nSet-Cookie: x"]
        {
            assert_eq!(back(path), "/", "{path:?}");
        }
    }
}
