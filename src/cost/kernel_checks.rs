//! Checks that the tests of all lane kernels share.

use crate::lanes::{Lanes, ZERO};
pub(crate) use crate::robot::toy_robots::configurations;
use crate::robot::{BodyWrenches, KinematicState, RobotModel};

/// Compares the pulled-back gradient of a kernel that adds to wrenches and value with central differences of the
/// value. f32 leaves about three digits; at kinks of distance functions the two differ by right, so one percent of
/// the entries may be off.
pub(crate) fn assert_gradient_matches(
    robot: &RobotModel,
    mut kernel: impl FnMut(&KinematicState, &mut BodyWrenches, &mut Lanes),
) {
    let kinematics = &robot.kinematics;
    let mut state = kinematics.new_state();
    let mut wrenches = BodyWrenches::new(kinematics.body_count());
    let (mut wrong, mut total, mut nonzero) = (0, 0, 0);
    for seed in 0..20 {
        let (q, _) = configurations(robot, seed);
        let mut value_at = |q: &[Lanes], wrenches: &mut BodyWrenches| {
            kinematics.forward(q, &mut state);
            wrenches.reset();
            let mut value = ZERO;
            kernel(&state, wrenches, &mut value);
            value
        };
        let h = 2e-3f32;
        let mut numeric = Vec::new();
        for j in 0..q.len() {
            let mut moved = q.clone();
            moved[j] = q[j] + Lanes::splat(h);
            let above = value_at(&moved, &mut wrenches);
            moved[j] = q[j] - Lanes::splat(h);
            let below = value_at(&moved, &mut wrenches);
            numeric.push((above - below) * Lanes::splat(0.5 / h));
        }
        value_at(&q, &mut wrenches);
        let mut gradient = vec![ZERO; q.len()];
        kinematics.forward(&q, &mut state);
        kinematics.pull_back(&state, &mut wrenches, &mut gradient);
        for (n, a) in numeric.iter().zip(&gradient) {
            for (n, a) in n.to_array().into_iter().zip(a.to_array()) {
                total += 1;
                nonzero += usize::from(a.abs() > 1e-3);
                wrong += usize::from((n - a).abs() > 0.01 + 0.02 * n.abs().max(a.abs()));
            }
        }
    }
    assert!(
        wrong * 100 <= total,
        "{}: {wrong} of {total} gradients are wrong",
        robot.name
    );
    assert!(
        nonzero * 50 > total || robot.collision.scene.spheres.is_empty(),
        "{}: only {nonzero} of {total} are not 0",
        robot.name
    );
}
