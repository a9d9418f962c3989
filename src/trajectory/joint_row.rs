//! One value per joint in one register: the layout of control points and of the banded metric.

use crate::lanes::{Lanes, LANES};

/// One f32 per joint (rad or m, lanes `D..16` are zero). Not to be confused with [`Lanes`] over configurations, although
/// both are sixteen f32: a control point is a row over joints, a rollout is a column over configurations.
pub type JointRow = wide::f32x16;

/// The largest number of joints a robot may have.
pub const MAX_JOINTS: usize = 12;

/// Transposes sixteen configurations `[16][D]` into `[D][16]`; `columns` has length `D`.
#[inline]
pub fn rows_to_lanes(rows: &[JointRow; LANES], columns: &mut [Lanes]) {
    let transposed = transpose(rows, columns.len());
    columns.copy_from_slice(&transposed[..columns.len()]);
}

/// Transposes `[D][16]` into sixteen rows `[16][D]`, zero beyond `D`.
#[inline]
pub fn rows_from_lanes(columns: &[Lanes]) -> [JointRow; LANES] {
    let mut padded = [Lanes::ZERO; LANES];
    padded[..columns.len()].copy_from_slice(columns);
    transpose(&padded, LANES)
}

/// 16 x 16 transpose in four 8 x 8 blocks; blocks that would only fill rows from `wanted` on are skipped.
#[inline]
fn transpose(rows: &[wide::f32x16; LANES], wanted: usize) -> [wide::f32x16; LANES] {
    use wide::f32x8;
    let mut halves = [[f32x8::ZERO; 2]; LANES];
    for (half, row) in halves.iter_mut().zip(rows) {
        let values = row.as_array();
        half[0] = f32x8::from(<[f32; 8]>::try_from(&values[..8]).unwrap_or_default());
        half[1] = f32x8::from(<[f32; 8]>::try_from(&values[8..]).unwrap_or_default());
    }
    let mut result = [[0.0f32; LANES]; LANES];
    for column_block in 0..2 {
        if column_block * 8 >= wanted {
            continue;
        }
        for row_block in 0..2 {
            let mut block = [f32x8::ZERO; 8];
            for (target, source) in block
                .iter_mut()
                .zip(&halves[row_block * 8..row_block * 8 + 8])
            {
                *target = source[column_block];
            }
            let block = f32x8::transpose(block);
            for (r, values) in block.iter().enumerate() {
                result[column_block * 8 + r][row_block * 8..row_block * 8 + 8]
                    .copy_from_slice(values.as_array());
            }
        }
    }
    result.map(wide::f32x16::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_there_and_back_is_the_identity() {
        for dof in [1, 2, 6, 7, 8, 9, 12] {
            let mut rows = [JointRow::ZERO; LANES];
            for (i, row) in rows.iter_mut().enumerate() {
                let mut values = [0.0; LANES];
                for (j, v) in values[..dof].iter_mut().enumerate() {
                    *v = (100 * i + j) as f32;
                }
                *row = JointRow::new(values);
            }
            let mut columns = vec![Lanes::ZERO; dof];
            rows_to_lanes(&rows, &mut columns);
            assert_eq!(columns[dof - 1].to_array()[3], (300 + dof - 1) as f32);
            let back = rows_from_lanes(&columns);
            for (a, b) in rows.iter().zip(&back) {
                assert_eq!(a.to_array(), b.to_array());
            }
        }
    }
}
