//! `http_hello`: an HTTP server in which every connection is a goroutine. The sockets are tokio's, the protocol is hyper's;
//! a goroutine awaits both with [`rt::block_on`], as if they were blocking calls.
//!
//! ```text
//! cargo run --release --example http_hello                       # then: curl http://127.0.0.1:8080/you
//! cargo run --release --example http_hello -- --self-test 10000
//! ```
//!
//! tokio's runtime has one thread here, which waits for sockets and timers and runs no task; the goroutines' workers have
//! entered it (`Runtime::builder().tokio(..)`), so that a socket made on one of them knows whom to ask.
//!
//! **How it ends.** Ctrl-C closes `done`. The goroutine that accepts selects on that beside its listener; each connection beside
//! its protocol, and answers what it has begun to read. [`rt::scope`] returns when the last of them has ended.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use gochan::rt::{self, Runtime};
use gochan::{Receiver, bounded};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, client, server};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

/// Clients of the self-test, each a goroutine with a connection of its own.
const CLIENTS: usize = 8;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Answer HTTP requests, every connection in a goroutine of its own.
#[derive(Clone, Parser)]
struct Args {
    /// Where to listen; port 0 is any that is free
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// Threads that run goroutines [default: one per available core]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,

    /// Send so many requests to itself, check the answers, and end
    #[arg(long, value_name = "REQUESTS")]
    self_test: Option<usize>,
}

/// What is said to who asks for `/name`.
fn greeting(path: &str) -> String {
    match path.trim_start_matches('/') {
        "" => "Hello!\n".into(),
        name => format!("Hello, {name}!\n"),
    }
}

async fn hello(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from(greeting(request.uri().path()))))
}

/// One connection, to its end; once `done` is closed, to the end of what is being answered.
fn serve(stream: TcpStream, done: &Receiver<Infallible>) -> Result<(), hyper::Error> {
    rt::block_on(async {
        let mut connection =
            pin!(server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(hello)));
        tokio::select! {
            ended = connection.as_mut() => return ended,
            _ = done.recv_async() => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    })
}

/// Accepts until `done` is closed; returns when every connection has ended.
fn accept(listener: &TcpListener, done: &Receiver<Infallible>) {
    rt::scope(|scope| {
        loop {
            let accepted = rt::block_on(async {
                tokio::select! {
                    accepted = listener.accept() => Some(accepted),
                    _ = done.recv_async() => None,
                }
            });
            match accepted {
                None => break,
                Some(Ok((stream, peer))) => drop(scope.go(move || {
                    if let Err(error) = serve(stream, done) {
                        eprintln!("http_hello: {peer}: {error}");
                    }
                })),
                // Too many open files, or a peer that is gone already: the others go on.
                Some(Err(error)) => {
                    eprintln!("http_hello: {error}");
                    rt::sleep(std::time::Duration::from_millis(10));
                }
            }
        }
    });
}

/// Sends `requests` requests on one connection, and checks every answer.
fn client(to: SocketAddr, me: usize, requests: usize) -> Result<(), Error> {
    let stream = rt::block_on(TcpStream::connect(to))?;
    let (mut sender, connection) = rt::block_on(client::conn::http1::handshake(TokioIo::new(stream)))?;
    let connection = gochan::go(move || rt::block_on(connection));
    for i in 0..requests {
        let path = format!("/client-{me}-{i}");
        let request = Request::get(&path).header("host", to.to_string()).body(Empty::<Bytes>::new())?;
        let answer = rt::block_on(async {
            sender.ready().await?;
            let answer = sender.send_request(request).await?;
            answer.into_body().collect().await
        })?;
        if answer.to_bytes() != greeting(&path) {
            return Err(format!("a wrong answer to {path}").into());
        }
    }
    drop(sender);
    Ok(connection.join()??)
}

fn self_test(to: SocketAddr, requests: usize) -> Result<(), Error> {
    let start = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|me| {
            let share = requests / CLIENTS + usize::from(me < requests % CLIENTS);
            gochan::go(move || client(to, me, share))
        })
        .collect();
    for client in clients {
        client.join()??;
    }
    println!("{requests} requests were answered in {:.2?}", start.elapsed());
    Ok(())
}

fn run(args: &Args) -> Result<(), Error> {
    let listener = rt::block_on(TcpListener::bind(args.listen)).map_err(|error| format!("{}: {error}", args.listen))?;
    let address = listener.local_addr()?;
    println!("listening on http://{address}");
    let (open, done) = bounded(0);
    let stop = done.clone();
    ctrlc::set_handler(move || _ = stop.close())?;
    let server = gochan::go(move || accept(&listener, &done));
    let tested = args.self_test.map_or(Ok(()), |requests| self_test(address, requests));
    if args.self_test.is_some() {
        open.close();
    }
    server.join()?;
    tested
}

fn start(args: Args) -> Result<(), Error> {
    let sockets = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let builder = Runtime::builder().tokio(sockets.handle().clone());
    let runtime = match args.workers {
        Some(n) => builder.workers(n.into()),
        None => builder,
    }
    .build()?;
    runtime.run(move || run(&args))
}

fn main() -> ExitCode {
    match start(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("http_hello: {error}");
            ExitCode::FAILURE
        }
    }
}
