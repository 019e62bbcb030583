//! A network between a client and a server that takes its time: what is sent arrives, in order, so much later.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::TestResult;

/// Connections to one port that end at another one. Its threads end with the test's process.
pub struct SlowProxy {
    carried_bytes: Arc<AtomicU64>,
}

impl SlowProxy {
    /// Listens at `port` of this machine; what comes there arrives at `to` after `delay`, and answers take as long.
    pub fn start(port: u16, to: u16, delay: Duration) -> TestResult<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        let carried_bytes = Arc::new(AtomicU64::new(0));
        let carried = Arc::clone(&carried_bytes);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // A server that is not there: the connection ends.
                let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else { continue };
                let ends = [(client.try_clone(), server.try_clone()), (Ok(server), Ok(client))];
                for (from, into) in ends.into_iter().filter_map(|(from, into)| Some((from.ok()?, into.ok()?))) {
                    carry(from, into, delay, Arc::clone(&carried));
                }
            }
        });
        Ok(Self { carried_bytes })
    }

    /// Bytes that have arrived, in both directions.
    pub fn carried_bytes(&self) -> u64 {
        self.carried_bytes.load(Ordering::SeqCst)
    }
}

fn carry(mut from: TcpStream, into: TcpStream, delay: Duration, carried: Arc<AtomicU64>) {
    let (send, receive) = channel();
    thread::spawn(move || deliver(&receive, into, &carried));
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if send.send((Instant::now() + delay, buffer[..count].to_vec())).is_err() {
                break;
            }
        }
    });
}

fn deliver(pieces: &Receiver<(Instant, Vec<u8>)>, mut into: TcpStream, carried: &AtomicU64) {
    while let Ok((due, piece)) = pieces.recv() {
        // The wire's time, not the test's.
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if into.write_all(&piece).is_err() {
            break;
        }
        carried.fetch_add(piece.len() as u64, Ordering::SeqCst);
    }
    let _ = into.shutdown(Shutdown::Both);
}
