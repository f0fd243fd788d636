//! The second stage: N workers take paths, read and digest the files, and send the results on, in
//! whatever order they get done. A worker ends when `paths` is closed and empty, or when its
//! results are not wanted any more, or, in the middle of a file, when `done` is closed; it closes
//! nothing: the last one to drop its sender of `results` does.
//!
//! Reading a file blocks a thread. A worker that is a goroutine lends it to [`rt::unblock`]: then its peers, the walker among
//! them, run on, and there are as many readers as workers whatever the number of the runtime's threads.
//!
//! With a timeout, a worker leaves the reading to a thread of its own, so that it can itself wait for
//! something else as well.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clap::ValueEnum;
use gochan::{Receiver, Sender, after, bounded, rt, select};
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

pub(crate) fn worker(
    algo: Algo,
    timeout: Option<Duration>,
    paths: &Receiver<Job>,
    results: &Sender<Outcome>,
    done: &Done,
    meter: &Arc<Meter>,
) {
    let send = |Job { seq, path }, digest: Option<_>| {
        digest.is_some_and(|result| results.send(Outcome { seq, path, result }).is_ok())
    };
    if let Some(timeout) = timeout {
        let mut impatient = Impatient { timeout, algo, done, meter, idle: None };
        for job in paths {
            let digest = impatient.digest(&job.path);
            if !send(job, digest) {
                break;
            }
        }
        return;
    }
    let mut digester = Digester::new(algo, meter.clone());
    while let Ok(first) = paths.recv() {
        // A goroutine waits for work, and leaves what there is to a thread, at once: a trip there takes longer than a small
        // file does.
        let mut jobs = iter::once(first).chain(paths.try_iter());
        let all_sent = rt::unblock(|| {
            jobs.all(|job| {
                let digest = digester.digest(&job.path, || done.is_closed());
                send(job, digest)
            })
        });
        if !all_sent {
            return;
        }
    }
}

/// Has another thread digest, and waits for whatever comes first.
struct Impatient<'a> {
    timeout: Duration,
    algo: Algo,
    done: &'a Done,
    meter: &'a Arc<Meter>,
    idle: Option<Reader>,
}

impl Impatient<'_> {
    /// `None` if cancelled on the way.
    fn digest(&mut self, path: &Path) -> Option<io::Result<Digest>> {
        let deadline = after(self.timeout);
        let reader = match self.idle.take().map_or_else(|| Reader::spawn(self.algo, self.meter.clone()), Ok) {
            Ok(reader) => reader,
            Err(error) => return Some(Err(error)),
        };
        reader.paths.send(path.into()).expect("idle is who waits for a path");
        select! {
            recv(reader.digests) -> digest => {
                self.idle = Some(reader);
                Some(digest.expect("only a panic ends a reader without a digest"))
            }
            recv(deadline) -> _ => {
                let error = format!("not digested within {:?}", self.timeout);
                Some(Err(io::Error::new(ErrorKind::TimedOut, error)))
            }
            recv(self.done.closed) -> _ => None,
        }
    }
}

/// A thread that digests. Whoever drops this leaves it behind: it finds its channels closed after a
/// chunk, or never, if it is stuck in the kernel; the end of the process does not wait for it.
struct Reader {
    paths: Sender<PathBuf>,
    digests: Receiver<io::Result<Digest>>,
}

impl Reader {
    fn spawn(algo: Algo, meter: Arc<Meter>) -> io::Result<Self> {
        let (paths, todo) = bounded::<PathBuf>(1);
        let (results, digests) = bounded(1);
        thread::Builder::new().spawn(move || {
            let mut digester = Digester::new(algo, meter);
            for path in todo {
                let Some(digest) = digester.digest(&path, || results.is_closed()) else {
                    return;
                };
                if results.send(digest).is_err() {
                    return;
                }
            }
        })?;
        Ok(Reader { paths, digests })
    }
}

/// What it takes to digest one file after the other.
struct Digester {
    hasher: Hasher,
    chunk: Vec<u8>,
    meter: Arc<Meter>,
}

impl Digester {
    fn new(algo: Algo, meter: Arc<Meter>) -> Self {
        Digester { hasher: Hasher::new(algo), chunk: vec![0; CHUNK], meter }
    }

    /// `None` if cancelled on the way.
    fn digest(&mut self, path: &Path, is_cancelled: impl Fn() -> bool) -> Option<io::Result<Digest>> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) => return Some(Err(error)),
        };
        let mut size = 0;
        self.hasher.reset();
        while !is_cancelled() {
            match file.read(&mut self.chunk) {
                Ok(0) => {
                    let hash = self.hasher.finish();
                    return Some(Ok(Digest { hash, size }));
                }
                Ok(n) => {
                    self.hasher.update(&self.chunk[..n]);
                    size += n as u64;
                    self.meter.digested(n);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }
}

enum Hasher {
    RustCrypto(Box<dyn DynDigest + Send>),
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
