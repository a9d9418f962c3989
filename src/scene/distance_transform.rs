//! Distance of every node of a grid to the nearest occupied one, up to a band.

use rayon::prelude::*;

/// Distance in steps to the nearest occupied node, at most `band` + 1 (then it may be further); k runs fastest. One axis after
/// the other (Felzenszwalb and Huttenlocher 2012), each by looking over the band's width: long rows of additions, which
/// the compiler turns into vectors.
pub(super) fn distances(occupied: &[bool], size: [usize; 3], band: usize) -> Vec<f32> {
    let [nx, ny, nz] = size;
    let slab = ny * nz;
    let far = ((band + 1) * (band + 1)) as f32;
    let mut planes = vec![far; occupied.len()];
    planes
        .par_chunks_mut(slab)
        .zip(occupied.par_chunks(slab))
        .for_each(|(plane, occupied)| {
            let mut rows = vec![far; slab];
            for (row, occupied) in rows.chunks_mut(nz).zip(occupied.chunks(nz)) {
                along_row(row, occupied, band);
            }
            gather(plane, &rows, ny, nz, band);
        });
    // A slab of the result is the same over whole planes.
    let is_empty: Vec<bool> = planes
        .par_chunks(slab)
        .map(|plane| plane.iter().all(|&v| v >= far))
        .collect();
    let mut result = vec![far; occupied.len()];
    result
        .par_chunks_mut(slab)
        .enumerate()
        .for_each(|(x, out)| {
            for other in x.saturating_sub(band)..(x + band + 1).min(nx) {
                if !is_empty[other] {
                    lower(out, &planes[other * slab..][..slab], x.abs_diff(other));
                }
            }
            for value in out {
                *value = value.sqrt();
            }
        });
    result
}

/// Squared distances along one row.
fn along_row(row: &mut [f32], occupied: &[bool], band: usize) {
    let mut away = band + 1;
    for (value, &solid) in row.iter_mut().zip(occupied) {
        away = if solid { 0 } else { (away + 1).min(band + 1) };
        *value = (away * away) as f32;
    }
    away = band + 1;
    for (value, &solid) in row.iter_mut().zip(occupied).rev() {
        away = if solid { 0 } else { (away + 1).min(band + 1) };
        *value = value.min((away * away) as f32);
    }
}

/// Over the rows of a plane.
fn gather(plane: &mut [f32], rows: &[f32], ny: usize, nz: usize, band: usize) {
    let far = ((band + 1) * (band + 1)) as f32;
    for other in 0..ny {
        let row = &rows[other * nz..][..nz];
        if row.iter().all(|&v| v >= far) {
            continue;
        }
        for y in other.saturating_sub(band)..(other + band + 1).min(ny) {
            lower(&mut plane[y * nz..][..nz], row, y.abs_diff(other));
        }
    }
}

/// Lowers squared distances to those by way of nodes `away` steps across.
fn lower(out: &mut [f32], from: &[f32], away: usize) {
    let across = (away * away) as f32;
    for (value, &v) in out.iter_mut().zip(from) {
        *value = value.min(v + across);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};

    #[test]
    fn distances_are_those_of_a_search() {
        let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(7);
        let (size, band) = ([11, 9, 13], 4);
        let place = |i: usize| [i / (9 * 13), i / 13 % 9, i % 13];
        for share in [0.0, 0.003, 0.02, 0.3] {
            let occupied: Vec<bool> = (0..11 * 9 * 13).map(|_| rng.random_bool(share)).collect();
            let found = distances(&occupied, size, band);
            for (i, &value) in found.iter().enumerate() {
                let squared = |j: usize| -> usize {
                    let (a, b) = (place(i), place(j));
                    (0..3).map(|k| a[k].abs_diff(b[k]).pow(2)).sum()
                };
                let solid = (0..occupied.len()).filter(|&j| occupied[j]);
                let nearest = solid.map(squared).min().map_or(f32::INFINITY, |d| d as f32);
                let expected = nearest.sqrt().min((band + 1) as f32);
                assert!((value - expected).abs() < 1e-5, "{value} {expected}");
            }
        }
    }
}
