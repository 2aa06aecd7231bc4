//! The languages that people are spoken to in.

/// A language that people are spoken to in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lang {
    /// English.
    En,
    /// Simplified Chinese.
    Zh,
}

/// Functions of this visibility, each with a name, that say one sentence in both languages:
///
/// ```
/// use vecferry_words::Lang;
///
/// vecferry_words::sentences! {
///     pub(crate),
///     /// Between a label and its text.
///     colon ": " "：";
/// }
/// assert_eq!(colon(Lang::Zh), "：");
/// ```
#[macro_export]
macro_rules! sentences {
    ($vis:vis, $( $(#[$doc:meta])* $name:ident $en:literal $zh:literal; )*) => { $(
        $(#[$doc])*
        $vis fn $name(lang: $crate::Lang) -> &'static str {
            lang.pick($en, $zh)
        }
    )* };
}

impl Lang {
    /// Which of two texts is in this language.
    pub fn pick<T>(self, en: T, zh: T) -> T {
        match self {
            Self::En => en,
            Self::Zh => zh,
        }
    }
}
