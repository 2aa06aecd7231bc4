//! The console's pages, as a browser without scripts uses them.

mod clusters;
mod job_page;
mod lists;
mod migrations;
mod organization;
mod sign_in;
mod warm;
mod wizard;

use crate::client::{Answer, Client};

/// A browser without scripts: it keeps its session and sends forms with what their page holds.
#[derive(Clone, Debug)]
pub(crate) struct Browser(Client);

impl Browser {
    /// A browser with the session of a client; without one where it has none.
    pub(crate) fn of(client: &Client) -> Self {
        let client = client.without("x-csrf-token").without("authorization");
        Self(client.with("accept", "text/html,application/xhtml+xml"))
    }

    /// The same, for somebody who reads Chinese.
    pub(crate) fn chinese(&self) -> Self {
        Self(self.0.with("accept-language", "zh-CN,zh;q=0.9"))
    }

    /// A page that is there.
    #[track_caller]
    pub(crate) fn page(&self, path: &str) -> impl Future<Output = String> + use<'_> {
        let (path, at) = (path.to_owned(), std::panic::Location::caller());
        async move {
            let answer = self.get(&path).await;
            assert_eq!(answer.status, 200, "{at}: {path}: {}", answer.text());
            answer.text()
        }
    }

    /// A page, whatever it is.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        let answer = self.0.get(path).await;
        assert_harmless(path, &answer);
        answer
    }

    /// Sends the fields to an address as the form of a page does, with the token that stands in the page.
    pub(crate) async fn submit(&self, page: &str, action: &str, fields: &[(&str, &str)]) -> Answer {
        let shown = self.page(page).await;
        assert!(shown.contains(&format!("action=\"{action}\"")), "{page} has no form to {action}: {shown}");
        let hidden = hidden(&shown, action);
        let given = |name: &str| fields.iter().any(|(given, _)| *given == name);
        let kept = hidden.iter().filter(|(name, _)| !given(name));
        let kept = kept.map(|(name, value)| (name.as_str(), value.as_str()));
        let fields: Vec<_> = kept.chain(fields.iter().copied()).collect();
        self.post(action, &fields).await
    }

    /// Sends a form that no page gave.
    pub(crate) async fn post(&self, action: &str, fields: &[(&str, &str)]) -> Answer {
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(fields);
        let client = self.0.with("content-type", "application/x-www-form-urlencoded");
        let answer = client.send("POST", action, Some(body.finish().into_bytes())).await;
        assert_harmless(action, &answer);
        answer
    }

    /// The same browser with the cookies that an answer set.
    pub(crate) fn keeping(&self, answer: &Answer) -> Self {
        let set = answer.headers.get_all("set-cookie").iter();
        let set: Vec<_> = set.filter_map(|cookie| cookie.to_str().ok()?.split(';').next()).collect();
        let name = |cookie: &str| cookie.split('=').next().unwrap_or_default().to_owned();
        let kept = self.0.header("cookie").split("; ").filter(|cookie| !cookie.is_empty());
        let kept = kept.filter(|cookie| set.iter().all(|new| name(new) != name(cookie)));
        let cookies: Vec<_> = kept.chain(set.iter().copied()).collect();
        Self(self.0.with("cookie", &cookies.join("; ")))
    }
}

/// Every answer keeps browsers from loading, framing and remembering what they should not.
#[track_caller]
fn assert_harmless(path: &str, answer: &Answer) {
    assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
    if answer.header("content-type").starts_with("text/html") {
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        let text = answer.text();
        for inline in ["<script>", " style=\"", "<style", " onclick=", "javascript:"] {
            assert!(!text.contains(inline), "{path} has {inline}: {text}");
        }
    }
}

/// The hidden fields of the form of a page, which a browser sends as they are.
fn hidden(page: &str, action: &str) -> Vec<(String, String)> {
    let form = page.split("<form").find(|form| form.contains(&format!("action=\"{action}\"")));
    let form = form.and_then(|form| form.split("</form>").next()).unwrap_or_default();
    let inputs = form.split("<input type=\"hidden\" ").skip(1).filter_map(|input| {
        let name = between(input, "name=\"", "\"")?;
        Some((name.to_owned(), between(input, "value=\"", "\"")?.to_owned()))
    });
    inputs.collect()
}

/// Where an answer sends the browser.
#[track_caller]
pub(crate) fn seen(answer: &Answer) -> String {
    assert_eq!(answer.status, 303, "{}", answer.text());
    answer.header("location").to_owned()
}

/// What stands between two texts, the first time.
pub(crate) fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let start = text.find(before)? + before.len();
    let end = text[start..].find(after)?;
    Some(&text[start..start + end])
}
