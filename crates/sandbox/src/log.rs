use std::fs;
use std::path::Path;

const LINES: usize = 15;
/// Milvus repeats call stacks within its lines.
const LINE_CHARACTERS: usize = 300;

/// The last lines of a log that say something; empty if there is no log.
pub(crate) fn tail(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    // The dump of a Go program's threads follows the cause of its end and would drown it.
    let lines: Vec<&str> = text.lines().take_while(|line| !line.starts_with("goroutine ")).collect();
    let first = lines.len().saturating_sub(LINES);
    let short = |line: &&str| line.chars().take(LINE_CHARACTERS).collect::<String>();
    lines.iter().skip(first).map(short).collect::<Vec<_>>().join("\n")
}
