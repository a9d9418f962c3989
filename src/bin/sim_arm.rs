//! `sim_arm`: a simulated arm to try the planner with. Parameters: `docs/PARAMETERS.md`.

use anyhow::Context as _;
use diffusion_field_planner::ros::sim::{node, parameters::SimParameters};
use diffusion_field_planner::ros::{parameter_services, spin};
use futures::executor::LocalPool;

fn main() -> anyhow::Result<()> {
    let stop = spin::stop_on_signals()?;
    let context =
        r2r::Context::create().context("ROS 2 cannot start: is an installation sourced?")?;
    let mut ros_node = r2r::Node::create(context.clone(), "sim_arm", "")?;
    let mut parameters = SimParameters::default();
    for name in parameter_services::apply_overrides(&ros_node, &mut parameters)? {
        r2r::log_warn!("sim_arm", "unknown parameter '{name}'");
    }
    let mut pool = LocalPool::new();
    node::start(&mut ros_node, &parameters, &pool.spawner())?;
    r2r::log_info!("sim_arm", "ready");
    spin::spin(&context, &mut ros_node, &mut pool, &stop, || true);
    Ok(())
}
