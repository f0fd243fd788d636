//! `docs/design/go-semantics.md` lists every statement about Go's channels, and each is shown by a test that exists or
//! has a remark that says why not.

use std::collections::BTreeMap;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

const DOCUMENT: &str = "docs/design/go-semantics.md";

/// The statements there are.
const STATEMENTS: [(&str, RangeInclusive<u32>); 9] = [
    ("DS", 1..=10),
    ("MK", 1..=11),
    ("S", 1..=17),
    ("R", 1..=15),
    ("X", 1..=10),
    ("T", 1..=7),
    ("W", 1..=7),
    ("L", 1..=29),
    ("TM", 1..=16),
];

struct Row {
    statement: String,
    /// `file.rs::test`
    tests: Vec<String>,
    remark: String,
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The texts between backquotes that name a test.
fn tests_named_in(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).filter(|quoted| quoted.contains(".rs::"))
}

/// The rows of all tables, by ID.
fn rows(document: &str) -> Vec<(String, Row)> {
    let lines = document.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    let cells = lines.map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    let rows = cells.filter(|cells| cells[0] != "ID" && !cells[0].starts_with('-')).map(|cells| {
        let [id, statement, tests, remark] = cells[..] else { panic!("{} has {} cells", cells[0], cells.len()) };
        let tests = tests_named_in(tests).map(str::to_owned).collect();
        (id.to_owned(), Row { statement: statement.to_owned(), tests, remark: remark.to_owned() })
    });
    rows.collect()
}

/// Is there a function of this name, marked as a test, in this source?
fn has_test(source: &str, name: &str) -> bool {
    let head = format!("fn {name}(");
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        if line.starts_with(&head) {
            return is_test;
        }
        // Between the attribute and the function there may be other attributes.
        is_test = line == "#[test]" || (is_test && line.starts_with("#["));
    }
    false
}

/// Everything that is wrong with the document.
fn faults(document: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut found = BTreeMap::new();
    for (id, row) in rows(document) {
        if row.statement.is_empty() {
            faults.push(format!("{id} states nothing"));
        }
        if row.tests.is_empty() && row.remark.is_empty() {
            faults.push(format!("{id} has neither a test nor a remark"));
        }
        if found.insert(id.clone(), row).is_some() {
            faults.push(format!("{id} is there twice"));
        }
    }
    for (section, numbers) in STATEMENTS {
        for number in numbers {
            if found.remove(&format!("{section}{number}")).is_none() {
                faults.push(format!("{section}{number} is missing"));
            }
        }
    }
    faults.extend(found.keys().map(|id| format!("{id} is not a statement")));
    for test in tests_named_in(document).filter(|test| *test != "file.rs::test") {
        let (file, name) = test.split_once("::").expect("filtered");
        let path = if file.starts_with("src/") { file.to_owned() } else { format!("tests/{file}") };
        if !Path::new(env!("CARGO_MANIFEST_DIR")).join(&path).exists() || !has_test(&read(&path), name) {
            faults.push(format!("there is no test {test}"));
        }
    }
    faults
}

#[test]
fn every_statement_is_listed_and_shown() {
    let faults = faults(&read(DOCUMENT));
    assert!(faults.is_empty(), "{DOCUMENT}:\n{}", faults.join("\n"));
}

/// The check can fail.
#[test]
fn faults_are_found() {
    let document = read(DOCUMENT);
    let changed = |from: &str, to: &str| {
        assert!(document.contains(from), "{from}");
        faults(&document.replacen(from, to, 1))
    };
    assert_eq!(changed("| S13 |", "| S18 |"), ["S13 is missing", "S18 is not a statement"]);
    assert_eq!(changed("| S13 |", "| S12 |"), ["S12 is there twice", "S13 is missing"]);
    assert_eq!(changed("| | We have no bubbles. |", "| | |"), ["MK8 has neither a test nor a remark"]);
    assert_eq!(changed("::blocked_senders_", "::blocked_"), ["there is no test fifo.rs::blocked_are_served_in_order"]);
    assert_eq!(changed("`makechan.rs::", "`nowhere.rs::").len(), 1);
    // A function that is no test shows nothing.
    assert!(has_test("#[test]\n#[ignore]\nfn f() {", "f") && !has_test("#[test]\nfn g() {}\nfn f() {", "f"));
}
