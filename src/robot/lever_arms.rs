//! How far a joint can move the tool.

use super::joints::LinkMotion;
use super::RobotModel;

impl RobotModel {
    /// For each planned joint, how far the tool's origin moves at most per unit of the joint (m/rad or 1), and how far the tool
    /// turns (1 for a joint that turns it, 0 for one that slides): the chain between stretched out. `[D]` each.
    pub fn tool_lever_arms(&self) -> (Vec<f64>, Vec<f64>) {
        let kinematics = &self.kinematics;
        let mut linear_m = vec![0.0; kinematics.dof()];
        let mut angular = vec![0.0; kinematics.dof()];
        let mut arm_m = 0.0;
        let mut next = Some(kinematics.tool);
        while let Some(index) = next {
            let link = &kinematics.links[index];
            match link.motion {
                LinkMotion::Fixed => {}
                LinkMotion::Turn {
                    variable,
                    multiplier,
                    ..
                } => {
                    linear_m[variable] += multiplier.abs() * arm_m;
                    angular[variable] += multiplier.abs();
                }
                LinkMotion::Slide {
                    variable,
                    multiplier,
                    offset,
                    ..
                } => {
                    linear_m[variable] += multiplier.abs();
                    let (lower, upper) = (self.limits.lower[variable], self.limits.upper[variable]);
                    arm_m += multiplier.abs() * lower.abs().max(upper.abs()) + offset.abs();
                }
            }
            arm_m += link.parent_from_joint.translation.vector.norm();
            next = link.parent;
        }
        (linear_m, angular)
    }
}

#[cfg(test)]
mod tests {
    use super::super::toy_robots;
    use rand::{RngExt, SeedableRng};

    /// No column of the Jacobian is longer than the bound, and the stretched arm comes near it.
    #[test]
    fn no_jacobian_exceeds_the_lever_arms() {
        let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(4);
        for robot in toy_robots::all() {
            let (linear_m, angular) = robot.tool_lever_arms();
            let limits = &robot.limits;
            for _ in 0..50 {
                let q: Vec<f64> = (0..limits.dof())
                    .map(|j| rng.random_range(limits.lower[j]..limits.upper[j]))
                    .collect();
                let jacobian = robot.kinematics.jacobian(&q);
                for j in 0..limits.dof() {
                    let column = jacobian.column(j);
                    assert!(column.fixed_rows::<3>(0).norm() <= linear_m[j] + 1e-12);
                    assert!(column.fixed_rows::<3>(3).norm() <= angular[j] + 1e-12);
                }
            }
        }
    }
}
