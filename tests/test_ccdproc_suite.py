"""Run the tests of ccdproc's combiner, as installed, on gpustack."""

import importlib.util
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from importlib.metadata import version
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ccdproc") is None or version("ccdproc") != "2.5.1",
    reason="needs ccdproc 2.5.1, whose tests are counted here",
)

#: Tests of ccdproc's private functions, which are not run.
DESELECTED = {
    "test_ystep_calculation": "the private function by which ccdproc cuts an image into tiles",
}
#: The number of all other tests of the file.
EXPECTED = 67

#: A pytest plugin that replaces the two names in ccdproc's combiner module by those of gpustack.
SWAP = """
import ccdproc.combiner
import gpustack

ccdproc.combiner.Combiner = gpustack.Combiner
ccdproc.combiner.combine = gpustack.combine


def pytest_collection_modifyitems(items):
    for item in items:
        assert item.module.Combiner is gpustack.Combiner
        assert item.module.combine is gpustack.combine
"""


def test_ccdprocs_tests_pass_after_changing_the_import(tmp_path):
    (tmp_path / "swap.py").write_text(SWAP)
    report = tmp_path / "report.xml"
    root = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-m", "pytest", "-p", "swap", "-p", "no:cacheprovider"]
    command += ["-c", os.devnull, f"--rootdir={tmp_path}", f"--junitxml={report}"]
    command += ["-k", " and ".join(f"not {name}" for name in DESELECTED)]
    command += ["--pyargs", "ccdproc.tests.test_combiner"]
    path = os.pathsep.join([str(tmp_path), str(root)])
    run = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    cases = list(ET.parse(report).getroot().iter("testcase"))
    passed = [case for case in cases if not len(case)]  # failures and skips have a child element
    assert len(passed) == len(cases) == EXPECTED
