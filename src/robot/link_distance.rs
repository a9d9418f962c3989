//! Distance of two links by their spheres.

use super::collision::SphereSet;
use super::KinematicState;
use crate::lanes::{dot, splat, sub, Lanes};

/// Two links whose distance is measured at many configurations.
pub(super) struct LinkDistance<'a> {
    own: &'a SphereSet,
    /// Groups of the one and of the other, what was nearest last time first.
    pairs: Vec<(usize, usize)>,
}

impl<'a> LinkDistance<'a> {
    pub fn new(own: &'a SphereSet, (a, b): (usize, usize)) -> Self {
        let of = |link: usize| (0..own.groups.len()).filter(move |&g| own.groups[g].link == link);
        Self {
            own,
            pairs: of(a).flat_map(|i| of(b).map(move |j| (i, j))).collect(),
        }
    }

    /// Smallest distance of two spheres, m; infinite for a link without any.
    pub fn measure_m(&mut self, state: &KinematicState) -> Lanes {
        let mut smallest = splat(f32::INFINITY);
        let mut nearest = 0;
        for (index, &(i, j)) in self.pairs.iter().enumerate() {
            let (a, b) = (&self.own.groups[i], &self.own.groups[j]);
            let (frame_a, frame_b) = (&state.bodies[a.body], &state.bodies[b.body]);
            let offset = sub(&frame_a.point(a.center_m), &frame_b.point(b.center_m));
            let gap = dot(&offset, &offset).sqrt() - splat(a.radius_m + b.radius_m);
            if !gap.simd_lt(smallest).any() {
                continue;
            }
            let before = smallest;
            for s in &self.own.spheres[a.spheres.clone()] {
                let center = frame_a.point(s.center_m);
                for t in &self.own.spheres[b.spheres.clone()] {
                    let offset = sub(&center, &frame_b.point(t.center_m));
                    let radii = splat(s.radius_m + t.radius_m);
                    smallest = smallest.fast_min(dot(&offset, &offset).sqrt() - radii);
                }
            }
            if smallest.simd_lt(before).any() {
                nearest = index;
            }
        }
        // Configurations that follow each other have the same neighbours: the others are then passed over.
        if nearest > 0 {
            self.pairs.swap(0, nearest);
        }
        smallest
    }
}
