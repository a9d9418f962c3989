// Runs pick_and_place.xml with BehaviorTree.ROS2: pick_and_place --ros-args -p objects:=[mug,can] -p place:=[0.5,0.3,0.05]

#include <chrono>
#include <csignal>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include <behaviortree_cpp/bt_factory.h>
#include <behaviortree_cpp/loggers/bt_cout_logger.h>
#include <behaviortree_ros2/bt_action_node.hpp>
#include <behaviortree_ros2/bt_service_node.hpp>
#include <rclcpp/rclcpp.hpp>
#include <std_srvs/srv/trigger.hpp>

#include "diffusion_field_planner/action/plan_grasp_motion.hpp"

namespace
{

using diffusion_field_planner::action::PlanGraspMotion;
using Result = PlanGraspMotion::Result;

/// Carries an object to a place; halting cancels the goal, which stops the arm.
class GraspMotion : public BT::RosActionNode<PlanGraspMotion>
{
public:
  using RosActionNode::RosActionNode;

  static BT::PortsList providedPorts()
  {
    return providedBasicPorts({
      BT::InputPort<std::string>("object", "id of the object"),
      BT::InputPort<std::vector<double>>("place", "x;y;z of the object's frame, m; empty: it stays in the hand"),
      BT::InputPort<std::string>("frame", "frame of the place"),
      BT::OutputPort<int>("error_code", "of the result, by name in scripts"),
      BT::OutputPort<std::string>("error_msg", "of the result"),
      BT::OutputPort<bool>("holding", "after a failure: something may be in the hand, which the next goal would let fall"),
    });
  }

  bool setGoal(Goal& goal) override
  {
    std::vector<double> place;
    if (!getInput("object", goal.object_id) || !getInput("place", place)) {
      return false;
    }
    goal.use_gripper = true;
    goal.approach_distance = goal.lift_distance = -1.0;
    if (place.empty()) {
      return true;
    }
    auto& pose = goal.place_pose;
    if (place.size() != 3 || !getInput("frame", pose.header.frame_id)) {
      return false;
    }
    pose.pose.position.x = place[0];
    pose.pose.position.y = place[1];
    pose.pose.position.z = place[2];
    return true;
  }

  // With the planner's parameter `failure_status: succeed` failures come here too.
  BT::NodeStatus onResultReceived(const WrappedResult& wrapped) override
  {
    const auto& result = *wrapped.result;
    const bool grasp_reached = result.grasp_position_error >= 0.0;
    return finish(result.error_code, result.error_msg, grasp_reached && result.error_code != Result::GRASP_EMPTY);
  }

  // No `override`: releases before October 2025 lack it and tell no result; they need `failure_status: succeed`.
  BT::NodeStatus onFailure(BT::ActionNodeErrorCode error, const std::optional<WrappedResult>& wrapped)
  {
    return wrapped && wrapped->result ? onResultReceived(*wrapped) : onFailure(error);
  }

  BT::NodeStatus onFailure(BT::ActionNodeErrorCode error) override
  {
    switch (error) {
      case BT::SERVER_UNREACHABLE:
      case BT::SEND_GOAL_TIMEOUT:
        return finish(Result::SEND_GOAL_FAILURE, BT::toStr(error));
      case BT::GOAL_REJECTED_BY_SERVER:
        return finish(Result::GOAL_REJECTED, BT::toStr(error));
      case BT::ACTION_CANCELLED:
        return finish(Result::CANCELED, BT::toStr(error));
      default:
        return finish(Result::UNKNOWN, BT::toStr(error));
    }
  }

private:
  BT::NodeStatus finish(int code, const std::string& message, bool holding = false)
  {
    setOutput("holding", holding);
    setOutput("error_code", code);
    setOutput("error_msg", message);
    return code == Result::NONE ? BT::NodeStatus::SUCCESS : BT::NodeStatus::FAILURE;
  }
};

/// Brings the arm to rest.
class Stop : public BT::RosServiceNode<std_srvs::srv::Trigger>
{
public:
  using RosServiceNode::RosServiceNode;

  bool setRequest(Request::SharedPtr&) override { return true; }

  BT::NodeStatus onResponseReceived(const Response::SharedPtr& response) override
  {
    return response->success ? BT::NodeStatus::SUCCESS : BT::NodeStatus::FAILURE;
  }
};

/// Moves the first of `objects` to `object`; fails when none is left.
class NextObject : public BT::SyncActionNode
{
public:
  using SyncActionNode::SyncActionNode;

  static BT::PortsList providedPorts()
  {
    return {
      BT::BidirectionalPort<std::vector<std::string>>("objects", "ids that are left; the first is taken"),
      BT::OutputPort<std::string>("object", "id of the next object"),
    };
  }

  BT::NodeStatus tick() override
  {
    std::vector<std::string> objects;
    if (!getInput("objects", objects) || objects.empty()) {
      return BT::NodeStatus::FAILURE;
    }
    setOutput("object", objects.front());
    objects.erase(objects.begin());
    setOutput("objects", objects);
    return BT::NodeStatus::SUCCESS;
  }
};

/// The codes that scripts of the tree may name.
void register_codes(BT::BehaviorTreeFactory& factory)
{
#define CODE(name) factory.registerScriptingEnum(#name, Result::name)
  CODE(NONE);
  CODE(GOAL_REJECTED);
  CODE(SEND_GOAL_FAILURE);
  CODE(UNKNOWN);
  CODE(INVALID_REQUEST);
  CODE(PREEMPTED);
  CODE(CANCELED);
  CODE(ROBOT_MODEL);
  CODE(ROBOT_STATE_STALE);
  CODE(START_STATE_INVALID);
  CODE(START_STATE_MOVING);
  CODE(START_IN_COLLISION);
  CODE(UNKNOWN_OBJECT);
  CODE(OBJECT_STALE);
  CODE(TF_ERROR);
  CODE(INVALID_LINK);
  CODE(NO_GRASP);
  CODE(NO_IK_SOLUTION);
  CODE(GOAL_IN_COLLISION);
  CODE(NO_PATH);
  CODE(NOT_CONVERGED);
  CODE(TIMEOUT);
  CODE(CONTROLLER_UNAVAILABLE);
  CODE(CONTROLLER_REJECTED);
  CODE(EXECUTION_FAILED);
  CODE(SCENE_CHANGED);
  CODE(GRIPPER_FAILED);
  CODE(GRASP_EMPTY);
  CODE(INTERNAL);
#undef CODE
}

BT::RosNodeParams params_for(const std::shared_ptr<rclcpp::Node>& node, const std::string& name)
{
  BT::RosNodeParams params;
  params.nh = node;
  params.default_port_value = name;
  params.server_timeout = std::chrono::seconds(3);
  params.wait_for_server_timeout = std::chrono::seconds(10);
  return params;
}

volatile std::sig_atomic_t interrupted = 0;

}  // namespace

int main(int argc, char** argv)
{
  // Ctrl-C must leave rclcpp alive, to cancel the goal.
  rclcpp::init(argc, argv, rclcpp::InitOptions(), rclcpp::SignalHandlerOptions::None);
  std::signal(SIGINT, [](int) { interrupted = 1; });
  const auto node = std::make_shared<rclcpp::Node>("pick_and_place_tree");

  BT::BehaviorTreeFactory factory;
  register_codes(factory);
  factory.registerNodeType<NextObject>("NextObject");
  factory.registerNodeType<GraspMotion>("PlanGraspMotion", params_for(node, "diffusion_field_planner/plan_grasp_motion"));
  factory.registerNodeType<Stop>("Stop", params_for(node, "diffusion_field_planner/stop"));

  const auto blackboard = BT::Blackboard::create();
  blackboard->set("objects", node->declare_parameter("objects", std::vector<std::string>{"object"}));
  blackboard->set("place", node->declare_parameter("place", std::vector<double>{}));
  blackboard->set("frame", node->declare_parameter("frame", "panda_link0"));
  auto tree = factory.createTreeFromFile(node->declare_parameter("tree", "pick_and_place.xml"), blackboard);
  const BT::StdCoutLogger logger(tree);

  auto status = BT::NodeStatus::RUNNING;
  while (status == BT::NodeStatus::RUNNING && !interrupted) {
    status = tree.tickOnce();
    tree.sleep(std::chrono::milliseconds(50));
  }
  tree.haltTree();
  std::string message;
  if (status != BT::NodeStatus::SUCCESS && blackboard->get("error_msg", message)) {
    std::cerr << message << '\n';
  }
  rclcpp::shutdown();
  return status == BT::NodeStatus::SUCCESS ? 0 : 1;
}
