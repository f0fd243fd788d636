//! The example `treesum` as a process: its output against coreutils' byte by byte, and every way it
//! can end; with goroutines for its stages, and with threads.
//!
//! The trees are made afresh for each test. What root cannot read either is a path longer than the
//! system takes: no permission, no mount and no privilege is needed for it.
#![cfg(target_os = "linux")]

mod common;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

/// More than any of these runs takes on a busy machine; who is not through then hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Larger than any disk, and reading it takes as long as anybody likes.
const ENDLESS: u64 = 1 << 38;

/// What makes its stages goroutines, and threads.
const FORMS: [&[&str]; 2] = [&[], &["--threads"]];

/// A directory that goes away with its test.
struct Tree(PathBuf);

impl Tree {
    /// The name is the test's own: tests run side by side.
    fn new(name: &str) -> Self {
        let name = format!("treesum-{name}-{}", std::process::id());
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).unwrap();
        Tree(root)
    }

    /// Every name that has ever broken a pipeline of commands.
    fn awkward(name: &str) -> Self {
        let tree = Tree::new(name);
        for name in ["a-b/x", "a/b", "a/b c", "a.b", "ab", "a!", "a0/y", "a/c/d/e/f"] {
            tree.file(name, name);
        }
        tree.file("new\nline", "1");
        tree.file("back\\slash", "2");
        tree.file("d\n\\/both", "3");
        tree.file("\\", "4");
        tree.file(" ", "5");
        tree.file("-n", "6");
        tree.file("\t\x1b[31m\"'$x`*?", "7");
        tree.file(OsStr::from_bytes(b"not\xff\xfeutf-8"), "8");
        tree.file(OsStr::from_bytes(b"\xc3/\xa9\n"), "9");
        tree.file("grün", "10");
        tree.file("empty", "");
        tree.file("chunks", "0123456789abcdef".repeat(40_000));
        fs::create_dir_all(tree.0.join("nothing/in/here")).unwrap();
        symlink(".", tree.0.join("loop")).unwrap();
        symlink("itself", tree.0.join("itself")).unwrap();
        symlink("a.b", tree.0.join("link")).unwrap();
        symlink("nowhere", tree.0.join("dangling")).unwrap();
        let fifo = Command::new("mkfifo").arg(tree.0.join("fifo")).status();
        assert!(fifo.unwrap().success());
        tree
    }

    /// Two readable files, "a" and "z", and between them a file and a directory that nobody can read.
    fn unreadable(name: &str) -> Self {
        let tree = Tree::new(name);
        tree.file("a", "");
        tree.file("z", "");
        // A path that long cannot be made in one go either, but a directory can be moved there.
        let half = [&*"d".repeat(200); 10].join("/");
        tree.file(Path::new("half").join(&half).join("f".repeat(200)), "");
        tree.file(Path::new("half").join(&half).join("g".repeat(200)).join("h"), "");
        fs::create_dir_all(tree.0.join(&half)).unwrap();
        let top = "d".repeat(200);
        fs::rename(tree.0.join("half").join(&top), tree.0.join(&half).join(&top)).unwrap();
        fs::remove_dir(tree.0.join("half")).unwrap();
        tree
    }

    fn file(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Zeros without end that take no room: all hole.
    fn hole(&self, name: &str, len: u64) {
        let file = File::create(self.0.join(name)).unwrap();
        file.set_len(len).unwrap();
    }

    /// A file that nobody else gets open while what is returned is held: for lease-break-time, 45 s by default,
    /// whoever tries is stuck in the kernel. `None` where there are no leases.
    fn stuck(&self, name: &str) -> Option<File> {
        unsafe extern "C" {
            fn fcntl(fd: i32, cmd: i32, ...) -> i32;
        }
        const F_SETSIG: i32 = 10;
        const F_SETLEASE: i32 = 1024;
        const F_WRLCK: i32 = 1;
        const SIGURG: i32 = 23;
        self.file(name, "");
        let file = File::options().write(true).open(self.0.join(name)).unwrap();
        // SAFETY: both take a number and touch no memory of ours.
        let fcntl = |cmd, arg: i32| unsafe { fcntl(file.as_raw_fd(), cmd, arg) };
        // Who holds a lease is told of the other by a signal: one that is ignored unless asked for.
        (fcntl(F_SETSIG, SIGURG) == 0 && fcntl(F_SETLEASE, F_WRLCK) == 0).then_some(file)
    }

    /// What the real tools print.
    fn pipeline(&self, tool: &str) -> Vec<u8> {
        let script = format!("find . -type f -print0 | LC_ALL=C sort -z | xargs -0 {tool}");
        let mut sh = Command::new("sh");
        sh.args(["-c", &script]).current_dir(&self.0);
        sh.output().unwrap().stdout
    }

    /// Runs it in both forms, which must not differ.
    fn treesum(&self, options: &[&str]) -> Output {
        let [output, other] = FORMS.map(|form| self.run(&[form, options].concat()));
        assert_same(&other.stdout, &output.stdout);
        assert_same(&other.stderr, &output.stderr);
        assert_eq!(other.status, output.status);
        output
    }

    fn run(&self, options: &[&str]) -> Output {
        let child = self.spawn(options);
        let (pid, done) = (child.id(), std::sync::mpsc::channel());
        let waiter = thread::spawn(move || {
            let output = child.wait_with_output().unwrap();
            let _ = done.0.send(());
            output
        });
        if done.1.recv_timeout(PATIENCE).is_err() {
            signal(pid, "KILL");
            panic!("treesum {options:?} hangs: {:?}", waiter.join());
        }
        waiter.join().unwrap()
    }

    fn spawn(&self, options: &[&str]) -> Child {
        let mut command = Command::new(&*TREESUM);
        command.args(options).arg(&self.0);
        command.stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

static TREESUM: LazyLock<PathBuf> = LazyLock::new(|| common::example("treesum"));

fn signal(pid: u32, name: &str) {
    let kill = format!("kill -s {name} {pid}");
    let status = Command::new("sh").args(["-c", &kill]).status();
    assert!(status.unwrap().success());
}

/// Like `wait`, but a child that hangs is a failure and not a test without end.
fn wait(child: &mut Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("treesum hangs");
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Sends what Ctrl-C sends, and returns how it took it.
fn interrupt(child: &mut Child) -> (ExitStatus, Duration) {
    let start = Instant::now();
    signal(child.id(), "INT");
    let status = wait(child);
    (status, start.elapsed())
}

fn stderr(child: &mut Child) -> String {
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    text
}

#[track_caller]
fn assert_same(got: &[u8], want: &[u8]) {
    assert!(got == want, "got:\n{}\nwant:\n{}", got.escape_ascii(), want.escape_ascii());
}

#[test]
fn prints_what_coreutils_prints() {
    let tree = Tree::awkward("coreutils");
    for algo in ["sha256", "sha512", "sha1", "md5"] {
        let want = tree.pipeline(&format!("{algo}sum"));
        assert_eq!(want.iter().filter(|&&byte| byte == b'\n').count(), 20);
        for workers in ["1", "2", "13"] {
            let output = tree.treesum(&["--algo", algo, "--workers", workers]);
            assert_same(&output.stdout, &want);
            assert_same(&output.stderr, b"");
            assert_eq!(output.status.code(), Some(0));
        }
    }
}

/// Not left to the comparison: coreutils before 9.0 let a carriage return stand.
#[test]
fn escapes_a_carriage_return() {
    let tree = Tree::new("return");
    tree.file("a\rb", "");
    let want = b"\\d41d8cd98f00b204e9800998ecf8427e  ./a\\rb\n";
    assert_same(&tree.treesum(&["--algo", "md5"]).stdout, want);
}

#[test]
fn blake3_of_nothing() {
    let tree = Tree::new("blake3");
    tree.file("empty", "");
    let want = b"af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262  ./empty\n";
    assert_same(&tree.treesum(&["--algo", "blake3"]).stdout, want);
}

/// More files than may wait for their turn, behind one that takes longer than all of them.
#[test]
fn slow_file_first() {
    let tree = Tree::new("slow");
    tree.hole("0", if cfg!(debug_assertions) { 16 } else { 256 } << 20);
    for n in 0..5000 {
        File::create(tree.0.join(format!("{n:04}"))).unwrap();
    }
    let output = tree.treesum(&["--workers", "4"]);
    assert_same(&output.stdout, &tree.pipeline("sha256sum"));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn json_names_every_file_without_loss() {
    let tree = Tree::awkward("json");
    let output = tree.treesum(&["--json"]);
    let mut lines = Vec::new();
    for line in output.stdout.split_inclusive(|&byte| byte == b'\n') {
        let object: serde_json::Value = serde_json::from_slice(line).unwrap();
        assert_eq!(object["algo"], "sha256");
        let path = object["path"].as_str().unwrap();
        let name = match object["path_hex"].as_str() {
            None => path.as_bytes().to_vec(),
            Some(hex) => {
                (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
            }
        };
        let size = fs::metadata(tree.0.join(OsStr::from_bytes(&name))).unwrap().len();
        assert_eq!(object["size"], size);
        lines.extend_from_slice(object["digest"].as_str().unwrap().as_bytes());
        lines.extend([b"  ", &*name, b"\0"].concat());
    }
    // `--zero` is how sha256sum says it without escapes.
    assert_same(&lines, &tree.pipeline("sha256sum --zero"));
}

#[test]
fn unreadable_is_reported_and_the_run_goes_on() {
    let tree = Tree::unreadable("unreadable");
    let output = tree.treesum(&["--color", "always"]);
    assert_same(&output.stdout, &tree.pipeline("sha256sum"));
    assert!(output.stdout.ends_with(b"  ./z\n"));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr.matches("File name too long").count(), 2, "{stderr}");
    assert!(stderr.contains("treesum:\x1b[0m 2 could not be read\n"), "{stderr}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn fail_fast_stops_at_the_first() {
    let tree = Tree::unreadable("fail-fast");
    tree.hole("zz", ENDLESS);
    let output = tree.treesum(&["--fail-fast", "--algo", "md5"]);
    assert_same(&output.stdout, b"d41d8cd98f00b204e9800998ecf8427e  ./a\n");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("treesum: \"./ddd") && stderr.contains("fff\": File name too long"));
    assert_eq!(output.status.code(), Some(1));
}

/// With time enough a timeout shows nowhere.
#[test]
fn file_timeout_that_does_not_come() {
    let tree = Tree::awkward("patient");
    let want = tree.pipeline("sha256sum");
    for seconds in ["60", "1e9", "1e18"] {
        let output = tree.treesum(&["--file-timeout", seconds, "--workers", "3"]);
        assert_same(&output.stdout, &want);
        assert_same(&output.stderr, b"");
        assert_eq!(output.status.code(), Some(0));
    }
}

/// Only one worker: it must have given the large files up to come to the others.
#[test]
fn file_timeout_gives_up_on_large_files() {
    let tree = Tree::new("timeout");
    for name in ["a", "c", "e"] {
        tree.file(name, name);
    }
    let want = tree.pipeline("sha256sum");
    tree.hole("b", ENDLESS);
    tree.hole("d", ENDLESS);
    let output = tree.treesum(&["--file-timeout", "0.5", "--workers", "1"]);
    assert_same(&output.stdout, &want);
    let stderr = "\
treesum: \"./b\": not digested within 500ms
treesum: \"./d\": not digested within 500ms
treesum: 2 could not be read
";
    assert_same(&output.stderr, stderr.as_bytes());
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn file_timeout_and_fail_fast() {
    let tree = Tree::new("fast-timeout");
    tree.file("a", "");
    tree.hole("b", ENDLESS);
    tree.file("c", "");
    let output = tree.treesum(&["--file-timeout", "0.5", "--fail-fast", "--algo", "md5"]);
    assert_same(&output.stdout, b"d41d8cd98f00b204e9800998ecf8427e  ./a\n");
    assert_same(&output.stderr, b"treesum: \"./b\": not digested within 500ms\n");
    assert_eq!(output.status.code(), Some(1));
}

/// No thread gets out of the kernel to look at a clock there, so it must not be the worker that is in it.
#[test]
fn file_timeout_gives_up_on_what_is_stuck_in_the_kernel() {
    let tree = Tree::new("lease");
    tree.file("a", "1");
    tree.file("c", "2");
    let want = tree.pipeline("sha256sum");
    let Some(_lease) = tree.stuck("b") else {
        eprintln!("not tested: no leases on this file system");
        return;
    };
    let start = Instant::now();
    let output = tree.treesum(&["--file-timeout", "0.5", "--workers", "1"]);
    assert!(start.elapsed() < PATIENCE / 2, "took {:?}", start.elapsed());
    assert_same(&output.stdout, &want);
    let stderr = b"treesum: \"./b\": not digested within 500ms\ntreesum: 1 could not be read\n";
    assert_same(&output.stderr, stderr);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn bad_usage_and_a_directory_that_is_not_there() {
    let tree = Tree::new("usage");
    assert_eq!(tree.treesum(&["--workers", "0"]).status.code(), Some(2));
    assert_eq!(tree.treesum(&["--algo", "crc"]).status.code(), Some(2));
    for seconds in ["0", "-1", "inf", "nan", "1e300", "1e-12", "soon", ""] {
        let option = format!("--file-timeout={seconds}");
        assert_eq!(tree.treesum(&[&option]).status.code(), Some(2), "{option}");
    }
    let help = tree.treesum(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(help.stdout.starts_with(b"Digest every file"));
    fs::remove_dir(&tree.0).unwrap();
    let output = tree.treesum(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("No such file or directory"));
}

#[test]
fn ctrl_c_in_the_middle_of_large_files() {
    ctrl_c_in_the_middle(Tree::new("ctrl-c"), &[]);
}

#[test]
fn ctrl_c_before_a_file_timeout() {
    ctrl_c_in_the_middle(Tree::new("ctrl-c-timeout"), &["--file-timeout", "60"]);
}

fn ctrl_c_in_the_middle(tree: Tree, options: &[&str]) {
    tree.file("a", "");
    for name in ["b", "c", "d"] {
        tree.hole(name, ENDLESS);
    }
    FORMS.iter().for_each(|form| interrupt_in_the_middle(&tree, &[form, options].concat()));
}

fn interrupt_in_the_middle(tree: &Tree, options: &[&str]) {
    let mut child = tree.spawn(&[&["--workers", "3", "--verbose"], options].concat());
    // With this line out, the workers have nothing left to do but the large files.
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.ends_with("  ./a\n"), "{line}");
    let (status, took) = interrupt(&mut child);
    let stderr = stderr(&mut child);
    assert_eq!(status.code(), Some(130), "{stderr}");
    assert!(took < Duration::from_secs(1), "took {took:?}");
    assert!(stderr.contains("1 files, 0 B, 0 errors in "), "{stderr}");
    assert!(stderr.contains("; joined 3 workers\n"), "{stderr}");
    assert!(stderr.ends_with("treesum: interrupted\n"), "{stderr}");
}

/// The main thread hangs in a write, where no channel reaches it.
#[test]
fn ctrl_c_with_a_reader_that_does_not_read() {
    let tree = Tree::new("stuck");
    for n in 0..2000 {
        File::create(tree.0.join(format!("{n:04}"))).unwrap();
    }
    for form in FORMS {
        let mut child = tree.spawn(form);
        // The pipe holds less than the whole output; wherever this finds the process, it must end.
        thread::sleep(Duration::from_millis(300));
        let (status, took) = interrupt(&mut child);
        assert_eq!(status.code(), Some(130));
        assert!(took < Duration::from_secs(1), "took {took:?}");
    }
}

#[test]
fn ends_quietly_when_the_reader_goes_away() {
    let tree = Tree::new("head");
    for n in 0..2000 {
        File::create(tree.0.join(format!("{n:04}"))).unwrap();
    }
    for form in FORMS {
        let mut child = tree.spawn(form);
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert!(line.ends_with("  ./0000\n"), "{line}");
        drop(reader);
        let status = wait(&mut child);
        assert_eq!(stderr(&mut child), "");
        assert_eq!(status.code(), Some(141));
    }
}

/// With no DIR it is the toolchain's own tree: the first lines of it, and then no more.
#[test]
fn default_is_the_toolchain() {
    let mut command = Command::new(&*TREESUM);
    command.args(["--algo", "md5"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("  ./"), "{line}");
    wait(&mut child);
}
