//! Names of fields that collide with the servers' expression language.
//!
//! Seen on real 2.3.5, milvus-lite 2.5.1 and 3.2.2, by asking for every word. Nobody may try it out on a server: an
//! expression that names such a field crashes some of them (`true` 2.3.5 and lite 2.5.1, `json_contains` the latter).

use crate::feature::Product;

/// Words of the language of Milvus 2.3 and milvus-lite 2.5; later releases know these and more.
const MILVUS: [&str; 28] = [
    "and",
    "or",
    "not",
    "in",
    "like",
    "LIKE",
    "exists",
    "EXISTS",
    "true",
    "True",
    "TRUE",
    "false",
    "False",
    "FALSE",
    "json_contains",
    "JSON_CONTAINS",
    "json_contains_all",
    "JSON_CONTAINS_ALL",
    "json_contains_any",
    "JSON_CONTAINS_ANY",
    "array_contains",
    "ARRAY_CONTAINS",
    "array_contains_all",
    "ARRAY_CONTAINS_ALL",
    "array_contains_any",
    "ARRAY_CONTAINS_ANY",
    "array_length",
    "ARRAY_LENGTH",
];
/// Words of the language of milvus-lite 3, in any case.
const LITE_PYTHON: [&str; 10] = ["and", "or", "not", "in", "is", "like", "exists", "null", "true", "false"];
/// Names that milvus-lite 3 keeps for itself.
const LITE_PYTHON_RESERVED: [&str; 7] = ["$meta", "interval", "INTERVAL", "iso", "ISO", "_partition", "_seq"];
/// Release since which collections can't be made with such fields (code 1701; seen on 2.5.10 and 2.6.18).
const FORBIDDEN_SINCE: (u32, u32) = (2, 5);

/// Whether an expression can name a field, as every page of a collection after the first must name its primary key.
pub fn can_be_named(product: Product, field: &str) -> bool {
    match product {
        Product::Milvus(_) | Product::LiteNative => !MILVUS.contains(&field),
        Product::LitePython => !LITE_PYTHON.iter().any(|word| word.eq_ignore_ascii_case(field)),
    }
}

/// Whether a collection can be made with a field of that name.
pub fn can_be_created(product: Product, field: &str) -> bool {
    match product {
        // A server that says no number is Zilliz Cloud, which runs the newest release.
        Product::Milvus(release) => {
            release.is_some_and(|release| release < FORBIDDEN_SINCE) || !MILVUS.contains(&field)
        }
        Product::LiteNative => true,
        Product::LitePython => !LITE_PYTHON_RESERVED.contains(&field),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_language_name_no_field() {
        let (old, new) = (Product::Milvus(Some((2, 3))), Product::Milvus(Some((2, 6))));
        for word in ["exists", "LIKE", "in", "True", "json_contains", "ARRAY_LENGTH"] {
            for product in [old, new, Product::LiteNative] {
                assert!(!can_be_named(product, word), "{word}");
            }
            assert!(can_be_created(old, word) && can_be_created(Product::LiteNative, word), "{word}");
            assert!(!can_be_created(new, word) && !can_be_created(Product::Milvus(None), word), "{word}");
        }
        for name in ["Exists", "IN", "id", "existing", "count", "is", "text_match", "_"] {
            assert!(can_be_named(old, name) && can_be_created(new, name), "{name}");
        }
    }

    #[test]
    fn milvus_lite_3_has_words_of_its_own() {
        for word in ["is", "Null", "In", "tRue", "NOT"] {
            assert!(!can_be_named(Product::LitePython, word) && can_be_created(Product::LitePython, word));
        }
        assert!(can_be_named(Product::LitePython, "json_contains"));
        assert!(!can_be_created(Product::LitePython, "interval"));
    }
}
