//! The second stage: N workers take paths, read and digest the files, and send the results on, in
//! whatever order they get done. A worker ends when `paths` is closed and empty, or when its
//! results are not wanted any more, or, in the middle of a file, when `done` is closed; it closes
//! nothing: the last one to drop its sender of `results` does.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use clap::ValueEnum;
use gochan::{Receiver, Sender};
use sha2::digest::DynDigest;

use crate::screen::Meter;
use crate::{Done, Job, Outcome};

/// Some 0.1 ms of work: what a cancelled worker finishes first.
const CHUNK: usize = 128 << 10;

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Algo {
    #[default]
    Sha256,
    Sha512,
    Sha1,
    Md5,
    Blake3,
}

pub(crate) struct Digest {
    pub(crate) hash: Vec<u8>,
    pub(crate) size: u64,
}

pub(crate) fn worker(algo: Algo, paths: &Receiver<Job>, results: &Sender<Outcome>, done: &Done, meter: &Meter) {
    let mut hasher = Hasher::new(algo);
    let mut chunk = vec![0; CHUNK];
    for Job { seq, path } in paths {
        let Some(result) = digest(&path, &mut hasher, &mut chunk, done, meter) else {
            return;
        };
        if results.send(Outcome { seq, path, result }).is_err() {
            return;
        }
    }
}

/// `None` if cancelled on the way.
fn digest(
    path: &Path,
    hasher: &mut Hasher,
    chunk: &mut [u8],
    done: &Done,
    meter: &Meter,
) -> Option<io::Result<Digest>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return Some(Err(error)),
    };
    let mut size = 0;
    hasher.reset();
    while !done.is_closed() {
        match file.read(chunk) {
            Ok(0) => {
                let hash = hasher.finish();
                return Some(Ok(Digest { hash, size }));
            }
            Ok(n) => {
                hasher.update(&chunk[..n]);
                size += n as u64;
                meter.digested(n);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Some(Err(error)),
        }
    }
    None
}

/// One per worker, for all its files.
enum Hasher {
    RustCrypto(Box<dyn DynDigest>),
    Blake3(Box<blake3::Hasher>),
}

impl Hasher {
    fn new(algo: Algo) -> Self {
        Hasher::RustCrypto(match algo {
            Algo::Sha256 => Box::new(sha2::Sha256::default()),
            Algo::Sha512 => Box::new(sha2::Sha512::default()),
            Algo::Sha1 => Box::new(sha1::Sha1::default()),
            Algo::Md5 => Box::new(md5::Md5::default()),
            Algo::Blake3 => return Hasher::Blake3(Box::default()),
        })
    }

    /// Forgets what a file that failed half-way has left behind.
    fn reset(&mut self) {
        match self {
            Hasher::RustCrypto(hasher) => hasher.reset(),
            Hasher::Blake3(hasher) => {
                hasher.reset();
            }
        }
    }

    fn update(&mut self, data: &[u8]) {
        match self {
            Hasher::RustCrypto(hasher) => hasher.update(data),
            Hasher::Blake3(hasher) => {
                hasher.update(data);
            }
        }
    }

    fn finish(&mut self) -> Vec<u8> {
        match self {
            Hasher::RustCrypto(hasher) => hasher.finalize_reset().into_vec(),
            Hasher::Blake3(hasher) => blake3::Hasher::finalize(hasher).as_bytes().to_vec(),
        }
    }
}
