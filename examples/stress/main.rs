//! `stress`: threads, goroutines and tasks, many more than processors, send and receive in every way there is - with
//! timeouts, dropped futures, cancelled actors, storms of close, selects both ways, a hundred thousand channels - and what
//! became of every value is kept account of: none is lost, none comes twice, and each producer's are in order where that is
//! promised. The process must not grow, and nothing may hang.
//!
//! ```text
//! cargo run --release --example stress -- --seconds 3600
//! cargo run --release --example stress -- --seed 7 --scene 123 --seconds 60    # that scene, again and again
//! ```
//!
//! Scenes are made from the seed; their schedules are not, so a scene that failed is best run again and again. Ends with 1 if
//! something was wrong, and says with which seed and in which scene.

mod health;
mod ledger;
mod scenes;
mod ways;

use clap::Parser;
use gochan::{debug, rt};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use scenes::{Plan, Stage};
use serde_json::json;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use ways::Random;

/// Stress channels, select and goroutines, and keep account of every value
#[derive(Parser)]
struct Args {
    /// How long
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,

    /// What the scenes are made from; the clock, if it is not given
    #[arg(long)]
    seed: Option<u64>,

    /// Only this scene, again and again
    #[arg(long)]
    scene: Option<u64>,

    /// Print the summary as JSON
    #[arg(long)]
    json: bool,

    /// Workers of the goroutines, and as many of the tasks
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    workers: u16,

    /// Channels at once where there are very many
    #[arg(long, default_value_t = 100_000)]
    channels: u32,

    /// A scene that takes so many seconds hangs
    #[arg(long, default_value_t = 120)]
    patience: u64,
}

/// The scene that is played, since when.
type Playing = Arc<Mutex<Option<(String, Instant)>>>;

/// Ends the process if a scene hangs: its actors cannot be stopped.
fn watch(playing: &Playing, patience: Duration) {
    let playing = playing.clone();
    thread::spawn(move || {
        loop {
            thread::sleep(Duration::from_millis(500));
            let hangs = playing.lock().unwrap().clone().filter(|(_, since)| since.elapsed() > patience);
            if let Some((scene, _)) = hangs {
                for channel in debug::channels().iter().take(50) {
                    eprint!("{channel}");
                }
                eprintln!("stress: hangs: {scene}");
                std::process::exit(1);
            }
        }
    });
}

fn main() -> ExitCode {
    let args = Args::parse();
    let seed = args.seed.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.as_nanos() as u64 % 1_000_000_000
    });
    eprintln!("stress: seed {seed}");
    let workers = usize::from(args.workers);
    let stage = Stage {
        workers: rt::Runtime::builder().workers(workers).build().expect("threads"),
        tokio: tokio::runtime::Builder::new_multi_thread()
            .worker_threads(workers)
            .enable_time()
            .build()
            .expect("threads"),
    };
    let playing = Playing::default();
    watch(&playing, Duration::from_secs(args.patience));
    let bar = ProgressBar::new(args.seconds.ceil() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:24} {pos}/{len} s  {msg}").expect("well-formed"));
    let start = Instant::now();
    let (mut scenes, mut messages, mut samples, mut failure) = (0_u64, 0, Vec::new(), None);
    while failure.is_none() && start.elapsed().as_secs_f64() < args.seconds {
        let number = args.scene.unwrap_or(scenes);
        let mut random = Random(seed ^ number.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let plan = Plan::new(&mut random);
        let scene = format!("--seed {seed} --scene {number}: {plan}");
        *playing.lock().unwrap() = Some((scene.clone(), Instant::now()));
        match plan.play(&stage, &mut random, args.channels) {
            Ok(received) => messages += received,
            Err(wrong) => failure = Some(format!("{wrong}: {scene}")),
        }
        scenes += 1;
        samples.extend(health::sample());
        bar.set_position(start.elapsed().as_secs().min(bar.length().unwrap_or(0)));
        bar.set_message(format!("{} scenes, {} values", HumanCount(scenes), HumanCount(messages)));
    }
    *playing.lock().unwrap() = None;
    bar.finish_and_clear();
    let [early, late] = match health::judge(&samples) {
        Ok(samples) => samples,
        Err(grows) => {
            failure.get_or_insert(format!("{grows}: --seed {seed}"));
            Default::default()
        }
    };
    let seconds = start.elapsed().as_secs_f64();
    if args.json {
        let summary = json!({
            "seed": seed, "seconds": seconds, "scenes": scenes, "values": messages, "failure": failure,
            "resident": [early.resident, late.resident], "files": [early.files, late.files],
        });
        println!("{summary}");
    } else {
        println!("{scenes} scenes, {messages} values, {seconds:.1} s, seed {seed}");
    }
    match failure {
        None => ExitCode::SUCCESS,
        Some(failure) => {
            eprintln!("stress: {failure}");
            ExitCode::FAILURE
        }
    }
}
