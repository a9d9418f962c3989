"""Takes a CPU libtorch, as tch wants it, out of PyPI's torch wheel.

Usage: assemble_libtorch.py WHEELS_FOLDER DESTINATION

The wheel is a GPU build: its libtorch_cpu.so names two small CUDA libraries, which come from wheels of their own and are
loaded, never called. The GPU parts themselves stay behind.
"""

import sys
import zipfile
from pathlib import Path, PurePosixPath

# Wheel name -> path inside it -> path below DESTINATION.
LIBRARIES = {
    "torch": ["torch/lib/libtorch_cpu.so", "torch/lib/libc10.so", "torch/lib/libgomp.so.1"],
    "nvidia_cuda_runtime": ["nvidia/cu13/lib/libcudart.so.13"],
    "nvidia_cuda_cupti": ["nvidia/cu13/lib/libcupti.so.13"],
}


def extract(wheel: zipfile.ZipFile, member: str, destination: Path) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    with wheel.open(member) as source, destination.open("wb") as target:
        while block := source.read(1 << 22):
            target.write(block)


def main() -> None:
    wheels, destination = Path(sys.argv[1]), Path(sys.argv[2])
    for name, members in LIBRARIES.items():
        (path,) = wheels.glob(f"{name}-*.whl")
        with zipfile.ZipFile(path) as wheel:
            for member in members:
                extract(wheel, member, destination / "lib" / PurePosixPath(member).name)
            if name != "torch":
                continue
            for member in wheel.namelist():
                if member.startswith("torch/include/") and not member.endswith("/"):
                    extract(wheel, member, destination / PurePosixPath(member).relative_to("torch"))
            # tch reads the version from here.
            version = path.name.split("-")[1]
            (destination / "build-version").write_text(version + "\n")
    (destination / "lib" / "libtorch.so").write_text("INPUT(-ltorch_cpu)\n")


if __name__ == "__main__":
    main()
