//! The tree, file by file, in the order of the output: the walker's source of paths, and, for the
//! progress bar, the survey's. Nothing is sent or closed here; the walk ends after the last file,
//! or early once `done` is closed.
//!
//! `sort` compares whole paths, byte by byte: `a-b` < `a.b` < `a/b`, wherever the slash comes from.
//! Sorting a directory's entries with the slash already appended to its subdirectories gives that
//! very order while walking, so that output can begin before the walk is over. What is held is the
//! entries of the directories on the way down, and no more.

use std::ffi::OsString;
use std::fs::{self, DirEntry};
use std::io;
use std::path::PathBuf;
use std::vec;

use gochan::rt;

use crate::Done;

/// The regular files below `.`, named as `find .` names them; symbolic links are not followed. A
/// directory that cannot be read is an error in its place, before those of its files that were.
pub(crate) struct Walk<'a> {
    levels: Vec<Level>,
    done: &'a Done,
}

/// What is left of one directory. A subdirectory's name ends in a slash.
struct Level {
    dir: OsString,
    names: vec::IntoIter<OsString>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(done: &'a Done) -> Self {
        let root = Level { dir: OsString::new(), names: vec![OsString::from("./")].into_iter() };
        Walk { levels: vec![root], done }
    }

    fn enter(&mut self, dir: OsString) -> io::Result<()> {
        let mut names = Vec::new();
        let read = rt::unblock(|| self.read(&dir, &mut names));
        names.sort_unstable();
        let names = names.into_iter();
        self.levels.push(Level { dir, names });
        read
    }

    fn read(&self, dir: &OsString, names: &mut Vec<OsString>) -> io::Result<()> {
        for entry in fs::read_dir(dir)? {
            names.extend(key(&entry?));
            if self.done.is_closed() {
                break;
            }
        }
        Ok(())
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<PathBuf, (PathBuf, io::Error)>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.done.is_closed() {
            let level = self.levels.last_mut()?;
            let Some(name) = level.names.next() else {
                self.levels.pop();
                continue;
            };
            let mut path = level.dir.clone();
            path.push(&name);
            if !name.as_encoded_bytes().ends_with(b"/") {
                return Some(Ok(path.into()));
            }
            if let Err(error) = self.enter(path.clone()) {
                return Some(Err((path.into(), error)));
            }
        }
        None
    }
}

/// The name to sort by; `None` for what has no content to digest: links, FIFOs, sockets, devices.
fn key(entry: &DirEntry) -> Option<OsString> {
    let mut name = entry.file_name();
    match entry.file_type() {
        Ok(kind) if kind.is_dir() => name.push("/"),
        Ok(kind) if !kind.is_file() => return None,
        // What cannot be told apart is taken for a file, and its worker reports why.
        Ok(_) | Err(_) => {}
    }
    Some(name)
}
