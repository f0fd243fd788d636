//! The examples as processes. `treesum` has tests of its own.
#![cfg(unix)]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn run(example: &str, arguments: &[&str]) -> Output {
    Command::new(common::example(example)).args(arguments).output().unwrap()
}

#[test]
fn sieve_finds_primes() {
    for workers in ["1", "2", "5"] {
        let output = run("sieve", &["200", "--workers", workers]);
        let text = String::from_utf8(output.stdout).unwrap();
        let primes: Vec<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
        let expected = (2..).filter(|n| (2..*n).take_while(|d| d * d <= *n).all(|d| n % d != 0)).take(200);
        assert!(primes.iter().copied().eq(expected), "{text}");
        assert!(output.status.success() && String::from_utf8_lossy(&output.stderr).starts_with("200 primes in "));
    }
}

#[test]
fn http_hello_answers_itself() {
    for workers in ["1", "3"] {
        let output = run("http_hello", &["--listen", "127.0.0.1:0", "--workers", workers, "--self-test", "1003"]);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{out}{err}");
        assert!(out.contains("\n1003 requests were answered in "), "{out}{err}");
        assert_eq!(err, "");
    }
}

/// A client that is no goroutine keeps its connection open: Ctrl-C ends that, and the server.
#[test]
fn http_hello_ends_by_ctrl_c() {
    let mut server = Command::new(common::example("http_hello"));
    let mut server = server.args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(b"GET /thread HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"Hello, thread!\n") {
        let mut bytes = [0; 1024];
        let read = stream.read(&mut bytes).unwrap();
        assert_ne!(read, 0, "{}", answer.escape_ascii());
        answer.extend_from_slice(&bytes[..read]);
    }
    // The connection is idle, and open.
    let id = libc::pid_t::try_from(server.id()).unwrap();
    // SAFETY: a signal to a child that has not been waited for.
    assert_eq!(unsafe { libc::kill(id, libc::SIGINT) }, 0);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "closed");
    let start = Instant::now();
    let status = loop {
        match server.try_wait().unwrap() {
            Some(status) => break status,
            None if start.elapsed() > Duration::from_secs(30) => {
                server.kill().unwrap();
                panic!("http_hello hangs");
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    assert!(status.success());
}

/// Loosely, by the best of some rounds: the machine is others' too, of which eight threads get more than two workers. What
/// `spread` prints is what it is for.
#[test]
fn computing_is_spread() {
    let output = run("spread", &["--rounds", "7", "--piece", "10", "--jobs", "100"]);
    let text = String::from_utf8(output.stdout).unwrap();
    println!("{text}");
    let best = |line: &str| line.trim_end_matches(')').rsplit(' ').next().unwrap().parse::<f64>().unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.lines().all(|line| best(line) > 0.6), "{text}");
}

/// Each of the small programs works, and with its bug does not; what is said of that is in the guide, and in its test.
#[test]
#[cfg(target_os = "linux")]
fn stuck_works_without_its_bugs() {
    let programs = [
        ("first-answer", "ams was first\n", 0),
        ("transfer", "70 and 30\n", 2),
        ("squares", "the sum is 385\n", 2),
        ("bulk", "20 answers\n", 2),
        ("generator", "[0, 1, 4]\n", 0),
        ("heartbeat", "the heart was steady\n", 0),
    ];
    for (program, out, code) in programs {
        let output = run("stuck", &[program]);
        let text = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(output.status.success() && text == (out.into(), String::new()), "{program}: {text:?}");
        let output = run("stuck", &[program, "--bug"]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.code() == Some(code) && text != out, "{program}: {text}");
        assert!(run("stuck", &[program, "--help"]).status.success());
    }
}

/// A short run: nothing is lost, nothing comes twice, nothing hangs. The runner itself is for hours.
#[test]
fn stress_keeps_account() {
    let output = run("stress", &["--seconds", "5", "--channels", "2000", "--json"]);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    let summary: serde_json::Value = serde_json::from_str(&out).unwrap();
    println!("{summary}");
    assert!(summary["failure"].is_null() && summary["values"].as_u64() > Some(1000), "{summary}");
}
