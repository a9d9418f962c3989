//! What stands around the robot, as signed distance.
