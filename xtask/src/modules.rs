//! Whether the modules of a crate import one way: for each crate with several floors, its modules in an order in which each
//! imports only those below it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::{Failure, output};

/// Crates whose modules are looked at.
const CRATES: [&str; 5] = ["cli", "migrate", "report", "server", "store"];

/// Which modules a module imports.
type Imports = BTreeMap<String, BTreeSet<String>>;

/// Prints the floors of each crate, from the bottom up, and fails where modules import each other in a circle.
pub(crate) fn run() -> Result<(), Failure> {
    for name in CRATES {
        let floors = floors(imports(&Path::new("crates").join(name).join("src"))?)
            .map_err(|circle| format!("modules of {name} import each other: {}", circle.join(", ")))?;
        let floors: Vec<_> = floors.into_iter().map(|floor| floor.join(" ")).collect();
        output::note(&format!("{name}: {}", floors.join(" < ")));
    }
    Ok(())
}

/// The imports between the modules at the top of a crate.
fn imports(source: &Path) -> Result<Imports, Failure> {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    collect(source, None, &mut texts)?;
    let modules: BTreeSet<String> = texts.keys().cloned().collect();
    let of = |(module, text): (&String, &String)| {
        let mut found = named(text);
        found.retain(|name| name != module && modules.contains(name));
        (module.clone(), found)
    };
    Ok(texts.iter().map(of).collect())
}

/// The text of each module with all that is below it.
fn collect(folder: &Path, of: Option<&str>, texts: &mut BTreeMap<String, String>) -> Result<(), Failure> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        let module = of.unwrap_or(&stem);
        if path.is_dir() {
            collect(&path, Some(module), texts)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") && module != "lib" {
            let text = fs::read_to_string(&path)?;
            // What tests import does not count.
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            texts.entry(module.to_owned()).or_default().push_str(text);
        }
    }
    Ok(())
}

/// The names behind `crate::` in a text.
fn named(text: &str) -> BTreeSet<String> {
    let code: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let mut found = BTreeSet::new();
    for part in code.split("crate::").skip(1) {
        match part.strip_prefix('{') {
            Some(list) => found.extend(listed(list)),
            None => found.extend(first_name(part)),
        }
    }
    found
}

/// The names with which the members of a list begin, as far as the brace that closes it.
fn listed(list: &str) -> BTreeSet<String> {
    let (mut found, mut depth, mut member) = (BTreeSet::new(), 0, String::new());
    for character in list.chars() {
        match character {
            '}' if depth == 0 => break,
            ',' if depth == 0 => found.extend(first_name(&std::mem::take(&mut member))),
            '{' => depth += 1,
            '}' => depth -= 1,
            _ if depth == 0 => member.push(character),
            _ => {}
        }
    }
    found.extend(first_name(&member));
    found
}

fn first_name(code: &str) -> Option<String> {
    let is_part = |one: &char| one.is_alphanumeric() || *one == '_';
    let name: String = code.trim_start().chars().take_while(is_part).collect();
    (!name.is_empty()).then_some(name)
}

/// The modules floor by floor, from the bottom up; or those that are in a circle, or above one.
fn floors(mut imports: Imports) -> Result<Vec<Vec<String>>, Vec<String>> {
    let mut floors = Vec::new();
    while !imports.is_empty() {
        let floor: Vec<String> =
            imports.iter().filter(|(_, of)| of.is_empty()).map(|(name, _)| name.clone()).collect();
        if floor.is_empty() {
            return Err(imports.into_keys().collect());
        }
        imports.retain(|name, _| !floor.contains(name));
        for of in imports.values_mut() {
            of.retain(|name| !floor.contains(name));
        }
        floors.push(floor);
    }
    Ok(floors)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(edges: &[(&str, &[&str])]) -> Result<Vec<Vec<String>>, Vec<String>> {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        floors(edges.iter().map(|(name, of)| ((*name).to_owned(), names(of))).collect())
    }

    #[test]
    fn circles_are_told_from_floors() {
        let straight = of(&[("a", &[]), ("b", &["a"]), ("c", &["a", "b"]), ("d", &["a"])]);
        assert_eq!(straight.unwrap(), [vec!["a"], vec!["b", "d"], vec!["c"]]);
        assert_eq!(of(&[("a", &["b"]), ("b", &["a"]), ("c", &[])]).unwrap_err(), ["a", "b"]);
    }

    #[test]
    fn imports_are_found_where_they_stand() {
        let text = "use crate::plan::{self, Plan};\n// crate::job is above\nlet x = crate::read::of(crate::rate::X);\n";
        let found: Vec<_> = named(text).into_iter().collect();
        assert_eq!(found, ["plan", "rate", "read"]);
        let found: Vec<_> =
            named("use crate::{plan::{self, Plan}, rate,\n    read::of,\n};\nuse std::{fs, io};")
                .into_iter()
                .collect();
        assert_eq!(found, ["plan", "rate", "read"]);
    }

    #[test]
    fn no_modules_of_a_crate_import_each_other() {
        for name in CRATES {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates").join(name).join("src");
            let circle = floors(imports(&source).unwrap()).err();
            assert_eq!(circle, None, "{name}");
        }
    }
}
