"""The stub of NVML (tests/nvml-stub), for whatever here plays GPUs."""

import os
import subprocess

SOURCE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "nvml-stub", "nvml.c")


def build(library):
    """Compiles it into the file. It stays loaded when the agent closes it, as the real one does."""
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-Wl,-z,nodelete", "-o", library, SOURCE, "-lpthread"], check=True)
