//! One-to-one matching of largest total weight on a sparse bipartite graph, nodes left unmatched where that weighs
//! more: bids first, then shortest augmenting paths (Jonker and Volgenant 1987, on sparse rows with a heap).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::Error;

/// No partner, no path.
const NONE: u32 = u32::MAX;
/// Bids a row may make before it is left to the search; bids settle most rows, and price wars end here.
const BIDS: usize = 256;

/// Rows of A with the columns of B that they may take, and what each is worth.
struct Edges<'a> {
    indptr: &'a [i64],
    columns: &'a [i64],
    weights: &'a [f64],
}

impl<'a> Edges<'a> {
    fn new(indptr: &'a [i64], columns: &'a [i64], weights: &'a [f64], n_columns: usize) -> Result<Self, Error> {
        let nnz = weights.len();
        if columns.len() != nnz {
            return Err(Error::Lengths { what: "columns and weights".into(), left: columns.len(), right: nnz });
        }
        let rises = indptr.first() == Some(&0) && indptr.last() == Some(&(nnz as i64)) && indptr.is_sorted();
        if !rises {
            let got = indptr.first().zip(indptr.last()).map_or("nothing".into(), |(i, j)| format!("{i} to {j}"));
            return Err(Error::Offsets { side: "", nnz, got });
        }
        if n_columns.max(indptr.len()) >= NONE as usize {
            let got = n_columns.max(indptr.len()).to_string();
            return Err(Error::Number { name: "rows and columns".into(), wanted: "fewer than 2^32 - 1".into(), got });
        }
        if let Some(&got) = columns.iter().find(|&&id| id < 0 || id >= n_columns as i64) {
            return Err(Error::Id { name: "columns".into(), end: n_columns, got });
        }
        if let Some(position) = weights.iter().position(|w| !w.is_finite() || *w <= 0.0) {
            let (wanted, got) = ("finite and above 0".into(), weights[position].to_string());
            return Err(Error::Number { name: "weights".into(), wanted, got });
        }
        Ok(Self { indptr, columns, weights })
    }

    fn n_rows(&self) -> usize {
        self.indptr.len() - 1
    }

    fn of(&self, row: usize) -> impl Iterator<Item = (usize, f64)> {
        let span = self.indptr[row] as usize..self.indptr[row + 1] as usize;
        self.columns[span.clone()].iter().map(|&column| column as usize).zip(self.weights[span].iter().copied())
    }
}

/// A matching and its prices. At all times `profit[a] + price[b] >= weight`, with equality on matched edges, for
/// every row that was placed; a price or a profit is above 0 only where its node is matched.
struct Matching<'a> {
    edges: Edges<'a>,
    row_of: Vec<u32>,
    column_of: Vec<u32>,
    price: Vec<f64>,
    profit: Vec<f64>,
    search: Search,
}

/// Shortest paths from one row, over reduced costs `profit[a] + price[b] - weight`.
struct Search {
    distance: Vec<f64>,
    reached_from: Vec<u32>,
    touched: Vec<u32>,
    /// Matched columns by distance; among equals the newest, as depth first finds a free column soonest.
    heap: BinaryHeap<(Reverse<u64>, u32, u32)>,
    placed: Vec<(u32, f64)>,
}

impl<'a> Matching<'a> {
    fn new(edges: Edges<'a>, n_columns: usize) -> Self {
        let n_rows = edges.n_rows();
        let search = Search {
            distance: vec![f64::INFINITY; n_columns],
            reached_from: vec![NONE; n_columns],
            touched: Vec::new(),
            heap: BinaryHeap::new(),
            placed: Vec::new(),
        };
        Self {
            edges,
            row_of: vec![NONE; n_columns],
            column_of: vec![NONE; n_rows],
            price: vec![0.0; n_columns],
            profit: vec![0.0; n_rows],
            search,
        }
    }

    /// Let every row bid for its best column, up to what its second best (or nothing) leaves it; an outbid row bids
    /// again. Returns the rows that are still without.
    fn bid(&mut self) -> Vec<u32> {
        let n_rows = self.edges.n_rows();
        let (mut left, mut bids) = (Vec::new(), vec![0; n_rows]);
        for first in 0..n_rows {
            let mut row = first;
            loop {
                let (mut best, mut column, mut second) = (0.0, NONE, 0.0);
                for (b, weight) in self.edges.of(row) {
                    let gain = weight - self.price[b];
                    if gain > best {
                        (best, column, second) = (gain, b as u32, best);
                    } else if gain > second {
                        second = gain;
                    }
                }
                if column == NONE {
                    break; // nothing is worth its price, and prices only rise
                }
                let holder = self.row_of[column as usize];
                bids[row] += 1;
                if bids[row] > BIDS || (holder != NONE && best <= second) {
                    left.push(row as u32);
                    break;
                }
                self.price[column as usize] += best - second;
                self.profit[row] = second;
                self.row_of[column as usize] = row as u32;
                self.column_of[row] = column;
                if holder == NONE {
                    break;
                }
                self.column_of[holder as usize] = NONE;
                self.profit[holder as usize] = 0.0;
                row = holder as usize;
            }
        }
        left
    }

    /// Place one row by the cheapest path that ends in a free column, or in a row that is better left without.
    fn place(&mut self, root: u32) {
        let start = root as usize;
        let reach = self.edges.of(start).map(|(b, weight)| weight - self.price[b]).fold(0.0, f64::max);
        self.profit[start] = reach;
        // A path that ends in row a, unmatched, costs its distance plus its profit.
        let (mut least, mut end_row, mut end_column) = (reach, root, NONE);
        self.search.placed.push((root, 0.0));
        let (mut row, mut so_far) = (start, 0.0);
        loop {
            for (b, weight) in self.edges.of(row) {
                let distance = so_far + (self.profit[row] + self.price[b] - weight).max(0.0);
                if distance < self.search.distance[b] && distance < least {
                    if self.search.distance[b] == f64::INFINITY {
                        self.search.touched.push(b as u32);
                    }
                    self.search.distance[b] = distance;
                    self.search.reached_from[b] = row as u32;
                    if self.row_of[b] == NONE {
                        (least, end_column) = (distance, b as u32);
                    } else {
                        let newest = self.search.touched.len() as u32;
                        self.search.heap.push((Reverse(distance.to_bits()), newest, b as u32));
                    }
                }
            }
            let Some(column) = self.nearest(least) else { break };
            so_far = self.search.distance[column as usize];
            row = self.row_of[column as usize] as usize;
            self.search.placed.push((row as u32, so_far));
            if so_far + self.profit[row] < least {
                (least, end_row, end_column) = (so_far + self.profit[row], row as u32, NONE);
            }
        }
        self.reprice(least);
        self.augment(root, end_row, end_column);
        let Search { distance, reached_from, touched, heap, placed } = &mut self.search;
        for b in touched.drain(..) {
            (distance[b as usize], reached_from[b as usize]) = (f64::INFINITY, NONE);
        }
        heap.clear();
        placed.clear();
    }

    /// The nearest matched column that was not looked at yet, if it is nearer than the end that is known.
    fn nearest(&mut self, least: f64) -> Option<u32> {
        while let Some((Reverse(bits), _, column)) = self.search.heap.pop() {
            let distance = f64::from_bits(bits);
            if distance >= least {
                return None;
            }
            if distance <= self.search.distance[column as usize] {
                return Some(column); // else it was pushed again, nearer
            }
        }
        None
    }

    fn reprice(&mut self, least: f64) {
        for &(row, distance) in &self.search.placed {
            let row = row as usize;
            let rise = least - distance;
            if self.column_of[row] != NONE {
                self.price[self.column_of[row] as usize] += rise;
            }
            self.profit[row] = (self.profit[row] - rise).max(0.0);
        }
    }

    /// Shift the partners along the path: `end_column` (or what `end_row` gives up) goes to the row it was reached
    /// from, that row's own column to the row before it, back to the root.
    fn augment(&mut self, root: u32, end_row: u32, end_column: u32) {
        let mut column = end_column;
        if column == NONE {
            if end_row == root {
                return;
            }
            column = std::mem::replace(&mut self.column_of[end_row as usize], NONE);
        }
        loop {
            let row = self.search.reached_from[column as usize];
            self.row_of[column as usize] = row;
            let freed = std::mem::replace(&mut self.column_of[row as usize], column);
            if row == root {
                return;
            }
            column = freed;
        }
    }
}

/// The column of every row in a matching of largest total weight, -1 for a row that has none.
///
/// Row `i` may take the columns at `indptr[i]..indptr[i + 1]`, none twice; all weights are positive.
pub fn assignment(indptr: &[i64], columns: &[i64], weights: &[f64], n_columns: usize) -> Result<Vec<i64>, Error> {
    let mut matching = Matching::new(Edges::new(indptr, columns, weights, n_columns)?, n_columns);
    for row in matching.bid() {
        matching.place(row);
    }
    Ok(matching.column_of.iter().map(|&column| if column == NONE { -1 } else { i64::from(column) }).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The largest total by trying every choice of the first row, then of the next.
    fn exhaustive(rows: &[Vec<f64>], taken: &mut Vec<bool>) -> f64 {
        let Some((first, rest)) = rows.split_first() else { return 0.0 };
        let mut best = exhaustive(rest, taken);
        for (column, &weight) in first.iter().enumerate() {
            if weight > 0.0 && !taken[column] {
                taken[column] = true;
                best = f64::max(best, weight + exhaustive(rest, taken));
                taken[column] = false;
            }
        }
        best
    }

    fn solve(rows: &[Vec<f64>], n_columns: usize) -> Vec<i64> {
        let (mut indptr, mut columns, mut weights) = (vec![0], vec![], vec![]);
        for row in rows {
            for (column, &weight) in row.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
                columns.push(column as i64);
                weights.push(weight);
            }
            indptr.push(columns.len() as i64);
        }
        assignment(&indptr, &columns, &weights, n_columns).unwrap()
    }

    fn graph(weight: impl Strategy<Value = f64> + Clone) -> impl Strategy<Value = (Vec<Vec<f64>>, usize)> {
        (0..7_usize, 1..7_usize).prop_flat_map(move |(n, width)| {
            (prop::collection::vec(prop::collection::vec(weight.clone(), width), n), Just(width))
        })
    }

    fn check(rows: &[Vec<f64>], width: usize) -> Result<(), TestCaseError> {
        let found = solve(rows, width);
        let mut taken = vec![false; width];
        let mut total = 0.0;
        for (row, &column) in rows.iter().zip(&found) {
            if column >= 0 {
                prop_assert!(!std::mem::replace(&mut taken[column as usize], true));
                prop_assert!(row[column as usize] > 0.0);
                total += row[column as usize];
            }
        }
        prop_assert!((total - exhaustive(rows, &mut vec![false; width])).abs() < 1e-9);
        Ok(())
    }

    proptest! {
        #[test]
        fn weighs_what_the_best_of_all_choices_weighs((rows, width) in graph(-0.5..1.0_f64)) {
            check(&rows, width)?;
        }

        #[test]
        fn ties_lose_nothing((rows, width) in graph(prop::sample::select(vec![0.0, 0.25, 0.5, 0.5, 1.0]))) {
            check(&rows, width)?;
        }
    }

    #[test]
    fn a_price_war_is_ended_by_the_search() {
        // All rows want the same two columns, and a third is worth next to nothing.
        let rows: Vec<Vec<f64>> = (0..6).map(|i| vec![1.0, 1.0, 1e-9 * f64::from(i)]).collect();
        let found = solve(&rows, 3);
        assert_eq!(found.iter().filter(|&&column| column >= 0).count(), 3);
        assert_eq!(found[5], 2);
    }

    #[test]
    fn bad_graphs_are_refused_by_name() {
        let error = |indptr: &[i64], columns: &[i64], weights: &[f64]| {
            assignment(indptr, columns, weights, 2).unwrap_err().to_string()
        };
        assert_eq!(error(&[0, 1], &[2], &[1.0]), "columns must lie in 0..2, got 2");
        assert_eq!(error(&[0, 1], &[0], &[0.0]), "weights must be finite and above 0, got 0");
        assert_eq!(error(&[0, 1], &[0], &[f64::NAN]), "weights must be finite and above 0, got NaN");
        assert_eq!(error(&[0, 1], &[], &[1.0]), "columns and weights must have one length, got 0 and 1");
        assert_eq!(error(&[0, 2], &[0], &[1.0]), "indptr must rise from 0 to the number of values (1), got 0 to 2");
    }
}
