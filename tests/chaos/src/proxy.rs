//! A network that breaks: TCP through a fixed port to wherever the database listens now.

use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use crate::Trouble;

/// Of a thousand pieces of a request or of a response, so many are cut …
const CUT: u64 = 25;
/// … and so many are held up.
const HELD: u64 = 30;

/// A running proxy.
pub(crate) struct Proxy {
    state: Arc<State>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

struct State {
    /// The database's port now.
    port: AtomicU16,
    calm: AtomicBool,
    requests_cut: AtomicU64,
    responses_cut: AtomicU64,
    random: Mutex<ChaCha8Rng>,
}

impl State {
    fn chance(&self, per_mille: u64) -> bool {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        !self.calm.load(Ordering::Relaxed) && random.next_u64() % 1_000 < per_mille
    }
}

impl Proxy {
    /// Starts one, on a free port.
    pub(crate) fn start(seed: u64) -> Result<Self, Trouble> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            port: AtomicU16::new(0),
            calm: AtomicBool::new(false),
            requests_cut: AtomicU64::new(0),
            responses_cut: AtomicU64::new(0),
            random: Mutex::new(ChaCha8Rng::seed_from_u64(seed)),
        });
        let shared = Arc::clone(&state);
        // It lives as long as the process does: a run's proxy has no connections after the run.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || connect(&state, client));
            }
        });
        Ok(Self { state, address })
    }

    /// The database listens at this port from now on.
    pub(crate) fn point(&self, port: u16) {
        self.state.port.store(port, Ordering::Relaxed);
    }

    /// Nothing breaks from now on.
    pub(crate) fn calm(&self) {
        self.state.calm.store(true, Ordering::Relaxed);
    }

    /// Requests and responses that were cut.
    pub(crate) fn cuts(&self) -> (u64, u64) {
        let State { requests_cut, responses_cut, .. } = &*self.state;
        (requests_cut.load(Ordering::Relaxed), responses_cut.load(Ordering::Relaxed))
    }
}

fn connect(state: &Arc<State>, client: TcpStream) {
    let port = state.port.load(Ordering::Relaxed);
    // While the database is down, whoever connects is hung up on.
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (Ok(from), Ok(to)) = (client.try_clone(), server.try_clone()) else { return };
    let requests = Arc::clone(state);
    let there = std::thread::spawn(move || {
        pass(&requests, from, to, &requests.requests_cut);
    });
    // A response that is cut has been answered to: what was asked is done.
    pass(state, server, client, &state.responses_cut);
    let _ = there.join();
}

/// Passes bytes on in one direction until an end hangs up, or the network does.
fn pass(state: &State, mut from: TcpStream, mut to: TcpStream, cuts: &AtomicU64) {
    let mut piece = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        if state.chance(HELD) {
            std::thread::sleep(Duration::from_millis(40));
        }
        if state.chance(CUT) {
            cuts.fetch_add(1, Ordering::Relaxed);
            break;
        }
        if to.write_all(&piece[..length]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
