//! What the guide shows is what the examples print. `GOCHAN_BLESS=1 cargo test --test guide` writes it anew.
#![cfg(target_os = "linux")]

mod common;

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

const COMMAND: &str = "$ cargo run -q --example ";

/// What a command prints, on stdout and stderr as they come.
fn output_of(command: &str) -> String {
    let words: Vec<_> =
        command.strip_prefix(COMMAND).expect("a command").split(' ').filter(|&word| word != "--").collect();
    let name = words.join("_").replace('/', "_");
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("guide_{name}"));
    let file = File::create(&path).unwrap();
    let mut program = Command::new(common::example(words[0]));
    program.args(&words[1..]).stdout(file.try_clone().unwrap()).stderr(file).status().unwrap();
    fs::read_to_string(path).unwrap()
}

/// Without what differs from run to run: addresses, times, and who of several was the last.
fn stable(text: &str) -> String {
    let words = text.split_inclusive(|c: char| !c.is_ascii_alphanumeric());
    let mut words = words.collect::<Vec<_>>();
    for at in 0..words.len() {
        if words[at].starts_with("0x")
            || at > 1 && words[at - 2..at] == ["by ", "goroutine "] && words[at - 3] == "was "
        {
            words[at] = ".. ";
        } else if at > 0 && words[at].starts_with("ms") {
            words[at - 1] = ".. ";
        }
    }
    words.concat()
}

#[test]
fn the_guide_shows_what_is_printed() {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "docs/guide/stuck.md"].iter().collect();
    let guide = fs::read_to_string(&path).unwrap();
    let mut written = String::new();
    let mut blocks = 0;
    let mut rest = &*guide;
    while let Some(at) = rest.find(COMMAND) {
        let (before, block) = rest.split_at(at);
        let (block, after) = block.split_at(block.find("```").expect("the end of the block"));
        let (command, shown) = block.split_once('\n').unwrap();
        let printed = output_of(command);
        if env::var_os("GOCHAN_BLESS").is_none() {
            assert_eq!(stable(shown), stable(printed.trim_end()) + "\n", "{command}\n{printed}");
        }
        written += &format!("{before}{command}\n{}\n", printed.trim_end());
        (rest, blocks) = (after, blocks + 1);
    }
    assert!(blocks > 0);
    if env::var_os("GOCHAN_BLESS").is_some() {
        fs::write(path, written + rest).unwrap();
    }
}
