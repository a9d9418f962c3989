//! Bakes the folders of the ROS 2 and libtorch libraries into every binary, so that they run from a plain shell, and looks
//! whether the optional interfaces are there (`cfg(franka_msgs)`, `cfg(moveit_msgs)`).
//!
//! DT_RPATH and not the newer DT_RUNPATH: ROS 2 opens its type supports by name from inside librcutils, and only DT_RPATH
//! of the executable holds there too. `$ORIGIN/..` serves an install space, PREFIX/lib/diffusion_field_planner/planner_node.

use std::env;
use std::path::{Path, PathBuf};

/// Interface packages that not every ROS installation has.
const OPTIONAL_PACKAGES: [&str; 2] = ["franka_msgs", "moveit_msgs"];
/// Where an installed prefix says what it holds.
const PACKAGE_INDEX: &str = "share/ament_index/resource_index/packages";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let ros = env::var_os("CARGO_FEATURE_ROS").is_some();
    let torch = env::var_os("CARGO_FEATURE_TORCH").is_some();
    let mut folders = Vec::new();
    for package in OPTIONAL_PACKAGES {
        println!("cargo:rustc-check-cfg=cfg({package})");
        let holds = |prefix: PathBuf| prefix.join(PACKAGE_INDEX).join(package).exists();
        if ros && path_list("AMENT_PREFIX_PATH").any(holds) {
            println!("cargo:rustc-cfg={package}");
        }
    }
    if ros {
        folders.push(PathBuf::from("$ORIGIN/.."));
        folders.extend(path_list("AMENT_PREFIX_PATH").map(|prefix| prefix.join("lib")));
    }
    if torch {
        folders.extend(path_list("LIBTORCH").map(|root| root.join("lib")));
    }
    if folders.is_empty() {
        return;
    }
    println!("cargo:rustc-link-arg=-Wl,--disable-new-dtags");
    for folder in &folders {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", shown(folder));
    }
}

/// Absolute folders of a colon-separated environment variable; a change of it runs this script again.
fn path_list(name: &str) -> impl Iterator<Item = PathBuf> {
    println!("cargo:rerun-if-env-changed={name}");
    let value = env::var_os(name).unwrap_or_default();
    let folders: Vec<PathBuf> = env::split_paths(&value)
        .filter(|path| path.is_absolute())
        .collect();
    folders.into_iter()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
