//! The model against Go itself: random programs are played by `tests/go/`, one operation at a time, and the checker must
//! explain what Go's channels did, knowing that all goroutines are blocked for good after each.
//!
//! Needs Go 1.25 or later, as `$GO` or on the path; without it the test says so and passes.

mod history;
mod model;

use history::program::Rng;
use history::{History, Kind, Record, check, diagram};
use model::op::{Arm, Op, Patience, Ret, Took};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

const GOROUTINES: u64 = 5;

/// Builds what plays programs; why it cannot be, if so.
fn interpreter() -> Result<PathBuf, String> {
    let go = std::env::var("GO").unwrap_or("go".into());
    let version = Command::new(&go).arg("version").output().map_err(|error| format!("no Go: {go}: {error}"))?;
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let minor = version.split("go1.").nth(1).and_then(|rest| rest.split(['.', ' ']).next()?.parse::<u32>().ok());
    if minor.is_none_or(|minor| minor < 25) {
        return Err(format!("{go} is older than Go 1.25, which has synctest: {version}"));
    }
    println!("{version}");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/go");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interpret");
    let built = Command::new(&go).args(["test", "-c", "-o"]).arg(&program).current_dir(source).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    Ok(program)
}

/// A program: its channels, and its operations with who does them.
struct Program {
    capacities: Vec<usize>,
    ops: Vec<(usize, Op)>,
}

fn program(seed: u64) -> Program {
    let mut rng = Rng(seed);
    let channels = 1 + rng.below(3);
    let capacities = (0..channels).map(|_| rng.pick(&[0, 0, 1, 2, 3])).collect();
    let closes = rng.once_in(2);
    let mut value = 0;
    let op = |rng: &mut Rng| {
        let c = rng.below(channels) as usize;
        value += 10;
        let patience = if rng.once_in(4) { Patience::Not } else { Patience::Forever };
        match rng.below(20) {
            0 if closes => Op::Close(c),
            0 | 1 => Op::Len(c),
            2..7 => Op::Recv(c, patience),
            7..12 => Op::Send(c, value, patience),
            _ => {
                let arm = |i: u64| match (rng.below(channels) as usize, rng.once_in(2)) {
                    (c, true) => Arm::Send(c, value + i as u32),
                    (c, false) => Arm::Recv(c),
                };
                let count = [1, 2, 2, 3, 4][value as usize / 10 % 5];
                Op::SelectGo((0..count).map(arm).collect(), patience)
            }
        }
    };
    let ops = std::iter::repeat_with({
        let mut op = op;
        let mut rng = Rng(seed ^ 0xabcd);
        move || (rng.below(GOROUTINES) as usize, op(&mut rng))
    });
    Program { capacities, ops: ops.take(40).collect() }
}

impl Program {
    /// In the words of `tests/go/`.
    fn said(&self) -> String {
        let mut said = String::from("chans");
        self.capacities.iter().for_each(|cap| _ = write!(said, " {cap}"));
        for (actor, op) in &self.ops {
            let tries = if op.patience() == Patience::Not { "try" } else { "" };
            let _ = write!(said, "\n{actor} ");
            let _ = match op {
                Op::Send(c, value, _) => write!(said, "{tries}send {c} {value}"),
                Op::Recv(c, _) => write!(said, "{tries}recv {c}"),
                Op::Len(c) => write!(said, "len {c}"),
                Op::Close(c) => write!(said, "close {c}"),
                Op::SelectGo(arms, _) => arms.iter().fold(write!(said, "{tries}select"), |_, arm| match arm {
                    Arm::Send(c, value) => write!(said, " s{c}:{value}"),
                    Arm::Recv(c) => write!(said, " r{c}"),
                }),
                other => unreachable!("{other}"),
            };
        }
        said + "\n\n"
    }

    /// The history that Go's answers tell.
    fn history(&self, answers: &mut dyn Iterator<Item = &str>) -> History {
        let mut lanes: Vec<Vec<Record>> = vec![vec![]; GOROUTINES as usize];
        let mut quiescent = Vec::new();
        for (stamp, (actor, op)) in (1..).step_by(20).zip(&self.ops) {
            let answer = answers.next().expect("an answer");
            if answer == "busy" {
                continue;
            }
            let record = Record { actor: *actor, op: op.clone(), invoked: stamp, returned: None, joined: false };
            lanes[*actor].push(record);
            for (place, ended) in (1..).zip(answer.split_whitespace()) {
                let (who, what) = ended.split_once('=').expect("who=what");
                let record = lanes[who.parse::<usize>().unwrap()].last_mut().expect("it does something");
                record.returned = Some((stamp + place, returned(&record.op, what)));
            }
            quiescent.push(stamp + 19);
        }
        let count = GOROUTINES as usize;
        History {
            capacities: self.capacities.iter().copied().map(Some).collect(),
            actors: vec![Kind::Goroutine; count],
            senders: count,
            receivers: count,
            records: lanes.concat(),
            quiescent,
        }
    }
}

fn returned(op: &Op, said: &str) -> Ret {
    let words: Vec<&str> = said.split(':').collect();
    let number = |text: &str| text.parse().unwrap();
    match (words.as_slice(), op) {
        (["sent"], _) => Ret::Ok,
        (["full"], _) => Ret::Full,
        (["empty"], _) => Ret::Empty,
        (["default"], _) => Ret::Default,
        (["first"], _) => Ret::First(true),
        (["closed"], Op::Close(_)) => Ret::First(false),
        (["closed"], _) => Ret::Closed,
        (["len", len], _) => Ret::Len(len.parse().unwrap()),
        (["got", value], _) => Ret::Got(number(value)),
        (["arm", arm, "sent"], _) => Ret::Chose(arm.parse().unwrap(), Took::Sent),
        (["arm", arm, "closed"], _) => Ret::Chose(arm.parse().unwrap(), Took::Closed),
        (["arm", arm, "got", value], _) => Ret::Chose(arm.parse().unwrap(), Took::Got(number(value))),
        other => panic!("Go says {other:?}"),
    }
}

#[test]
fn the_model_explains_go() {
    let interpreter = match interpreter() {
        Ok(interpreter) => interpreter,
        Err(why) => return println!("skipped: {why}"),
    };
    let count = std::env::var("GOCHAN_PROGRAMS").map_or(3000, |count| count.parse().expect("a number"));
    let mut go = Command::new(interpreter);
    let mut go = go.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = go.stdin.take().unwrap();
    let writer =
        thread::spawn(move || (0..count).for_each(|seed| input.write_all(program(seed).said().as_bytes()).unwrap()));
    let output = go.wait_with_output().unwrap();
    writer.join().unwrap();
    let answers = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{answers}");
    let mut lines = answers.lines();
    let (mut parked, mut chosen, mut doctored) = (0, 0, 0);
    for seed in 0..count {
        let history = program(seed).history(&mut lines);
        if let Err(unexplained) = check(&history) {
            panic!("the model does not explain Go, seed {seed}:\n{}", diagram(&history, Some(&unexplained)));
        }
        let waited = |record: &&Record| record.returned.is_none_or(|(at, _)| at / 20 != record.invoked / 20);
        parked += history.records.iter().filter(waited).count();
        chosen += history.records.iter().filter(|r| matches!(r.returned, Some((_, Ret::Chose(..))))).count();
        // With one answer changed it must not be explained.
        let mut wrong = history.clone();
        if let Some((_, Ret::Got(value))) =
            wrong.records.iter_mut().rev().find_map(|record| match &mut record.returned {
                Some(returned @ (_, Ret::Got(_))) => Some(returned),
                _ => None,
            })
        {
            *value += 1_000_000;
            assert!(check(&wrong).is_err(), "seed {seed}");
            doctored += 1;
        }
    }
    println!("{count} programs; {parked} operations waited, {chosen} selects chose, {doctored} doctored");
    assert!(parked > count as usize && chosen > count as usize && doctored > count as usize / 2);
}
