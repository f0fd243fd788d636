//! Goroutines where panics abort: a program of its own, built for that with what it needs of this package and no more.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn who_is_cancelled_is_left() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("panic_abort");
    fs::create_dir_all(&package).unwrap();
    // With the same versions of everything.
    fs::copy(here.join("Cargo.lock"), package.join("Cargo.lock")).unwrap();
    let manifest = format!(
        "[package]\nname = \"panic_abort\"\nedition = \"2024\"\n\
         [[bin]]\nname = \"panic_abort\"\npath = {:?}\n\
         [dependencies]\ngochan = {{ path = {here:?}, features = [\"rt\"] }}\n\
         [profile.dev]\npanic = \"abort\"\n\
         [workspace]\n",
        here.join("tests/programs/panic_abort.rs"),
    );
    fs::write(package.join("Cargo.toml"), manifest).unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--quiet"]).current_dir(&package).env("CARGO_TARGET_DIR", package.join("target"));
    let output = cargo.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    assert_eq!(out, "done\n");
    // The first says so, and those whom the end of a runtime has met.
    assert!(err.contains("is cancelled and cannot be unwound: it is left"), "{err}");
}
