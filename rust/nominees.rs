//! Pairs that may be among the best, in memory that is set aside for them: what is full is settled before more come.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::accumulator::Accumulator;
use crate::bounds::Bounds;
use crate::epilogue::Epilogue;
use crate::floors::Floors;
use crate::leaders::Leaders;
use crate::pair_sums::Pair;

/// Bytes a nominee takes: where it is found, and once more while all are brought together.
pub const NOMINEE: usize = 2 * size_of::<Pair>();

/// What the threads nominate, each in a room of its own, so that none can outgrow it.
pub struct Nominees<B> {
    desks: Vec<Mutex<Desk<B>>>,
    n_hosts: usize,
}

/// What one thread nominates: contenders for hosts, and pairs for guests.
pub struct Desk<B> {
    pub epilogue: Epilogue<B>,
    pub of_guests: Vec<Pair>,
    room: usize,
}

impl<B: Bounds> Nominees<B> {
    /// Room for `most` pairs in all, and at least for those that one guest can have.
    pub fn new(hosts: &[f64], guests: &[f64], top: usize, most: usize) -> Self {
        let n_hosts = hosts.len();
        let n_desks = (most / (2 * n_hosts).max(1)).clamp(1, rayon::current_num_threads());
        let room = (most / (2 * n_desks)).max(n_hosts);
        let floors = Floors::new(n_hosts);
        let desk = |_| {
            let mut epilogue = Epilogue::new(hosts, guests, top, Arc::clone(&floors));
            epilogue.contenders.reserve(room, n_hosts);
            Mutex::new(Desk { epilogue, of_guests: Vec::with_capacity(room), room })
        };
        Self { desks: (0..n_desks).map(desk).collect(), n_hosts }
    }

    /// No room.
    pub fn none() -> Self {
        Self { desks: Vec::new(), n_hosts: 0 }
    }

    /// Let guests `seen..n_guests` be looked at while there is room for all that they could nominate; returns how
    /// many are seen then.
    pub fn visit(
        &self,
        seen: usize,
        n_guests: usize,
        look: impl Fn(&mut Desk<B>, &mut Accumulator, usize) + Sync,
    ) -> usize {
        let next = AtomicUsize::new(seen);
        rayon::broadcast(|thread| {
            let Some(desk) = self.desks.get(thread.index()) else { return };
            let desk = &mut *desk.lock().expect("no thread fails");
            let mut accumulator = Accumulator::new();
            while next.load(Ordering::Relaxed) < n_guests && desk.has_room(self.n_hosts) {
                let place = next.fetch_add(1, Ordering::Relaxed);
                if place < n_guests {
                    look(desk, &mut accumulator, place);
                }
            }
        });
        next.into_inner().min(n_guests)
    }

    /// For every host the highest bar of all threads.
    pub fn bars(&mut self) -> Vec<f32> {
        let mut bars = vec![f32::NEG_INFINITY; self.n_hosts];
        for desk in self.desks() {
            for (host, bar) in (0..).zip(&mut bars) {
                *bar = bar.max(desk.epilogue.contenders.bar_a(host));
            }
        }
        bars
    }

    /// Take all nominees, less those of hosts that do not reach the bar, and add them to others.
    pub fn take(&mut self, bars: &[f32], mut others: Vec<Pair>, of_host: impl Fn(u32, u32) -> Pair) -> Vec<Pair> {
        let found = self.desks().map(|desk| desk.of_guests.len() + desk.epilogue.contenders.of_a.len()).sum();
        others.reserve_exact(found);
        for desk in self.desks() {
            others.append(&mut desk.of_guests);
            let contenders = desk.epilogue.contenders.of_a.drain(..);
            let reaching = contenders.filter(|contender| contender.upper >= bars[contender.a as usize]);
            others.extend(reaching.map(|contender| of_host(contender.a, contender.b)));
        }
        others
    }

    /// All that was taken is settled: what is known of the hosts' best partners now is the bar for the next.
    pub fn learn(&mut self, leaders: &Leaders) {
        let lower = |score: f64| if score.is_finite() { B::exact(score) } else { f32::NEG_INFINITY };
        for (host, bar) in (0..).zip(self.bars()) {
            for desk in self.desks() {
                desk.epilogue.learn(host, leaders.scores(host as usize).map(lower), bar);
            }
        }
    }

    fn desks(&mut self) -> impl Iterator<Item = &mut Desk<B>> {
        self.desks.iter_mut().map(|desk| desk.get_mut().expect("no thread fails"))
    }
}

impl<B: Bounds> Desk<B> {
    fn has_room(&mut self, more: usize) -> bool {
        self.of_guests.len() + more <= self.room && self.epilogue.contenders.has_room(more)
    }
}
