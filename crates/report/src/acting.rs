//! Texts of somebody else, made harmless: servers, names and keys can hold characters that act on a terminal or turn a page.

/// Whether a character does something to a terminal, or turns the text around it: control characters (the escape of a
/// terminal's commands among them), the ends of lines, and the marks of bidirectional texts.
pub fn acts(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text of somebody else's (a server's message, a name, a key) in one line, without what would act on a terminal.
pub fn harmless(text: &str) -> String {
    let harmless = |character| match character {
        '\n' | '\r' | '\t' | '\u{85}' | '\u{2028}' | '\u{2029}' => ' ',
        character if acts(character) => '\u{fffd}',
        character => character,
    };
    text.chars().map(harmless).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_texts_do_not_act_on_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\nc\td"), "a\u{fffd}[2Jb c d");
        for acting in [
            '\0', '\u{7}', '\u{7f}', '\u{9b}', '\u{61c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202e}',
            '\u{2066}', '\u{2069}',
        ] {
            assert_eq!(harmless(&acting.to_string()), "\u{fffd}", "{acting:?}");
        }
        assert_eq!(harmless("集合 é 👩\u{200d}🚀"), "集合 é 👩\u{200d}🚀");
    }
}
