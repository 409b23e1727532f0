"""A Spark with two executors in processes of their own, a PostgreSQL, and an independent server, for all tests here.

They need Java and pyspark, and an environment of their own: `.ci/spark` makes it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from ..proof.control import Tenant, TenantServer
from ..support.postgres import free_port
from ..support.tenant_fixtures import tenant, tenant_server

__all__ = ["tenant", "tenant_server"]

ROOT = Path(__file__).parents[2]

_JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""Nothing here runs for long enough to be worth the better compiler of Java."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.engine)
            # The first one starts Spark.
            item.add_marker(pytest.mark.timeout(300))
            # py4j leaves its sockets to the garbage collection.
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"))
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


@pytest.fixture(scope="session")
def page_tenant(tenant_server: TenantServer) -> Tenant:
    """The client number that the environment of the executors names."""
    return tenant_server.tenant()


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory, page_tenant: Tenant) -> Iterator[Any]:
    """A session of Spark, with two executors that have one core each."""
    pyspark = pytest.importorskip("pyspark", reason="pyspark is not installed: .ci/spark makes an environment for it")
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("there is no Java")
    folder = tmp_path_factory.mktemp("spark")
    os.environ |= {
        "SPARK_HOME": str(Path(pyspark.__file__).parent),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
    settings = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "1g",
        "spark.executor.memory": "1g",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.extraJavaOptions": _JAVA,
        "spark.executor.extraJavaOptions": _JAVA,
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.local.dir": str(folder),
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        # A task that takes longer than twice the others is started a second time.
        "spark.speculation": "true",
        "spark.speculation.interval": "100ms",
        "spark.speculation.quantile": "0.5",
        "spark.speculation.multiplier": "2",
        "spark.speculation.minTaskRuntime": "3s",
        # A task starts wherever there is a free core, at once.
        "spark.locality.wait": "0s",
        **{f"spark.executorEnv.{name}": value for name, value in environment_of(page_tenant).items()},
    }
    with cluster(folder) as master:
        builder = pyspark.sql.SparkSession.builder.master(master)
        for name, value in settings.items():
            builder = builder.config(name, value)
        session = builder.getOrCreate()
        session.sparkContext.setLogLevel("OFF")
        yield session
        session.stop()


def environment_of(tenant: Tenant) -> dict[str, str]:
    """The settings of a client in the environment."""
    return {"AMILI_ARM_CLIENT_NO": str(tenant.client), "AMILI_ARM_BASE_URL": tenant.base_url, "AMILI_ARM_TOKEN": "a-token"}


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """A master, and two workers that take each other for other machines: on one machine alone, Spark never speculates."""
    port = free_port()
    program = str(Path(os.environ["SPARK_HOME"], "bin", "spark-class"))
    master = f"spark://127.0.0.1:{port}"
    commands = [["master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", "0"]]
    for number in (1, 2):
        where = ["--host", f"127.0.0.{number}", "--webui-port", "0", "--work-dir", str(folder / f"worker{number}")]
        commands.append(["worker.Worker", *where, "--cores", "1", "--memory", "1g", master])
    with ExitStack() as stack:
        for name, *arguments in commands:
            address = arguments[1]
            environment = {
                **os.environ,
                "SPARK_LOCAL_IP": address,
                "SPARK_LOCAL_HOSTNAME": address,
                "SPARK_DAEMON_MEMORY": "256m",
                "SPARK_DAEMON_JAVA_OPTS": _JAVA,
            }
            command = [program, f"org.apache.spark.deploy.{name}", *arguments]
            log = stack.enter_context((folder / f"{name}-{address}.log").open("wb"))
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.terminate)
        yield master
