"""The examples of Docs/cohorts.md: scripts of batch systems are rendered, not submitted; the others are at least right
in their syntax and in the names they use.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "Docs" / "cohorts.md"
pytest.importorskip("distributed", reason="dask distributed is not installed")


def block(language: str, words: str) -> str:
    blocks = re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.M | re.S)
    (found,) = [one for one in blocks if words in one]
    return found


def rendered(words: str, name: str) -> str:
    """The job script that an example would submit."""
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    names: dict = {"__name__": "rendered"}
    exec(compile(block("python", words), f"{name}.py", "exec"), names)
    try:
        return names["cluster"].job_script()
    finally:
        names["cluster"].close()


@pytest.mark.parametrize(
    "words, name, directives",
    [
        ("SLURMCluster", "slurm", ["#SBATCH -p normal", "#SBATCH --cpus-per-task=8", "#SBATCH -t 08:00:00"]),
        ("PBSCluster", "pbs", ["#PBS -q normal", "#PBS -l select=1:ncpus=8:mem=8GB", "#PBS -l walltime=08:00:00"]),
    ],
)
def test_the_script_of_a_batch_system_asks_for_what_the_page_says(words, name, directives):
    script = rendered(words, name)
    for line in (*directives, "export DASK_DISTRIBUTED__NANNY__PRE_SPAWN_ENVIRON__OMP_NUM_THREADS=8"):
        assert line in script.splitlines(), script
    (command,) = [line for line in script.splitlines() if "distributed.cli.dask_worker" in line]
    assert "--nthreads 1 " in command and command.rstrip().endswith("--memory-limit 0"), command


def test_the_pods_of_kubernetes_are_what_the_page_says():
    pytest.importorskip("dask_kubernetes", reason="dask-kubernetes is not installed")
    names: dict = {"__name__": "rendered"}
    exec(compile(block("python", "KubeCluster"), "on_kubernetes.py", "exec"), names)
    (container,) = names["spec"]["spec"]["worker"]["spec"]["containers"]
    assert container["args"][:3] == ["dask", "worker", "--name"] and "--nthreads" in container["args"]
    assert {"name": "data", "mountPath": "/data"} in container["volumeMounts"]


def test_the_configuration_of_tls_is_one_that_dask_takes(tmp_path):
    yaml = pytest.importorskip("yaml", reason="pyyaml is not installed")
    import dask.config
    from distributed.security import Security

    told = yaml.safe_load(block("yaml", "require-encryption"))
    with dask.config.set(dask.config.merge(dask.config.config, told)):
        security = Security()
    assert security.require_encryption and security.tls_ca_file.endswith("cert.pem")
    assert security.tls_client_cert.endswith("cert.pem") and security.tls_worker_key.endswith("key.pem")
    assert security.tls_scheduler_key.endswith("key.pem")


def test_the_page_of_scale_is_what_its_script_computes():
    from Testing.benchmarks import scale

    assert scale.page() == scale.PAGE.read_text(encoding="utf-8"), "run: python -m Testing.benchmarks.scale"


def test_the_tables_of_the_page_are_what_was_measured_and_what_soak_has_left():
    from Testing.benchmarks import cohort
    from Testing.soak import run

    text = PAGE.read_text(encoding="utf-8")
    assert run.page() == text, "run: python -m Testing.soak.run --record"
    assert cohort.page(json.loads(cohort.RESULT.read_text(encoding="utf-8"))) == text
