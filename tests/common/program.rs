//! Programs that are run as processes of their own.

use super::example;
use std::io::Read;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What a program has left.
pub(crate) struct End {
    /// `None`: it had not ended after the time that it was given.
    pub(crate) status: Option<ExitStatus>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl End {
    /// Runs the example `program`, for `time` at most.
    pub(crate) fn of_program(program: &str, argument: &str, environment: &[(&str, &str)], time: Duration) -> Self {
        let mut command = Command::new(example(program));
        command.arg(argument).envs(environment.iter().copied()).env_remove("RUST_BACKTRACE");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        thread::scope(|scope| {
            let read = |pipe: &mut dyn Read| {
                let mut text = String::new();
                pipe.read_to_string(&mut text).unwrap();
                text
            };
            let out = scope.spawn(move || read(&mut out));
            let err = scope.spawn(move || read(&mut err));
            let start = Instant::now();
            let status = loop {
                match child.try_wait().unwrap() {
                    None if start.elapsed() < time => thread::sleep(Duration::from_millis(5)),
                    None => {
                        child.kill().unwrap();
                        child.wait().unwrap();
                        break None;
                    }
                    ended => break ended,
                }
            };
            Self { status, out: out.join().unwrap(), err: err.join().unwrap() }
        })
    }
}
