#!/usr/bin/env python3
"""Runs the client acceptance tests: stock Milvus clients against a datacoord server.

    run.py                                   every suite, each against its own server (target/release/datacoord)
    run.py --only pymilvus-3.0.2 node        the suites whose names start so
    run.py --endpoint HOST:PORT --http HOST:PORT      against a server that is already there
    run.py --list

Two suites run at once, each against a server of its own; over a given server one after the other.

Each client's environment is made once under <repo>/.envs/<name> and made again when its pin files change. A suite
whose toolchain (go, java and mvn, node and npm, curl) is missing is skipped by name; with CI=true that is a failure,
and an environment goes when the last suite that needs it has ended.
A suite learns where the server is from E2E_GRPC, E2E_HTTP and, if the driver started it, E2E_FILES (its files).
A suite that starts the server itself, to kill it, gets E2E_BINARY. E2E_TLS_FILES is the folder of the certificates of a
server with TLS. E2E_PROGRAMS is the folder of the binary, for what was built beside it. A suite over a bucket
starts the S3 server E2E_S3; its program is E2E_S3_PROGRAM, unless it is a package.
"""

import argparse
import contextlib
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPO = HERE.parent.parent
ENVS = REPO / ".envs"

READY_SECONDS = 30
STOP_SECONDS = 20
BUILD_SECONDS = 1200
SUITE_SECONDS = 180
SUITES_AT_ONCE = 2
BUCKET_SECONDS = 300  # of a suite over a bucket
STOCK_SECONDS = 600  # of a suite that starts stock Milvus itself
HISTORY_SECONDS = 25  # of concurrent clients whose history is checked
FOREIGN_SECONDS = 900  # of a server that was there already: stock Milvus takes seconds for each flush
TAIL_LINES = 80
IN_CI = os.environ.get("CI") == "true"
BUCKET_PATH = f"{HERE / 'python'}{os.pathsep}{HERE / 's3'}"
# All settings of binlogs, far from their usual values.
UNUSUAL_BINLOGS = """
datacoord:
  binlog: {zstdLevel: 9, pageSize: 4096, rowGroupRows: 100, dictionary: false}
"""
# Open indexes lie in files. FOLDER is that of the server.
MAPPED = """
queryNode: {mmapDirPath: FOLDER/maps}
"""


# Callers need a user; root has its first password.
USERS = """
common:
  security: {authorizationEnabled: true}
"""
USERS_TOKEN = {"E2E_TOKEN": "root:Milvus"}


class Failure(Exception):
    """A suite, an environment or a server has failed."""


class Skip(Exception):
    """A suite can't run here; the text says why."""


# Each serves one caller at a time: the package manager of the machine, and Maven's folder of what it has fetched.
APT = threading.Lock()
MAVEN = threading.Lock()

# --- environments -----------------------------------------------------------------------------------------------


def build(command, cwd=None, **env):
    """Runs one command that makes an environment; its output is shown only when it fails."""
    status, output = run_bounded(command, cwd, env, BUILD_SECONDS)
    if status != 0:
        raise Failure(f"{' '.join(map(str, command))}: {status}\n{tail(output)}")


def python_env(name, requirements):
    """A virtual environment with exactly the packages of a requirements file."""

    def make(target):
        build([sys.executable, "-m", "venv", target])
        build([target / "bin" / "pip", "install", "--quiet", "--requirement", requirements])

    version = "python %d.%d" % sys.version_info[:2]
    return Environment(name, [requirements], [], make, version)


def stock_env():
    """The real server. Its package has no build for other Linux machines."""
    environment = python_env("milvus-2.3.5", HERE / "stock" / "requirements-milvus-2.3.5.txt")
    make = environment.make

    def make_where_it_runs(target):
        if platform.system() == "Linux" and platform.machine() != "x86_64":
            raise Skip(f"no milvus 2.3.5 for {platform.machine()}")
        make(target)

    environment.make = make_where_it_runs
    environment.alone = True
    return environment


def node_env(name, folder):
    """node_modules as the lock file has them."""

    def make(target):
        for pin in ("package.json", "package-lock.json"):
            shutil.copy(folder / pin, target)
        build(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=target)

    return Environment(name, [folder / "package.json", folder / "package-lock.json"], ["node", "npm"], make)


def go_env(name, folder):
    """The program in a Go module, built with the versions of its go.sum."""

    def make(target):
        build(["go", "build", "-mod=readonly", "-o", target / "test", "."], cwd=folder)

    shared = folder.parent / "check"
    return Environment(name, sorted([*folder.glob("*.*"), *shared.glob("*.*")]), ["go"], make)


def go_tool(name, package, program):
    """A program installed straight from its Go module at a fixed version. The sources go, and what the compiler keeps:
    they are many times its size, and nothing else uses them."""

    def make(target):
        with tempfile.TemporaryDirectory(dir=target) as folder:
            build(["go", "install", package], GOBIN=str(target), GOMODCACHE=f"{folder}/sources",
                  GOCACHE=f"{folder}/compiled", GOFLAGS="-modcacherw")

    return Environment(name, [], ["go"], make, f"{package} {program}")


def prometheus_env():
    """Prometheus and promtool: those of this machine, or out of Debian's package, which is unpacked and not installed."""
    programs = ("prometheus", "promtool")

    def make(target):
        found = {program: shutil.which(program) for program in programs}
        if not all(found.values()):
            if shutil.which("apt-get") is None:
                raise Skip("no prometheus, and no apt-get to fetch it with")
            if not any(Path("/var/lib/apt/lists").glob("*_Packages*")):
                build(["apt-get", "update", "--quiet"])
            build(["apt-get", "download", "--quiet", "prometheus"], cwd=target)
            (package,) = target.glob("*.deb")
            build(["dpkg-deb", "--extract", package, target / "files"])
            package.unlink()
            found = {program: target / "files" / "usr" / "bin" / program for program in programs}
        for program in programs:
            (target / program).symlink_to(found[program])

    return Environment("prometheus", [], [], make, "Debian's package", lock=APT)


def chromium_env():
    """A browser: the machine's, or, if root runs this, the one that the package manager has."""
    names = ("chromium", "chromium-browser", "google-chrome")

    def found():
        return next(filter(None, map(shutil.which, names)), None)

    def make(target):
        if found() is None:
            if os.geteuid() != 0 or shutil.which("apt-get") is None:
                raise Skip("no " + ", ".join(names))
            build(["apt-get", "update", "-qq"])
            build(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium", "fonts-dejavu-core"],
                  DEBIAN_FRONTEND="noninteractive")
        (target / "chromium").symlink_to(found())

    # A machine that has lost it makes the environment again.
    return Environment("chromium", [], [], make, f"{found()}", lock=APT)


def maven_env(name, folder):
    """The classes of a Maven project beside the jars it needs."""

    def make(target):
        build(["mvn", "--batch-mode", "--quiet", "compile", "dependency:copy-dependencies",
               f"-DbuildDirectory={target}", f"-DoutputDirectory={target}/lib"], cwd=folder)

    pins = [folder / "pom.xml", *sorted(folder.glob("*.java")), *sorted((folder.parent / "common").glob("*.java"))]
    return Environment(name, pins, ["java", "mvn"], make, lock=MAVEN)


@dataclass
class Environment:
    """The environment of a client: made once, reused while its stamp is unchanged."""

    name: str
    pins: list
    tools: list
    make: object
    version: str = ""
    lock: object = field(default_factory=threading.Lock)  # held while it is made
    alone: bool = False  # one suite at a time

    @property
    def path(self):
        return ENVS / self.name

    def stamp(self):
        digest = hashlib.sha256(self.version.encode())
        for pin in self.pins:
            digest.update(pin.name.encode() + b"\0" + pin.read_bytes())
        return digest.hexdigest()

    def ensure(self):
        need_tools(self.tools)
        with self.lock:
            self.ensure_alone()

    def ensure_alone(self):
        stamp = self.path / ".stamp"
        if stamp.exists() and stamp.read_text() == self.stamp():
            return
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True)
        self.make(self.path)
        stamp.write_text(self.stamp())


def need_tools(tools):
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        raise Skip("no " + ", ".join(missing))


# --- suites -----------------------------------------------------------------------------------------------------


@dataclass
class Suite:
    """One line of the report: a command in an environment, with a server of its own."""

    name: str
    environments: list
    command: list
    needs: tuple = ("grpc",)
    tools: tuple = ()
    env: dict = field(default_factory=dict)
    seconds: int = SUITE_SECONDS
    settings: str = ""  # of the server, as YAML; none: its defaults
    tls: int = 0  # common.security.tlsMode of the server
    on_request: bool = False  # only if --only names it

    def alone(self):
        """-> names of the environments that no other suite may use meanwhile"""
        return {environment.name for environment in self.environments if environment.alone}


def pytest_suite(name, environment, script, others=(), env=None, **options):
    """One script under pytest, with the reasons of skipped tests."""
    python = environment.path / "bin" / "python"
    command = [python, "-m", "pytest", "-q", "-rs", "--tb=short", "-p", "no:cacheprovider", HERE / script]
    env = {"PYTHONPATH": f"{HERE / 'python'}:{HERE / 'operator'}", "PYTHONDONTWRITEBYTECODE": "1", **(env or {})}
    return Suite(name, [environment, *others], command, env=env, **options)


def suites():
    found = []
    pymilvus = {version: python_env(f"pymilvus-{version}", HERE / "python" / f"requirements-{version}.txt")
                for version in ("2.3.7", "2.6.17", "3.0.2")}
    for version, environment in pymilvus.items():
        for script in ("orm", "client", "errors", "indexes", "descriptors"):
            needs = () if script == "descriptors" else ("grpc",)
            found.append(pytest_suite(f"pymilvus-{version}/{script}", environment, f"python/{script}.py", needs=needs))
        if version != "2.6.17":
            found.append(pytest_suite(f"pymilvus-{version}/users", environment, "python/users.py", settings=USERS,
                                      env=USERS_TOKEN))
    # The same with indexes in mapped files.
    found.append(pytest_suite("pymilvus-2.3.7/indexes-mapped", pymilvus["2.3.7"], "python/indexes.py", settings=MAPPED))
    found.append(pytest_suite("pymilvus-2.3.7/mapped", pymilvus["2.3.7"], "python/mapped.py", needs=("binary",)))
    frameworks = python_env("frameworks", HERE / "python" / "requirements-frameworks.txt")
    found.append(pytest_suite("frameworks", frameworks, "python/frameworks.py"))
    newest = pymilvus["3.0.2"]
    found.append(pytest_suite("binlogs", newest, "python/binlogs.py", needs=("grpc", "files")))

    stock = stock_env()
    found.append(pytest_suite("milvus-2.3.5-reads", pymilvus["2.3.7"], "stock/reads_ours.py", others=[stock],
                              needs=("grpc", "files"), env={"E2E_STOCK": str(stock.path / "bin" / "milvus-server")},
                              seconds=STOCK_SECONDS))
    found.append(pytest_suite("milvus-2.3.5-reads/settings", pymilvus["2.3.7"], "stock/reads_ours.py", others=[stock],
                              needs=("grpc", "files"), settings=UNUSUAL_BINLOGS, seconds=STOCK_SECONDS,
                              env={"E2E_STOCK": str(stock.path / "bin" / "milvus-server"), "E2E_ROW_GROUPS": "yes"}))

    found.append(pytest_suite("milvus-2.3.5-searches", pymilvus["2.3.7"], "stock/searches.py", others=[stock],
                              env={"E2E_STOCK": str(stock.path / "bin" / "milvus-server")}, seconds=STOCK_SECONDS))

    # The answers of both servers beside the same recording, and so beside each other. Those of the real one change with
    # the scenarios alone: `make recording` compares them.
    recorder = [pymilvus["2.3.7"].path / "bin" / "python", HERE / "recorder" / "recorder.py", "--quiet"]
    paths = {"PYTHONPATH": str(HERE / "stock"), "PYTHONDONTWRITEBYTECODE": "1"}
    found.append(Suite("recorder", [pymilvus["2.3.7"]], recorder, env=paths))
    found.append(Suite("recorder/milvus-2.3.5", [pymilvus["2.3.7"], stock], [*recorder, "--stock"], needs=(),
                       env={"E2E_STOCK": str(stock.path / "bin" / "milvus-server"), **paths}, seconds=STOCK_SECONDS,
                       on_request=True))

    found.append(pytest_suite("rest", newest, "shell/rest.py", needs=("grpc", "http"), tools=("curl",)))
    grpcurl = go_tool("grpcurl-1.9.3", "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3", "grpcurl")
    found.append(pytest_suite("grpcurl", newest, "shell/grpcurl.py", others=[grpcurl],
                              env={"E2E_GRPCURL": str(grpcurl.path / "grpcurl")}))
    found.append(pytest_suite("examples", newest, "examples.py", others=[grpcurl], needs=("grpc", "http"),
                              tools=("curl",), env={"GRPCURL": str(grpcurl.path / "grpcurl")}))
    for version in ("2.3.7", "3.0.2"):
        for mode, name in ((1, "one-way"), (2, "mutual")):
            found.append(pytest_suite(f"tls-{name}/pymilvus-{version}", pymilvus[version], "python/tls.py",
                                      others=[grpcurl], needs=("grpc", "http", "files"), tools=("curl", "openssl"),
                                      env={"E2E_TLS": name, "E2E_GRPCURL": str(grpcurl.path / "grpcurl")}, tls=mode))
    cli = python_env("milvus-cli-1.2.1", HERE / "cli" / "requirements-1.2.1.txt")
    found.append(pytest_suite("milvus_cli-1.2.1", cli, "cli/cli.py",
                              env={"E2E_MILVUS_CLI": str(cli.path / "bin" / "milvus_cli")}))
    found.append(pytest_suite("milvus_cli-1.2.1/users", cli, "cli/users.py", settings=USERS,
                              env={"E2E_MILVUS_CLI": str(cli.path / "bin" / "milvus_cli"), **USERS_TOKEN}))

    # Real S3 servers. The suites start the server themselves, to stop and to starve it.
    bucket = python_env("s3", HERE / "s3" / "requirements.txt")
    minio = go_tool("minio-20260212", "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c", "minio")
    programs = {"moto": [], "minio": [minio]}
    for kind, others in programs.items():
        env = {"E2E_S3": kind, "E2E_S3_PROGRAM": str(minio.path / "minio"), "PYTHONPATH": BUCKET_PATH}
        found.append(pytest_suite(f"s3/{kind}", bucket, "s3/bucket.py", others=others, needs=("binary",), env=env,
                                  seconds=BUCKET_SECONDS))
    env = {"E2E_S3_PROGRAM": str(minio.path / "minio"), "PYTHONPATH": BUCKET_PATH}
    found.append(pytest_suite("deploy", bucket, "deploy/deploy.py", others=[minio], needs=("binary",), tools=("curl",),
                              env=env))

    # Our own command line. Its suite with TLS makes no connection with pymilvus.
    for script in ("commands", "progress", "offline", "documented", "backup", "stored"):
        found.append(pytest_suite(f"operator/{script}", newest, f"operator/{script}.py", needs=("grpc", "http", "files")))
    found.append(pytest_suite("operator/traces", newest, "operator/traces.py", needs=("grpc", "http", "files"),
                              tools=("openssl",)))
    found.append(pytest_suite("documented/walks", newest, "documented/walks.py", needs=("grpc", "http"),
                              tools=("curl",)))
    found.append(pytest_suite("documented/rest", newest, "documented/rest.py", needs=("grpc", "http"), tools=("curl",)))
    found.append(pytest_suite("documented/rpc", newest, "documented/rpc.py", others=[grpcurl], needs=("grpc", "http"),
                              env={"E2E_GRPCURL": str(grpcurl.path / "grpcurl")}))
    found.append(pytest_suite("operator/secured", newest, "operator/secured.py", needs=("grpc", "http", "files"),
                              tools=("openssl",), env={"E2E_TLS": "one-way"}, settings=USERS, tls=1))

    prometheus = prometheus_env()
    found.append(pytest_suite("metrics", newest, "metrics/metrics.py", others=[prometheus], needs=("grpc", "http"),
                              env={"E2E_PROMETHEUS": str(prometheus.path)}))
    found.append(pytest_suite("health", newest, "health/health.py", needs=("grpc", "http", "files")))
    # The page, in a browser. The client that writes the rows has the pins of its own suites.
    driver, chromium = python_env("page", HERE / "page" / "requirements.txt"), chromium_env()
    driver.pins.append(HERE / "python" / "requirements-3.0.2.txt")
    paths = {"PYTHONPATH": f"{HERE / 'python'}:{HERE / 'operator'}", "E2E_CHROMIUM": str(chromium.path / "chromium")}
    for name, script, options in (("page", "page", {}), ("page/users", "users", {"settings": USERS})):
        token = USERS_TOKEN if options else {}
        found.append(pytest_suite(name, driver, f"page/{script}.py", others=[chromium], needs=("grpc", "http"),
                                  env={**paths, **token}, **options))

    for version in ("2.3.5", "2.6.17", "3.0.6"):
        node = node_env(f"node-{version}", HERE / "node" / f"sdk-{version}")
        found.append(Suite(f"node-{version}", [node], ["node", HERE / "node" / "test.js"],
                           env={"NODE_PATH": str(node.path / "node_modules")}))
        found.append(Suite(f"node-{version}/users", [node], ["node", HERE / "node" / "users.js"], settings=USERS,
                           env={"NODE_PATH": str(node.path / "node_modules"), **USERS_TOKEN}))
    for folder in ("sdk-2.3.6", "client-2.6.2"):
        go = go_env(f"go-{folder}", HERE / "go" / folder)
        found.append(Suite(f"go-{folder}", [go], [go.path / "test"]))
        if folder == "client-2.6.2":
            found.append(Suite(f"go-{folder}/users", [go], [go.path / "test"], settings=USERS, env=USERS_TOKEN))
    histories = go_env("go-linearizability", HERE / "go" / "linearizability")
    found.append(Suite("linearizability", [histories], [histories.path / "test", "-seconds", HISTORY_SECONDS],
                       needs=("binary",)))
    for folder in ("sdk-2.3.5", "sdk-2.6.6"):
        java = maven_env(f"java-{folder}", HERE / "java" / folder)
        classes = f"{java.path}/classes:{java.path}/lib/*"
        found.append(Suite(f"java-{folder}", [java], ["java", "-cp", classes, "CompactionTest"]))
        if folder == "sdk-2.6.6":
            found.append(Suite(f"java-{folder}/users", [java], ["java", "-cp", classes, "UsersTest"], settings=USERS,
                               env=USERS_TOKEN))
    return found


# --- the server -------------------------------------------------------------------------------------------------


class Server:
    """A datacoord of our own on free ports, over a fresh data directory."""

    def __init__(self, binary, folder, settings, tls):
        self.folder = Path(folder)
        self.log = self.folder / "server.log"
        self.data = self.folder / "data"
        ready = self.folder / "ready.json"
        config = self.folder / "milvus.yaml"
        config.write_text(settings.replace("FOLDER", str(self.folder)) + (tls_settings(self.folder, tls) if tls else ""))
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [binary, "serve", "--config", config, "--data-dir", self.data, "--grpc-listen", "127.0.0.1:0",
                 "--http-listen", "127.0.0.1:0", "--ready-file", ready],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            address = self.wait_ready(ready)
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        self.where = {"E2E_GRPC": address["grpc"], "E2E_HTTP": address["http"], "E2E_FILES": str(self.data / "files"),
                      "E2E_TLS_FILES": str(self.folder)}

    def wait_ready(self, ready):
        deadline = time.monotonic() + READY_SECONDS
        while not ready.exists():
            if self.process.poll() is not None:
                raise Failure(f"the server ended with {self.process.returncode} before it was ready\n{self.tail()}")
            if time.monotonic() > deadline:
                raise Failure(f"the server was not ready after {READY_SECONDS} s\n{self.tail()}")
            time.sleep(0.05)
        address = json.loads(ready.read_text())
        if address["pid"] != self.process.pid:
            raise Failure(f"the ready file names pid {address['pid']}, the server is {self.process.pid}")
        return address

    def __enter__(self):
        return self

    def __exit__(self, kind, why, trace):
        """Requires an orderly end; a failure that is already under way goes first and takes the log with it."""
        try:
            self.stop()
        except Failure:
            if kind is None:
                raise
        if kind is Failure:
            raise Failure(f"{why}\n{self.tail()}") from None

    def stop(self):
        """Asks the server to end and requires that it does so, in time and in order."""
        if self.process.poll() is not None:
            raise Failure(f"the server ended by itself with {self.process.returncode}\n{self.tail()}")
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Failure(f"the server still ran {STOP_SECONDS} s after SIGTERM\n{self.tail()}") from None
        if status != 0:
            raise Failure(f"the server ended with {status} after SIGTERM\n{self.tail()}")

    def tail(self):
        return "--- end of the server's log\n" + tail(self.log.read_text(errors="replace"))


def openssl(folder, *arguments):
    build(["openssl", *arguments], cwd=folder)


def tls_settings(folder, mode):
    """Makes an authority, a stranger, and certificates of a server and a client. -> the settings of the server"""
    for authority in ("ca", "stranger"):
        openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
                "2", "-subj", f"/CN={authority}", "-keyout", f"{authority}.key", "-out", f"{authority}.pem")
    for name, usage in (("server", "serverAuth"), ("client", "clientAuth")):
        (folder / f"{name}.ext").write_text(
            f"subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage={usage}\nbasicConstraints=CA:FALSE\n")
        openssl(folder, "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key",
                "-out", f"{name}.csr")
        openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                "-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.pem")
    # With dots, because the settings of a suite may have a section of that name.
    return (f"common.security.tlsMode: {mode}\n"
            f"tls: {{serverPemPath: {folder}/server.pem, serverKeyPath: {folder}/server.key,"
            f" caPemPath: {folder}/ca.pem}}\n")


# --- running ----------------------------------------------------------------------------------------------------


class Running:
    """The commands that run now. Interrupting the driver ends them, whichever thread has started them."""

    def __init__(self):
        self.lock = threading.Lock()
        self.processes = set()
        self.is_over = False

    def start(self, *arguments, **options):
        with self.lock:
            if self.is_over:
                raise Failure("interrupted")
            process = subprocess.Popen(*arguments, **options)
            self.processes.add(process)
            return process

    def forget(self, process):
        with self.lock:
            self.processes.discard(process)

    def end(self):
        with self.lock:
            self.is_over = True
            for process in self.processes:
                # It may have ended, and its thread has not noticed yet.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


RUNNING = Running()


def run_bounded(command, cwd, env, seconds):
    """Runs a command in a session of its own; after `seconds` the whole session is killed. -> (status, output)"""
    with tempfile.TemporaryFile() as out:
        process = RUNNING.start(list(map(str, command)), cwd=cwd, env={**os.environ, **env},
                                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                start_new_session=True)
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            status = f"not done after {seconds} s"
        finally:
            RUNNING.forget(process)
        out.seek(0)
        return status, out.read().decode(errors="replace")


def tail(text):
    return "\n".join(text.splitlines()[-TAIL_LINES:])


def run_command(suite, where, seconds):
    status, output = run_bounded(suite.command, HERE, {**suite.env, **where}, seconds)
    if status != 0:
        raise Failure(f"{status}\n{tail(output)}")


def run_suite(suite, options):
    """Runs one suite; returns on success, raises Failure or Skip."""
    need_tools(suite.tools)
    for environment in suite.environments:
        environment.ensure()
    started = time.monotonic()
    if not suite.needs:
        run_command(suite, {}, suite.seconds)
    elif "binary" in suite.needs:
        if options.endpoint:
            raise Skip("starts the server itself")
        run_command(suite, {"E2E_BINARY": str(options.binary)}, suite.seconds)
    elif options.endpoint:
        where = {"E2E_GRPC": options.endpoint}
        if options.http:
            where["E2E_HTTP"] = options.http
        elif "http" in suite.needs:
            raise Skip("no --http")
        if "files" in suite.needs:
            raise Skip("needs a server that the driver starts")
        run_command(suite, where, FOREIGN_SECONDS)
    else:
        with tempfile.TemporaryDirectory(prefix="datacoord-e2e-") as folder:
            with Server(options.binary, folder, suite.settings, suite.tls) as server:
                run_command(suite, server.where, suite.seconds)
    return time.monotonic() - started


class Run:
    """Suites that several threads take from one list. A program that is heavy or alone on its machine is used by one
    suite at a time."""

    def __init__(self, chosen, options):
        self.options = options
        # The longest first, so that none of them is left to the end.
        self.waiting = sorted(chosen, key=lambda suite: -suite.seconds)
        self.running = []
        self.failed = 0
        self.changed = threading.Condition()

    def next(self):
        """-> a suite, or None if there are no more"""
        with self.changed:
            while self.waiting:
                in_use = {name for suite in self.running for name in suite.alone()}
                free = (suite for suite in self.waiting if not in_use & suite.alone())
                if suite := next(free, None):
                    self.waiting.remove(suite)
                    self.running.append(suite)
                    return suite
                self.changed.wait()
            return None

    def done(self, suite, has_failed):
        with self.changed:
            self.running.remove(suite)
            self.failed += has_failed
            others = [*self.waiting, *self.running]
            still_used = {environment.name for other in others for environment in other.environments}
            self.changed.notify_all()
        if IN_CI:
            # Nobody comes back for them, and together they need more of the disk than all else.
            for environment in suite.environments:
                if environment.name not in still_used:
                    shutil.rmtree(environment.path, ignore_errors=True)

    def work(self):
        while suite := self.next():
            has_failed = True
            try:
                result = f"ok       {run_suite(suite, self.options):5.1f} s"
                has_failed = False
            except Skip as why:
                result = f"skipped: {why}"
                has_failed = IN_CI
            except Failure as why:
                result = f"FAILED: {why}"
            except Exception:  # a fault of the driver itself
                result = f"FAILED: {traceback.format_exc()}"
            finally:
                self.done(suite, has_failed)
            print(f"{suite.name:28} {result}", flush=True)

    def all(self, at_once):
        workers = [threading.Thread(target=self.work) for _ in range(at_once)]
        for worker in workers:
            worker.start()
        try:
            for worker in workers:
                worker.join()
        except BaseException:
            with self.changed:
                self.waiting.clear()
            RUNNING.end()
            raise


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, default=REPO / "target" / "release" / "datacoord")
    parser.add_argument("--endpoint", help="gRPC address of a running server; without it each suite starts its own")
    parser.add_argument("--http", help="HTTP address of that server")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only the suites whose names start so")
    parser.add_argument("--at-once", type=int, default=SUITES_AT_ONCE, metavar="N", help="suites that run at once")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="the page's suites write screenshots there")
    parser.add_argument("--list", action="store_true", help="print the names of the suites")
    options = parser.parse_args()

    chosen = suites()
    if options.only:
        unknown = [name for name in options.only if not any(suite.name.startswith(name) for suite in chosen)]
        if unknown:
            parser.error("no such suite: " + ", ".join(unknown))
        chosen = [suite for suite in chosen if suite.name.startswith(tuple(options.only))]
    elif not options.list:
        chosen = [suite for suite in chosen if not suite.on_request]
    if options.list:
        print("\n".join(suite.name for suite in chosen))
        return 0
    if not options.endpoint and any(suite.needs for suite in chosen) and not options.binary.exists():
        parser.error(f"{options.binary} does not exist: build it, or give --endpoint")
    options.binary = options.binary.resolve()
    os.environ["E2E_PROGRAMS"] = str(options.binary.parent)

    if options.pictures:
        os.environ["E2E_PICTURES"] = str(options.pictures.resolve())

    run = Run(chosen, options)
    run.all(1 if options.endpoint else options.at_once)
    if run.failed:
        print(f"{run.failed} of {len(chosen)} suites failed")
    return 1 if run.failed else 0


if __name__ == "__main__":
    sys.exit(main())
