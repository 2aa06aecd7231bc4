//! English in texts that are to be Chinese.

/// Names of several words that are the same in both languages.
const NAMES: &[&str] = &["Milvus Lite", "Zilliz Cloud", "Manage Cluster", "Partition Key"];

/// Runs of two or more English words. What stands in backticks or quotes is somebody else's, and so is what `others` lists:
/// servers' and the system's words.
pub fn english_in(text: &str, others: &[&str]) -> Vec<String> {
    let mut rest = text.to_owned();
    for known in NAMES.iter().chain(others) {
        rest = rest.replace(known, "。");
    }
    let outside = rest.split('`').step_by(2).flat_map(|part| part.split(['“', '”']).step_by(2));
    // Chinese words and signs end a run, also where no space is between them.
    outside.flat_map(|part| part.split(|sign: char| !sign.is_ascii())).flat_map(runs).collect()
}

fn runs(text: &str) -> Vec<String> {
    let (mut found, mut run) = (Vec::new(), Vec::<&str>::new());
    let mut end = |run: &mut Vec<&str>| {
        if run.len() > 1 {
            found.push(run.join(" "));
        }
        run.clear();
    };
    for token in text.split(' ') {
        let word = token.trim_matches(['.', ',', ';', ':', '(', ')', '"', '\n']);
        // A name, a code, an option or an address has other signs or capitals in it.
        let is_word = word.chars().skip(1).all(|c| c.is_ascii_lowercase() || c == '\'')
            && word.chars().next().is_some_and(|c| c.is_ascii_alphabetic());
        if is_word {
            run.push(word);
        }
        if !is_word || token.ends_with(['.', ')', '\n']) {
            end(&mut run);
        }
    }
    end(&mut run);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_from_names_and_code() {
        for chinese in [
            "源集群上的 Collection 正在加载",
            "用 `vecferry resume JOB` 继续",
            "请使用 --target-db SOURCE_DB=TARGET_DB",
            "Zilliz Cloud 集群 https://h:1 的 Milvus Lite 3",
            "服务返回“no such thing”",
            "无法写入：Permission denied",
        ] {
            assert_eq!(english_in(chinese, &["Permission denied"]), Vec::<String>::new(), "{chinese}");
        }
        for (mixed, found) in [
            ("源集群：plain Milvus", "plain Milvus"),
            ("无法连接：nothing listens on http://h:1", "nothing listens on"),
            ("自建（as stated）", "as stated"),
            ("The source is read.", "The source is read"),
        ] {
            assert_eq!(english_in(mixed, &[]), [found], "{mixed}");
        }
    }
}
