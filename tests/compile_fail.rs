//! Programs that must not compile, and what the compiler says of them; and programs that must, without a word.
//!
//! In `tests/ui` a comment `//~ text` behind a line asks for an error there that says so; other errors must not be. What
//! stands in `tests/ui/pass` must give neither errors nor warnings. All are targets of one package, which one
//! `cargo check` goes through below the target directory.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// An error or a warning.
#[derive(Debug)]
struct Diagnostic {
    /// Of an error in a macro: where the macro is called.
    line: usize,
    text: String,
}

fn ui() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui")
}

/// The programs in a folder.
fn programs(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut programs: Vec<_> = files.filter(|path| path.extension() == Some(OsStr::new("rs"))).collect();
    programs.sort();
    programs
}

/// What the compiler says of all the programs.
fn diagnostics() -> &'static BTreeMap<PathBuf, Vec<Diagnostic>> {
    static ALL: OnceLock<BTreeMap<PathBuf, Vec<Diagnostic>>> = OnceLock::new();
    ALL.get_or_init(|| {
        let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ui");
        fs::create_dir_all(&package).unwrap();
        // Strings are written in TOML as they are in Rust.
        let mut manifest = format!(
            "[package]\nname = \"ui\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n\
             [dependencies]\ngochan = {{ path = {:?}, features = [\"rt\"] }}\n",
            env!("CARGO_MANIFEST_DIR")
        );
        let must_fail = programs(&ui());
        for path in must_fail.iter().chain(&programs(&ui().join("pass"))) {
            writeln!(manifest, "[[bin]]\nname = {:?}\npath = {path:?}", path.file_stem().unwrap()).unwrap();
        }
        fs::write(package.join("Cargo.toml"), manifest).unwrap();
        // The same versions of the same dependencies, so that there is nothing to download.
        let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
        if lock.exists() {
            fs::copy(lock, package.join("Cargo.lock")).unwrap();
        }
        let output = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
            .args(["check", "--bins", "--keep-going", "--message-format=short", "--color=never", "--manifest-path"])
            .arg(package.join("Cargo.toml"))
            .env("CARGO_TARGET_DIR", package.join("target"))
            .output()
            .expect("cargo can be run");
        let said = String::from_utf8_lossy(&output.stderr);
        let mut all = BTreeMap::<_, Vec<_>>::new();
        for (path, diagnostic) in said.lines().filter_map(diagnostic) {
            all.entry(path).or_default().push(diagnostic);
        }
        // If one of them has been come to, all have.
        assert!(must_fail.iter().any(|path| all.contains_key(path)), "cargo has not come to the programs:\n{said}");
        all
    })
}

/// `path:line:column: level: text`, of a program.
fn diagnostic(said: &str) -> Option<(PathBuf, Diagnostic)> {
    let (place, text) = said.split_once(": ")?;
    let (place, _column) = place.rsplit_once(':')?;
    let (path, line) = place.rsplit_once(':')?;
    let path = PathBuf::from(path);
    path.starts_with(ui()).then_some(())?;
    Some((path, Diagnostic { line: line.parse().ok()?, text: text.into() }))
}

/// What is wrong with what was said of `program`.
fn complaints(program: &str, said: &[Diagnostic]) -> Vec<String> {
    let asked = (1..).zip(program.lines()).filter_map(|(i, line)| Some((i, line.split_once("//~ ")?.1)));
    let asked: Vec<(usize, &str)> = asked.collect();
    let errors = || said.iter().filter(|diagnostic| diagnostic.text.starts_with("error"));
    let mut complaints = Vec::new();
    for (line, text) in &asked {
        if !errors().any(|error| error.line == *line && error.text.contains(text)) {
            complaints.push(format!("line {line}: it does not say \"{text}\""));
        }
    }
    for Diagnostic { line, text } in errors() {
        if !asked.iter().any(|(asked_line, asked)| line == asked_line && text.contains(asked)) {
            complaints.push(format!("line {line}: it says \"{text}\""));
        }
    }
    if asked.is_empty() {
        complaints.push("nothing is asked for".into());
    }
    complaints
}

#[test]
fn what_does_not_compile_says_why() {
    let mut failed = String::new();
    for path in programs(&ui()) {
        let said = diagnostics().get(&path).map_or(&[][..], Vec::as_slice);
        for complaint in complaints(&fs::read_to_string(&path).unwrap(), said) {
            writeln!(failed, "{}: {complaint}", path.display()).unwrap();
        }
    }
    assert!(failed.is_empty(), "\n{failed}");
}

#[test]
fn what_compiles_does_so_without_a_word() {
    let mut failed = String::new();
    for path in programs(&ui().join("pass")) {
        for Diagnostic { line, text } in diagnostics().get(&path).into_iter().flatten() {
            writeln!(failed, "{}: line {line}: it says \"{text}\"", path.display()).unwrap();
        }
    }
    assert!(failed.is_empty(), "\n{failed}");
}

#[test]
fn complaints_are_made() {
    let said = |line, text: &str| Diagnostic { line, text: text.into() };
    let program = "fn main() {\n    a(); //~ no a\n    b();\n}\n";
    assert_eq!(complaints(program, &[said(2, "error[E1]: no a here"), said(3, "warning: b")]), [""; 0]);
    assert_eq!(complaints(program, &[]).len(), 1);
    // In another line, with another text, only a warning, one too many.
    assert_eq!(complaints(program, &[said(3, "error: no a")]).len(), 2);
    assert_eq!(complaints(program, &[said(2, "error: no b")]).len(), 2);
    assert_eq!(complaints(program, &[said(2, "warning: no a")]).len(), 1);
    assert_eq!(complaints(program, &[said(2, "error: no a"), said(3, "error: no b")]).len(), 1);
    assert_eq!(complaints("fn main() {}", &[]).len(), 1);
    // They are found in what cargo prints.
    let path = ui().join("a.rs");
    let (found, Diagnostic { line, text }) = diagnostic(&format!("{}:12:5: error: a: b", path.display())).unwrap();
    assert_eq!((found, line, text.as_str()), (path, 12, "error: a: b"));
    assert!(diagnostic("error: could not compile `ui` (bin \"a\") due to 1 previous error").is_none());
}
