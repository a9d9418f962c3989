//! Which pairs are near enough to matter: one bit per pair, in rows.

/// Rows of bits. Refreshed every few iterations, read in every one; never allocates after it was made.
#[derive(Clone, Debug)]
pub struct ActiveSet {
    words_per_row: usize,
    words: Vec<u64>,
}

impl ActiveSet {
    /// An empty set of `rows` times `columns` pairs.
    pub fn new(rows: usize, columns: usize) -> Self {
        let words_per_row = columns.div_ceil(64);
        Self {
            words_per_row,
            words: vec![0; rows * words_per_row],
        }
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.words.fill(0);
    }

    #[inline(always)]
    pub(super) fn insert(&mut self, row: usize, column: usize) {
        self.words[row * self.words_per_row + column / 64] |= 1 << (column % 64);
    }

    /// The words of a row.
    #[inline(always)]
    pub(super) fn row(&self, row: usize) -> &[u64] {
        &self.words[row * self.words_per_row..(row + 1) * self.words_per_row]
    }

    /// Number of active pairs.
    pub fn len(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// Whether no pair is active.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&w| w == 0)
    }
}

/// Positions of the set bits of consecutive words.
#[inline(always)]
pub(super) fn for_each_bit(words: &[u64], mut visit: impl FnMut(usize)) {
    for (index, &word) in words.iter().enumerate() {
        let mut rest = word;
        while rest != 0 {
            visit(64 * index + rest.trailing_zeros() as usize);
            rest &= rest - 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_back() {
        let mut set = ActiveSet::new(3, 130);
        for column in [0, 63, 64, 129] {
            set.insert(1, column);
        }
        let mut found = Vec::new();
        for_each_bit(set.row(1), |c| found.push(c));
        assert_eq!(found, [0, 63, 64, 129]);
        assert_eq!(set.len(), 4);
        set.clear();
        assert!(set.is_empty());
    }
}
