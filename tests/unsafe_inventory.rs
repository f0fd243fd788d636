//! `docs/design/unsafe.md` names every place in `src/` that is unsafe: how many blocks there are in which function of which
//! file, under the invariant that makes them sound. What is new, has moved or is gone must be found there, too.
//!
//! Counted are blocks, `unsafe impl` and `unsafe extern`, also in macros; not `unsafe fn`, which only asks something of its
//! caller, and not tests.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// How many in which function of which file. What is in no function is in `-`.
type Counts = BTreeMap<(String, String), usize>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The source files, without those of tests.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_test = path.ends_with("tests") || path.ends_with("loom.rs");
        if path.is_dir() && !is_test {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test {
            found.push(path);
        }
    }
}

/// Counts in `tokens`, which are in the function `within`.
fn count(tokens: TokenStream, within: &str, found: &mut impl FnMut(&str)) {
    // The function whose body, and whether something for tests, is to come.
    let (mut function, mut is_test) = (None, false);
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(word) if word == "fn" => {
                if let Some(TokenTree::Ident(name)) = tokens.peek() {
                    function = Some(name.to_string());
                }
            }
            TokenTree::Ident(word) if word == "unsafe" => match tokens.peek() {
                Some(TokenTree::Group(body)) if body.delimiter() == Delimiter::Brace => found(within),
                Some(TokenTree::Ident(what)) if what == "impl" => found(within),
                // Of blocks, that is; functions for C follow with `fn`.
                Some(TokenTree::Ident(what)) if what == "extern" => {
                    let ahead: Vec<_> = tokens.clone().skip(1).take(2).collect();
                    if matches!(ahead.last(), Some(TokenTree::Group(_))) {
                        found(within);
                    }
                }
                _ => {}
            },
            TokenTree::Punct(mark) if mark.as_char() == '#' => {
                if let Some(TokenTree::Group(attribute)) = tokens.peek() {
                    let attribute = attribute.stream().to_string();
                    is_test |= attribute.starts_with("cfg") && attribute.contains("test") || attribute == "test";
                }
            }
            TokenTree::Punct(mark) if mark.as_char() == ';' => (function, is_test) = (None, false),
            TokenTree::Group(group) => {
                let is_body = group.delimiter() == Delimiter::Brace;
                if !(is_body && is_test) {
                    let inner = function.as_deref().filter(|_| is_body).unwrap_or(within);
                    count(group.stream(), inner, found);
                }
                if is_body {
                    (function, is_test) = (None, false);
                }
            }
            _ => {}
        }
    }
}

fn counts_in(source: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    count(source.parse().expect("Rust"), "-", &mut |function| *counts.entry(function.to_string()).or_default() += 1);
    counts
}

/// What is unsafe in `src/`.
fn counts() -> Counts {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    let mut all = Counts::new();
    for path in files {
        let file = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
        for (function, n) in counts_in(&fs::read_to_string(&path).unwrap()) {
            all.insert((file.clone(), function), n);
        }
    }
    all
}

/// What the page names: lines of the form ``- `file`: `function` 2, `other` 1``.
fn named(page: &str) -> Counts {
    let mut all = Counts::new();
    for line in page.lines() {
        let Some((file, functions)) = line.strip_prefix("- `src/").and_then(|rest| rest.split_once("`: ")) else {
            continue;
        };
        for named in functions.split(", ") {
            let (function, n) = named.rsplit_once(' ').expect("a function and a number");
            let key = (format!("src/{file}"), function.trim_matches('`').to_string());
            *all.entry(key).or_default() += n.parse::<usize>().expect("a number");
        }
    }
    all
}

#[test]
fn the_page_names_all_that_is_unsafe() {
    let (counts, page) = (counts(), fs::read_to_string(root().join("docs/design/unsafe.md")).unwrap());
    let named = named(&page);
    let mut wrong = String::new();
    for key in counts.keys().chain(named.keys()).collect::<std::collections::BTreeSet<_>>() {
        let (is, said) = (counts.get(key).unwrap_or(&0), named.get(key).unwrap_or(&0));
        if is != said {
            writeln!(wrong, "{}: `{}` has {is}, the page says {said}", key.0, key.1).unwrap();
        }
    }
    assert!(wrong.is_empty(), "docs/design/unsafe.md:\n{wrong}");
    let total: usize = counts.values().sum();
    assert!(page.contains(&format!("{total} in all")), "docs/design/unsafe.md: there are {total} in all");
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(readme.contains(&format!("{total} blocks")), "README.md: there are {total} blocks");
}

/// The tests and models that the page names are there, and so are the bugs that are planted.
#[test]
fn what_would_catch_a_break_is_there() {
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap_or_default();
    let (page, planted) = (read("docs/design/unsafe.md"), read("scripts/planted"));
    let mut missing = String::new();
    for said in page.split("\n\n").filter_map(|paragraph| paragraph.strip_prefix("Caught by: ")) {
        // Every other piece is between backquotes: a file, a test of one, or a bug.
        for piece in said.split('`').skip(1).step_by(2) {
            let is_there = match piece.split_once("::") {
                Some((file, test)) => read(file).contains(&format!("fn {test}")),
                None if piece.contains('/') => root().join(piece).exists(),
                None => planted.lines().any(|line| line.split(' ').next() == Some(piece)),
            };
            if !is_there {
                writeln!(missing, "{piece}").unwrap();
            }
        }
    }
    assert!(missing.is_empty(), "docs/design/unsafe.md:\n{missing}");
}

#[test]
fn all_kinds_are_counted() {
    let source = "
        unsafe impl Send for A {}
        unsafe extern \"C\" { fn c(); }
        impl A {
            unsafe fn asks(&self) -> B { unsafe { b() } }
            fn one(&self, f: unsafe fn()) { let x = || unsafe { c() }; m!(unsafe { d() }); }
            unsafe extern \"C\" fn handler() { }
        }
        macro_rules! m { () => { fn made() { unsafe { e() } } } }
        #[cfg(test)]
        mod tests { fn t() { unsafe { f() } } }
        fn two() { unsafe { g() } unsafe { h() } }
    ";
    let expected = [("-", 2), ("asks", 1), ("made", 1), ("one", 2), ("two", 2)];
    assert_eq!(counts_in(source), expected.map(|(name, n)| (name.to_string(), n)).into());
    let page = "- `src/a.rs`: `-` 2, `one` 1\n- `src/a.rs`: `one` 1\nother";
    let key = |function: &str| ("src/a.rs".to_string(), function.to_string());
    assert_eq!(named(page), [(key("-"), 2), (key("one"), 2)].into());
}
