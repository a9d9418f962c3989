//! Which links are tested against each other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::collision::{AllowedReason, CollisionModel};
use super::link_distance::LinkDistance;
use super::{JointLimits, KinematicModel, PairTable, RobotError, RobotSettings};
use crate::lanes::{Lanes, LANES};

/// Links that never come nearer than this in all samples are taken to never touch, m.
const NEVER_MARGIN_M: f32 = 0.01;
/// Part of the samples in which links must touch to count as always touching: what conservative spheres of
/// neighbours do, and what no plan could avoid.
const ALWAYS_PART: f64 = 0.95;

/// Link pairs of a semantic description's `disable_collisions`.
pub(super) fn srdf_pairs(srdf: &str) -> Result<Vec<(String, String)>, RobotError> {
    let document = roxmltree::Document::parse(srdf).map_err(|e| RobotError::Srdf {
        reason: e.to_string(),
    })?;
    let mut pairs = Vec::new();
    for node in document
        .descendants()
        .filter(|n| n.has_tag_name("disable_collisions"))
    {
        match (node.attribute("link1"), node.attribute("link2")) {
            (Some(a), Some(b)) => pairs.push((a.to_string(), b.to_string())),
            _ => {
                let reason = "disable_collisions without link1 or link2".into();
                return Err(RobotError::Srdf { reason });
            }
        }
    }
    Ok(pairs)
}

/// Fills `allowed`, `tables` and `self_pairs`.
pub(super) fn derive(
    model: &mut CollisionModel,
    kinematics: &KinematicModel,
    limits: &JointLimits,
    settings: &RobotSettings,
    srdf: &[(String, String)],
) -> Result<(), RobotError> {
    let mut allowed = structural(model, kinematics)?;
    for (a, b) in &settings.allowed_collisions {
        kinematics.body_of_link(a)?;
        kinematics.body_of_link(b)?;
        allow(model, &mut allowed, a, b, AllowedReason::Settings);
    }
    // semantic descriptions often name links of other variants of the robot
    for (a, b) in srdf {
        allow(model, &mut allowed, a, b, AllowedReason::Srdf);
    }
    sample(model, kinematics, limits, settings, &mut allowed);
    let tested = |a: usize, b: usize| a != b && !allowed.contains_key(&ordered(a, b));
    let tables: Vec<Arc<PairTable>> = pairs_of(model.links.len())
        .filter(|(a, b)| tested(*a, *b))
        .filter_map(|pair| PairTable::new(model, kinematics, limits, pair))
        .map(Arc::new)
        .collect();
    let by_table: BTreeSet<(usize, usize)> = tables.iter().map(|t| t.links).collect();
    let groups = &model.own.groups;
    let by_spheres = pairs_of(groups.len()).filter(|(a, b)| {
        let (a, b) = (groups[*a].link, groups[*b].link);
        tested(a, b) && !by_table.contains(&ordered(a, b))
    });
    model.self_pairs = by_spheres.collect();
    model.tables = tables;
    model.allowed = allowed
        .into_iter()
        .map(|((a, b), reason)| (a, b, reason))
        .collect();
    Ok(())
}

type Allowed = BTreeMap<(usize, usize), AllowedReason>;

/// All `(a, b)` below `count` with a < b.
fn pairs_of(count: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..count).flat_map(move |a| (a + 1..count).map(move |b| (a, b)))
}

fn ordered(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

fn allow(model: &CollisionModel, allowed: &mut Allowed, a: &str, b: &str, reason: AllowedReason) {
    let index = |name: &str| model.links.iter().position(|l| l == name);
    if let (Some(a), Some(b)) = (index(a), index(b)) {
        if a != b {
            allowed.entry(ordered(a, b)).or_insert(reason);
        }
    }
}

/// Pairs in one body, and pairs across one joint (bodies without geometry between them do not count).
fn structural(model: &CollisionModel, kinematics: &KinematicModel) -> Result<Allowed, RobotError> {
    let bodies: Vec<usize> = model
        .links
        .iter()
        .map(|l| kinematics.body_of_link(l).map(|b| b.0))
        .collect::<Result<_, _>>()?;
    let solid: BTreeSet<usize> = bodies.iter().copied().collect();
    let solid_parent = |mut body: usize| loop {
        body = kinematics.parent_body(body)?;
        if solid.contains(&body) {
            return Some(body);
        }
    };
    let mut allowed = Allowed::new();
    for a in 0..bodies.len() {
        for b in a + 1..bodies.len() {
            let (body_a, body_b) = (bodies[a], bodies[b]);
            if body_a == body_b {
                allowed.insert((a, b), AllowedReason::SameBody);
            } else if solid_parent(body_a) == Some(body_b) || solid_parent(body_b) == Some(body_a) {
                allowed.insert((a, b), AllowedReason::Adjacent);
            }
        }
    }
    Ok(allowed)
}

/// Adds the pairs that always or never touch in random configurations.
fn sample(
    model: &CollisionModel,
    kinematics: &KinematicModel,
    limits: &JointLimits,
    settings: &RobotSettings,
    allowed: &mut Allowed,
) {
    let batches = settings.spheres.self_collision_samples.div_ceil(LANES);
    if batches == 0 {
        return;
    }
    let mut links: Vec<_> = pairs_of(model.links.len())
        .filter(|pair| !allowed.contains_key(pair))
        .map(|pair| (pair, LinkDistance::new(&model.own, pair), 0, f32::INFINITY))
        .collect();
    let mut rng = Pcg64Mcg::seed_from_u64(settings.spheres.seed);
    let mut state = kinematics.new_state();
    for _ in 0..batches {
        let q: Vec<Lanes> = (0..limits.dof())
            .map(|j| {
                let (low, high) = limits.sampling_range(j);
                Lanes::from(std::array::from_fn::<f32, LANES, _>(|_| {
                    rng.random_range(low..high) as f32
                }))
            })
            .collect();
        kinematics.forward(&q, &mut state);
        for (_, link_distance, count, nearest) in &mut links {
            for distance in link_distance.measure_m(&state).to_array() {
                *count += usize::from(distance < 0.0);
                *nearest = nearest.min(distance);
            }
        }
    }
    for (pair, _, count, nearest) in links {
        if nearest > NEVER_MARGIN_M {
            allowed.insert(pair, AllowedReason::NeverTouching);
        } else if count as f64 >= ALWAYS_PART * (batches * LANES) as f64 {
            allowed.insert(pair, AllowedReason::AlwaysTouching);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn srdf_pairs_are_read() {
        let srdf =
            r#"<robot name="r"><disable_collisions link1="a" link2="b" reason="Never"/></robot>"#;
        assert_eq!(srdf_pairs(srdf), Ok(vec![("a".into(), "b".into())]));
        assert!(matches!(
            srdf_pairs("<robot><disable_collisions link1='a'/></robot>"),
            Err(RobotError::Srdf { .. })
        ));
        assert!(matches!(
            srdf_pairs("<robot>"),
            Err(RobotError::Srdf { .. })
        ));
    }
}
