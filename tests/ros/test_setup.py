"""The set-up, which tests only read."""

import subprocess

import pytest
from conftest import PROJECT


def test_in_the_environment_that_it_made_nothing_is_made_again():
    """It had taken its own Python for the system's, and its own folder for one of another Python."""
    script = """
        . scripts/prefix.bash
        if [ -n "$ros_sourced" ]; then echo sourced; exit; fi
        is_complete "$prefix/ros" "$(ros_hash)" && [ -f "$(interfaces_dir)/.complete" ] && echo complete"""
    # scripts/env again: inside a test run that is already so, it must still change nothing.
    found = subprocess.run(
        ["scripts/env", "bash", "-euc", script], cwd=PROJECT, capture_output=True, text=True
    )
    if found.stdout.strip() == "sourced":
        pytest.skip("ROS 2 is sourced")
    assert found.stdout.strip() == "complete", found.stderr
