//! Problems inside of documents: reports, plans, checks and states of jobs are JSON with the texts of the command line in
//! them, also where they were stored long ago. The service gives them out in its own words.

use serde::Deserialize;
use serde_json::Value;

use super::{Problem, Surface};

/// Words every problem in a document as its readers need it, however deep it is. Nothing else changes; a code that this
/// version does not know keeps its texts.
///
/// ```
/// use vecferry_migrate::{Code, Problem, Surface, retell};
///
/// let problem = Problem::new(Code::JobIsLive).with("job", "7");
/// let mut document = serde_json::json!({ "warnings": [problem] });
/// retell(&mut document, Surface::Service);
/// assert_eq!(document["warnings"][0]["hint"], "wait until it ends, or cancel job 7");
/// ```
pub fn retell(document: &mut Value, surface: Surface) {
    match document {
        Value::Object(fields) => {
            fields.values_mut().for_each(|value| retell(value, surface));
            if let Some(retold) = retold(document, surface) {
                *document = retold;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| retell(item, surface)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// None of what is no problem.
fn retold(value: &Value, surface: Surface) -> Option<Value> {
    value.get("hint")?;
    let problem = Problem::deserialize(value).ok()?;
    serde_json::to_value(problem.on(surface)).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::problem::{Check, CheckId, Code, Outcome};

    fn problem() -> Problem {
        let problem = Problem::new(Code::TargetExists);
        problem.with("collection", "default.books")
    }

    #[test]
    fn problems_are_retold_wherever_they_are_and_nothing_else_changes() {
        let check = Check {
            id: CheckId::Names,
            outcome: Outcome::Fail,
            facts: vec!["use --exclude".into()],
            problems: vec![problem()],
        };
        let mut document =
            json!({ "checks": [check], "inner": { "problem": problem() }, "rows": 3, "gone": null });
        let before = document.clone();
        retell(&mut document, Surface::Service);
        for told in [&document["checks"][0]["problems"][0], &document["inner"]["problem"]] {
            for hint in ["hint", "hint_zh"] {
                let text = told[hint].as_str().unwrap();
                assert!(!text.is_empty() && !text.contains("--"), "{text}");
            }
            assert_eq!(*told, serde_json::to_value(problem().on(Surface::Service)).unwrap());
            assert_eq!(Problem::deserialize(told).unwrap(), problem());
        }
        assert_eq!(document["checks"][0]["facts"][0], "use --exclude");
        assert_eq!(document["rows"], 3);
        retell(&mut document, Surface::CommandLine);
        assert_eq!(document, before);
    }

    #[test]
    fn what_is_no_problem_or_not_known_stays() {
        let mut document = json!([
            { "code": "VF-9999", "values": [], "hint": "run `vecferry x`" },
            { "code": "VF-0203", "values": "none", "hint": "add --yes" },
            { "code": "VF-0203", "values": [] },
            { "code": 203, "hint": "add --yes" },
        ]);
        let before = document.clone();
        retell(&mut document, Surface::Service);
        assert_eq!(document, before);
    }
}
