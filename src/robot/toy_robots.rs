//! Robots for tests: small ones, and the arms that ship.

use std::sync::OnceLock;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::{RobotModel, RobotSettings};
use crate::lanes::{Lanes, LANES};

/// A joint of a toy: `(type, origin xyz, origin rpy, axis xyz)`.
type ToyJoint = (&'static str, [f64; 3], [f64; 3], [f64; 3]);

fn numbers(v: &[f64; 3]) -> String {
    format!("{} {} {}", v[0], v[1], v[2])
}

/// A serial URDF: links `l0 .. ln`, joints `j1 .. jn`, a fixed `tool` at the end. Every moving link carries a
/// capsule-like pair of shapes along its way to the next joint.
fn serial(joints: &[ToyJoint], tool_m: [f64; 3]) -> String {
    let mut urdf = String::from("<robot name='toy'><link name='l0'/>");
    for (i, (kind, xyz, rpy, axis)) in joints.iter().enumerate() {
        let next = joints.get(i + 1).map_or(tool_m, |j| j.1);
        urdf += &format!(
            "<link name='l{n}'><collision><origin xyz='{x} {y} {z}'/><geometry><sphere radius='0.05'/></geometry></collision></link>\
             <joint name='j{n}' type='{kind}'><parent link='l{i}'/><child link='l{n}'/>\
             <origin xyz='{}' rpy='{}'/><axis xyz='{}'/>\
             <limit lower='-2' upper='2.5' velocity='2' effort='1'/></joint>",
            numbers(xyz), numbers(rpy), numbers(axis),
            n = i + 1, x = 0.5 * next[0], y = 0.5 * next[1], z = 0.5 * next[2],
        );
    }
    urdf + &format!(
        "<link name='tool'/><joint name='jt' type='fixed'><parent link='l{}'/><child link='tool'/>\
         <origin xyz='{}' rpy='0.3 -0.2 0.1'/></joint></robot>",
        joints.len(),
        numbers(&tool_m)
    )
}

fn settings() -> RobotSettings {
    let mut settings = RobotSettings::new("l0", "tool");
    settings.spheres.self_collision_samples = 2048;
    settings
}

fn model(urdf: &str) -> RobotModel {
    RobotModel::from_urdf(urdf, &settings()).unwrap()
}

/// ```text
///   l0 |==(j1 turns about y)==0.5 m==> tool
/// ```
pub(crate) fn one_joint() -> RobotModel {
    model(&serial(
        &[("revolute", [0.0, 0.0, 0.2], [0.0; 3], [0.0, 1.0, 0.0])],
        [0.5, 0.0, 0.0],
    ))
}

/// Planar, both axes up; known by heart: x = a cos q1 + b cos(q1 + q2).
/// ```text
///   l0 (j1)---0.4---(j2)---0.3---tool
/// ```
pub(crate) fn two_joints() -> RobotModel {
    let up = [0.0, 0.0, 1.0];
    model(&serial(
        &[
            ("revolute", [0.0; 3], [0.0; 3], up),
            ("continuous", [0.4, 0.0, 0.0], [0.0; 3], up),
        ],
        [0.3, 0.0, 0.0],
    ))
}

/// A slide, then turns about all directions of axes, one of them askew.
/// ```text
///   l0 ==j1 slides x==> (j2 z) (j3 -y) (j4 x) (j5 -z) (j6 askew) tool
/// ```
pub(crate) fn six_joints() -> RobotModel {
    model(&six_joint_urdf())
}

pub(crate) fn six_joint_urdf() -> String {
    serial(
        &[
            ("prismatic", [0.0, 0.0, 0.3], [0.0; 3], [1.0, 0.0, 0.0]),
            ("revolute", [0.1, 0.0, 0.1], [0.0; 3], [0.0, 0.0, 1.0]),
            (
                "revolute",
                [0.0, 0.1, 0.2],
                [0.5, 0.0, 0.0],
                [0.0, -1.0, 0.0],
            ),
            (
                "revolute",
                [0.3, 0.0, 0.0],
                [0.0, std::f64::consts::FRAC_PI_2, 0.0],
                [1.0, 0.0, 0.0],
            ),
            ("continuous", [0.2, 0.05, 0.0], [0.0; 3], [0.0, 0.0, -1.0]),
            (
                "revolute",
                [0.0, 0.1, 0.1],
                [0.2, 0.3, -0.4],
                [1.0, 2.0, 3.0],
            ),
        ],
        [0.1, 0.02, 0.15],
    )
}

/// Anthropomorphic: shoulder z y z, elbow y, wrist z y z.
/// ```text
///   l0 |(z)(y)(z)---0.32---(y)---0.32---(z)(y)(z)--0.15--tool
/// ```
pub(crate) fn seven_joints() -> RobotModel {
    let (y, z) = ([0.0, 1.0, 0.0], [0.0, 0.0, 1.0]);
    let joint = |height: f64, axis| ("revolute", [0.0, 0.0, height], [0.0; 3], axis);
    model(&serial(
        &[
            joint(0.3, z),
            joint(0.0, y),
            joint(0.16, z),
            joint(0.16, y),
            joint(0.16, z),
            joint(0.16, y),
            joint(0.05, z),
        ],
        [0.0, 0.0, 0.15],
    ))
}

/// A snake of twelve joints, axes x and y in turn.
pub(crate) fn twelve_joints() -> RobotModel {
    let joints: Vec<ToyJoint> = (0..12)
        .map(|i| {
            let axis = if i % 2 == 0 {
                [1.0, 0.0, 0.0]
            } else {
                [0.0, 1.0, 0.0]
            };
            ("revolute", [0.0, 0.0, 0.12], [0.0; 3], axis)
        })
        .collect();
    model(&serial(&joints, [0.0, 0.0, 0.1]))
}

/// A parallelogram: j3 keeps the hand level by mimicking j2 backwards; a finger off the chain mimics j2 too.
/// ```text
///   l0 (j1 z)---(j2 y)---0.4---(j3 = -j2 + 0.2, y)---tool
///                                   \--- finger slides by 0.1 j2 - 0.01
/// ```
pub(crate) const MIMIC_URDF: &str = r#"<robot name="mimic">
  <link name="l0"/><link name="l1"/><link name="l2"/><link name="l3"/><link name="tool"/><link name="finger"/><link name="held"/>
  <joint name="j1" type="revolute"><parent link="l0"/><child link="l1"/><origin xyz="0 0 0.3"/><axis xyz="0 0 1"/>
    <limit lower="-2" upper="2" velocity="1" effort="1"/></joint>
  <joint name="j2" type="revolute"><parent link="l1"/><child link="l2"/><origin xyz="0.1 0 0"/><axis xyz="0 1 0"/>
    <limit lower="-1" upper="1" velocity="1" effort="1"/></joint>
  <joint name="j3" type="revolute"><parent link="l2"/><child link="l3"/><origin xyz="0.4 0 0"/><axis xyz="0 1 0"/>
    <limit lower="-2" upper="2" velocity="1" effort="1"/><mimic joint="j2" multiplier="-1" offset="0.2"/></joint>
  <joint name="jt" type="fixed"><parent link="l3"/><child link="tool"/><origin xyz="0.2 0 0"/></joint>
  <joint name="jf" type="prismatic"><parent link="l3"/><child link="finger"/><origin xyz="0 0.1 0"/><axis xyz="0 1 0"/>
    <limit lower="-1" upper="1" velocity="1" effort="1"/><mimic joint="j2" multiplier="0.1" offset="-0.01"/></joint>
  <joint name="jh" type="prismatic"><parent link="tool"/><child link="held"/><axis xyz="0 0 1"/>
    <limit lower="0.02" upper="1" velocity="1" effort="1"/></joint>
</robot>"#;

pub(crate) fn mimic() -> RobotModel {
    model(MIMIC_URDF)
}

/// All of them.
pub(crate) fn all() -> Vec<RobotModel> {
    vec![
        one_joint(),
        two_joints(),
        six_joints(),
        seven_joints(),
        twelve_joints(),
        mimic(),
    ]
}

/// Random configurations, as lanes and one by one.
pub(crate) fn configurations(robot: &RobotModel, seed: u64) -> (Vec<Lanes>, Vec<Vec<f64>>) {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut single = vec![vec![0.0; robot.limits.dof()]; LANES];
    let lanes = (0..robot.limits.dof())
        .map(|j| {
            let (low, high) = robot.limits.sampling_range(j);
            Lanes::from(std::array::from_fn::<f32, LANES, _>(|lane| {
                let value = rng.random_range(low..high) as f32;
                single[lane][j] = f64::from(value);
                value
            }))
        })
        .collect();
    (lanes, single)
}

/// A shipped arm, `panda` or `fr3`; read once, since fitting its spheres takes longer than most tests.
pub(crate) fn shipped(arm: &str) -> RobotModel {
    static PANDA: OnceLock<RobotModel> = OnceLock::new();
    static FR3: OnceLock<RobotModel> = OnceLock::new();
    let known = if arm == "fr3" { &FR3 } else { &PANDA };
    let load = || {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let urdf = root.join(format!("urdf/{arm}.urdf"));
        let settings = root.join(format!("config/{arm}.yaml"));
        RobotModel::load(&urdf, &settings).expect("the shipped robot")
    };
    known.get_or_init(load).clone()
}
