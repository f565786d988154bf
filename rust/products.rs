//! Sums of a block of features with all of the other side, over rows that come in windows, and who may be best.

use std::ops::ControlFlow;
use std::sync::Mutex;

use rayon::prelude::*;

use crate::accumulator::{Accumulator, RUN};
use crate::bounds::{Bounds, Extremes};
use crate::epilogue::Epilogue;
use crate::floors::Floors;
use crate::given::Shares;
use crate::groups::GroupedRows;
use crate::lines::UNTOUCHED;
use crate::packed::{BLOCK, PackedRows};
use crate::pair_sums::{Pair, PairSums};
use crate::roster::{NONE, Roster};
use crate::sparse::{Column, Csr};

/// Sums of some features of one side, the *guests*, with all of the other, the *hosts*.
pub struct Products<B> {
    /// Hosts and guests: A and B, or B and A in the last round.
    rosters: [Roster; 2],
    standings: [Vec<f64>; 2],
    swapped: bool,
    top: usize,
    /// Guests still to come, last first.
    waiting: Vec<u32>,
    guests: Vec<u32>,
    /// Guest to its place among these, or `NONE`.
    places: Vec<u32>,
    /// By guest and host.
    sums: Vec<f32>,
    /// Of every guest, the most terms of a sum that were added in float32 in one window.
    longest: Vec<usize>,
    windows: usize,
    /// One for every thread.
    epilogues: Vec<Mutex<Epilogue<B>>>,
    nominated: Vec<Pair>,
}

impl<B: Bounds> Products<B> {
    pub fn new(a: Roster, b: Roster, top: usize, room: usize) -> Self {
        let mut new = Self {
            standings: [a.standings(), b.standings()],
            waiting: (0..b.len() as u32).rev().collect(),
            rosters: [a, b],
            swapped: false,
            top,
            guests: Vec::new(),
            places: Vec::new(),
            sums: Vec::new(),
            longest: Vec::new(),
            windows: 0,
            epilogues: Vec::new(),
            nominated: Vec::new(),
        };
        new.meet();
        new.invite(room);
        new
    }

    fn meet(&mut self) {
        let floors = Floors::new(self.standings[0].len());
        let epilogue = || Mutex::new(Epilogue::new(&self.standings[0], &self.standings[1], self.top, floors.clone()));
        self.epilogues = (0..rayon::current_num_threads()).map(|_| epilogue()).collect();
        self.places = vec![NONE; self.rosters[1].len()];
    }

    /// As many of those that wait as there is room for.
    fn invite(&mut self, room: usize) {
        let n_hosts = self.rosters[0].len();
        let most = (room / (4 * n_hosts.max(1))).max(1);
        for &guest in &self.guests {
            self.places[guest as usize] = NONE;
        }
        self.guests = self.waiting.split_off(self.waiting.len().saturating_sub(most));
        self.guests.reverse();
        for (place, &guest) in (0..).zip(&self.guests) {
            self.places[guest as usize] = place;
        }
        self.sums.clear();
        self.sums.resize(self.guests.len() * n_hosts, UNTOUCHED);
        self.longest.clear();
        self.longest.resize(self.guests.len(), 0);
        self.windows = 0;
    }

    /// Take the next rows; with `groups`, those of a group.
    pub fn feed(&mut self, a: Csr, b: Csr, groups: Option<GroupedRows>) {
        if self.sums.is_empty() {
            return;
        }
        let (host, guest) = if self.swapped { (b, a) } else { (a, b) };
        let [hosts, guests] = &self.rosters;
        let place = |feature| Some(self.places[guests.candidate(feature)? as usize]).filter(|&place| place != NONE);
        let columns = guest.select(self.guests.len(), place);
        let blocks = PackedRows::blocks(hosts, host, |row| groups.is_none_or(|rows| rows.has(row)));
        self.add(&blocks, |place, _| columns.feature(place));
    }

    /// Take off what the groups' means bring in, from the shares of A and B: to the sums it is one more window.
    fn feed_groups(&mut self, shares: &[Shares; 2], n_groups: usize) {
        if self.sums.is_empty() {
            return;
        }
        let [of_hosts, of_guests] = if self.swapped { [&shares[1], &shares[0]] } else { [&shares[0], &shares[1]] };
        let hosts = &self.rosters[0];
        let rows = of_hosts.rows(n_groups, -1.0);
        let blocks = PackedRows::blocks_of_candidates(hosts, rows.csr(hosts.len()));
        self.add(&blocks, |_, guest| of_guests.column(guest));
    }

    /// Add the products of the hosts' rows and every guest's column, which comes by its place and its number.
    fn add<'c>(&mut self, blocks: &[PackedRows], column: impl Fn(usize, u32) -> Column<'c> + Sync) {
        let [hosts, guests] = &self.rosters;
        self.windows += 1;
        let of_guests = self.sums.par_chunks_mut(hosts.len()).zip(&mut self.longest);
        of_guests.enumerate().with_min_len(16).for_each_init(
            Accumulator::new,
            |accumulator, (place, (sums, longest))| {
                let guest = self.guests[place];
                let (column, scale) = (column(place, guest), guests.scale(guest));
                *longest = (*longest).max(column.len().min(RUN));
                for (block, sums) in blocks.iter().zip(sums.chunks_mut(BLOCK)) {
                    let updates =
                        accumulator.add::<false>(block, column, (block, &[]), |value| guests.weight(scale, value));
                    accumulator.pour(block, column.rows, updates, sums);
                }
            },
        );
    }

    /// After a pass: another one, or the pairs that may be among the best. `given` are the rows' groups and the
    /// shares of A and B.
    pub fn end(
        mut self: Box<Self>,
        room: usize,
        given: Option<(GroupedRows, &[Shares; 2])>,
    ) -> ControlFlow<Box<PairSums>, Box<Self>> {
        if let Some((rows, shares)) = given {
            self.feed_groups(shares, rows.len());
        }
        self.nominate();
        if self.waiting.is_empty() && !self.swapped {
            self.swap();
        }
        if self.waiting.is_empty() {
            let mut rosters = self.rosters;
            if self.swapped {
                rosters.reverse();
            }
            return ControlFlow::Break(Box::new(PairSums::new(rosters, self.nominated)));
        }
        self.invite(room);
        ControlFlow::Continue(self)
    }

    /// Let the epilogue look at the sums of all guests.
    fn nominate(&mut self) {
        let [hosts, guests] = &self.rosters;
        let apart = Extremes::of(&hosts.means);
        let nominated: Vec<(u32, u32)> = self
            .guests
            .par_iter()
            .zip(self.sums.par_chunks(hosts.len().max(1)))
            .zip(&self.longest)
            .with_min_len(16)
            .map_init(Accumulator::new, |accumulator, ((&guest, of_guest), longest)| {
                let thread = rayon::current_thread_index().expect("a thread of the pool");
                let mut epilogue = self.epilogues[thread].lock().expect("no thread fails");
                let pass = B::pass(guest, longest + self.windows, self.standings[1][guest as usize]);
                epilogue.contenders.start();
                for (number, sums) in of_guest.chunks(BLOCK).enumerate() {
                    accumulator.sums[..sums.len()].copy_from_slice(sums);
                    epilogue.sweep(number, sums.len(), &mut accumulator.sums, pass, None);
                }
                let contenders = &mut epilogue.contenders;
                let mut found = Vec::new();
                if f64::from(contenders.bar_b) <= guests.best_apart(guest, apart) {
                    let touched = |host: u32| of_guest[host as usize].to_bits() != UNTOUCHED.to_bits();
                    for (score, feature) in guests.best_untouched(guest, hosts, self.top, touched) {
                        contenders.raise_b(score as f32 - B::SHARP);
                        found.extend(hosts.candidate(feature as i32));
                    }
                }
                let bar = contenders.bar_b;
                found.extend(contenders.of_b.iter().filter(|(upper, _)| *upper >= bar).map(|&(_, host)| host));
                found.into_iter().map(|host| (guest, host)).collect::<Vec<_>>()
            })
            .flatten_iter()
            .collect();
        self.keep(!self.swapped, nominated);
    }

    /// Keep pairs of a feature of B, or of A, and a partner that may be among its best.
    fn keep(&mut self, of_b: bool, pairs: impl IntoIterator<Item = (u32, u32)>) {
        let metric = self.rosters[0].metric;
        self.nominated.extend(pairs.into_iter().map(|(own, partner)| Pair::new(metric, of_b, own, partner)));
    }

    /// Hosts whose best are known are done; the others become guests.
    fn swap(&mut self) {
        let n_hosts = self.rosters[0].len();
        let epilogues = std::mem::take(&mut self.epilogues);
        let parts: Vec<_> = epilogues
            .into_iter()
            .map(|epilogue| epilogue.into_inner().expect("no thread fails").finish(n_hosts))
            .collect();
        let bars: Vec<f32> = (0..n_hosts)
            .map(|host| parts.iter().map(|(bars, _)| bars[host]).fold(f32::NEG_INFINITY, f32::max))
            .collect();
        let contenders = parts.iter().flat_map(|(_, contenders)| contenders);
        let reaching: Vec<(u32, u32)> = contenders
            .filter(|contender| contender.upper >= bars[contender.a as usize])
            .map(|contender| (contender.a, contender.b))
            .collect();
        self.keep(false, reaching);
        let apart = Extremes::of(&self.rosters[1].means);
        let alone = |&host: &u32| f64::from(bars[host as usize]) <= self.rosters[0].best_apart(host, apart);
        self.waiting = (0..n_hosts as u32).rev().filter(alone).collect();
        self.guests.clear();
        self.rosters.reverse();
        self.standings.reverse();
        self.swapped = true;
        self.meet();
    }
}
