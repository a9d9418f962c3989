//! `planner_node`: plans grasps and motions, and commands the arm. Interface: `docs/INTERFACE.md`.

use anyhow::Context as _;
use diffusion_field_planner::ros::node::PlannerNode;
use diffusion_field_planner::ros::parameters::Parameters;
use diffusion_field_planner::ros::{parameter_services, spin};
use futures::executor::LocalPool;

fn main() -> anyhow::Result<()> {
    if std::env::args().any(|argument| argument == "--print-parameters") {
        print!("{}", Parameters::markdown());
        return Ok(());
    }
    let stop = spin::stop_on_signals()?;
    let context =
        r2r::Context::create().context("ROS 2 cannot start: is an installation sourced?")?;
    let mut node = r2r::Node::create(context.clone(), "diffusion_field_planner", "")?;
    let mut parameters = Parameters::default();
    for name in parameter_services::apply_overrides(&node, &mut parameters)? {
        r2r::log_warn!("planner", "unknown parameter '{name}'");
    }
    let mut pool = LocalPool::new();
    let running = PlannerNode::start(&mut node, parameters, &pool.spawner())?;
    r2r::log_info!("planner", "ready");
    spin::spin(&context, &mut node, &mut pool, &stop, || running.is_busy());
    running.shut_down(&mut node, &mut pool);
    Ok(())
}
