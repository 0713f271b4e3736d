"""The files of deploy/ without a container engine: the services of compose files as plain processes with the same
arguments and variables, the unit, the manifests, and the image's own scripts."""

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from places import Place
from pymilvus import MilvusClient

REPO = Path(__file__).resolve().parents[3]
DEPLOY = REPO / "deploy"
BINARY = Path(os.environ["E2E_BINARY"])
COMPOSE = yaml.safe_load((DEPLOY / "docker-compose.yml").read_text())
SECONDS = 60

# The service of Milvus 2.3.5's own standalone compose file: what starts it, what it is told, what asks for its health.
MILVUS = {
    "command": ["milvus", "run", "standalone"],
    "environment": {"ETCD_ENDPOINTS": "etcd:2379", "MINIO_ADDRESS": "minio:9000"},
    "healthcheck": ["curl", "-f", "http://localhost:9091/healthz"],
    "credentials": ("minioadmin", "minioadmin"),
}

pytestmark = pytest.mark.filterwarnings("ignore")


def filled(value):
    """A value of a compose file with the defaults of its variables."""
    return re.sub(r"\$\{[A-Z0-9_]+:-([^}]*)\}", r"\1", str(value))


class Service:
    """The image's entry point with the arguments of a service, on free ports."""

    def __init__(self, folder, arguments, environment, name="data"):
        self.data = Path(folder) / name
        self.data.mkdir(exist_ok=True)
        self.log = Path(folder) / f"{name}.log"
        # What the image has: the program by its name, and nothing of ours.
        programs = Path(folder) / "bin"
        programs.mkdir(exist_ok=True)
        (programs / "datacoord").unlink(missing_ok=True)
        (programs / "datacoord").symlink_to(BINARY)
        self.environment = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "DATACOORD__DATADIR": str(self.data),
                            "MILVUS_DATA": str(self.data), "PROXY_PORT": "0", "COMMON_METRICSPORT": "0", **environment}
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([DEPLOY / "entrypoint.sh", *arguments], env=self.environment,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)

    def __enter__(self):
        deadline = time.monotonic() + SECONDS
        addresses = self.data / "addresses.json"
        try:
            while not addresses.exists():
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.05)
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        self.addresses = json.loads(addresses.read_text())
        return self

    def __exit__(self, *why):
        self.process.terminate()
        assert self.process.wait(SECONDS) == 0, self.log.read_text()

    def check_health(self):
        """The health check of the image. -> the ended process"""
        environment = {**self.environment, "SERVER_PID": str(self.process.pid)}
        return subprocess.run([DEPLOY / "healthcheck.sh"], env=environment, capture_output=True, text=True,
                              timeout=SECONDS)

    def write_and_read(self):
        client = MilvusClient(uri=f"http://{self.addresses['grpc']}")
        client.create_collection("books", dimension=4, metric_type="L2", consistency_level="Strong")
        client.insert("books", [{"id": key, "vector": [key / 8] * 4} for key in range(10)])
        client.flush("books")
        assert len(client.query("books", filter="id >= 0", output_fields=["id"])) == 10
        client.close()


def variables(service):
    return {name: filled(value) for name, value in COMPOSE["services"][service]["environment"].items()}


def test_the_services_of_our_compose_file(tmp_path):
    s3 = COMPOSE["services"]["s3"]
    assert [filled(word) for word in s3["command"]] == ["server", "/data", "--address", ":9000"]
    given = variables("s3")
    place = Place("minio", tmp_path, (given["MINIO_ROOT_USER"], given["MINIO_ROOT_PASSWORD"]))
    try:
        check = [word.replace("localhost:9000", place.endpoint) for word in s3["healthcheck"]["test"][1:]]
        subprocess.run(check, check=True, timeout=SECONDS)
        told = variables("datacoord")
        assert told.pop("MINIO_ADDRESS") == "s3:9000"
        with Service(tmp_path, COMPOSE["services"]["datacoord"]["command"],
                     {**told, "MINIO_ADDRESS": place.endpoint}) as service:
            service.write_and_read()
            healthy = service.check_health()
            assert healthy.returncode == 0, healthy.stdout + healthy.stderr
        prefix = f"{told['MINIO_ROOTPATH']}/insert_log/"
        assert place.objects(told["MINIO_BUCKETNAME"], prefix)
    finally:
        place.stop()


def test_the_files_that_the_compose_file_mounts():
    services = COMPOSE["services"].values()
    mounted = [volume.split(":")[0] for service in services for volume in service.get("volumes", ())]
    folders = [name for name in mounted if name.startswith("./")]
    assert folders == ["./prometheus", "./grafana"]
    assert {name for name in mounted if not name.startswith("./")} == set(COMPOSE["volumes"])
    assert (DEPLOY / "prometheus" / "prometheus.yml").exists() and (DEPLOY / "grafana" / "datacoord.json").exists()
    rules = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    groups = [group for job in rules["scrape_configs"] for group in job.get("static_configs", ())]
    targets = [target for group in groups for target in group["targets"]]
    assert "datacoord:9091" in targets, "the name of the service"


def test_grafana_finds_its_data_source_and_its_dashboard():
    """Grafana is no package that can be installed here. Its own types read the dashboard, and nothing of it is unknown."""
    (source,) = yaml.safe_load(COMPOSE["configs"]["datasource"]["content"])["datasources"]
    assert source["url"] == "http://prometheus:9090" and "prometheus" in COMPOSE["services"]
    (provider,) = yaml.safe_load(COMPOSE["configs"]["dashboards"]["content"])["providers"]
    assert f"./grafana:{provider['options']['path']}:ro" in COMPOSE["services"]["grafana"]["volumes"]
    mounted = {config["source"]: config["target"] for config in COMPOSE["services"]["grafana"]["configs"]}
    for kind, folder in (("datasource", "datasources"), ("dashboards", "dashboards")):
        assert Path(mounted[kind]).parent == Path("/etc/grafana/provisioning") / folder

    register_default_plugins()
    ours = json.loads((DEPLOY / "grafana" / "datacoord.json").read_text())
    read = json.loads(json.dumps(Dashboard.from_json(ours), cls=JSONEncoder))
    # The types lack this field, in which Grafana's editor keeps the query of a variable as text.
    for variable in ours["templating"]["list"]:
        variable.pop("definition", None)
    assert unread(ours, read) == []
    (chosen,) = (variable for variable in ours["templating"]["list"] if variable["type"] == "datasource")
    assert chosen["query"] == source["type"]
    uids = {panel["datasource"]["uid"] for panel in ours["panels"] if "datasource" in panel}
    assert uids == {f"${{{chosen['name']}}}"}


def unread(ours, read, path=""):
    """-> the places of values that were not read as they are"""
    if isinstance(ours, dict) and isinstance(read, dict):
        return [place for key in ours for place in unread(ours[key], read.get(key), f"{path}.{key}")]
    if isinstance(ours, list) and isinstance(read, list) and len(ours) == len(read):
        return [place for i, (one, other) in enumerate(zip(ours, read)) for place in unread(one, other, f"{path}[{i}]")]
    return [] if ours == read else [path]


def test_the_service_of_milvus_own_compose_file(tmp_path):
    place = Place("minio", tmp_path, MILVUS["credentials"])
    try:
        told = {**MILVUS["environment"], "MINIO_ADDRESS": place.endpoint}
        with Service(tmp_path, MILVUS["command"], told) as service:
            service.write_and_read()
            check = [word.replace("localhost:9091", service.addresses["http"]) for word in MILVUS["healthcheck"]]
            subprocess.run(check, check=True, timeout=SECONDS, capture_output=True)
        assert place.objects("a-bucket"), "the rows are in the bucket of that file"
        # A configuration that is mounted where Milvus has its own.
        config = tmp_path / "milvus.yaml"
        config.write_text("common: {storageType: local}\nminio: {bucketName: another}\n")
        with Service(tmp_path, MILVUS["command"], {"MILVUS_CONFIG": str(config)}, "other") as service:
            service.write_and_read()
        assert place.buckets() == {"a-bucket"}
    finally:
        place.stop()


def test_arguments_reach_the_server_and_its_health_check(tmp_path):
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    for arguments in (["--data-dir", elsewhere], ["serve", f"--data-dir={elsewhere}"]):
        service = Service(tmp_path, list(map(str, arguments)), {})
        service.data = elsewhere
        with service:
            healthy = service.check_health()
            assert healthy.returncode == 0, healthy.stdout + healthy.stderr
        # Without a server there is nothing to ask.
        assert service.check_health().returncode != 0


def test_other_commands_and_other_roles():
    environment = {**os.environ, "PATH": f"{BINARY.parent}{os.pathsep}{os.environ['PATH']}"}

    def run(*words):
        return subprocess.run([DEPLOY / "entrypoint.sh", *words], env=environment, capture_output=True, text=True,
                              timeout=SECONDS)

    assert "dataCoord:" in run("datacoord", "config", "--example").stdout == run("config", "--example").stdout
    refused = run("milvus", "run", "querynode")
    assert refused.returncode == 2 and "milvus run standalone" in refused.stderr


def test_the_unit(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze")
    unit = tmp_path / "datacoord.service"
    ours = (DEPLOY / "systemd" / "datacoord.service").read_text()
    unit.write_text(ours.replace("/usr/local/bin/datacoord", str(BINARY)))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True,
                          timeout=SECONDS)
    assert done.returncode == 0 and "datacoord.service" not in done.stderr, done.stderr


def test_the_manifests():
    documents = list(yaml.safe_load_all((DEPLOY / "kubernetes" / "datacoord.yaml").read_text()))
    assert {document["kind"] for document in documents} == {"ConfigMap", "Secret", "Service", "StatefulSet"}
    for document in documents:
        for version in ("1.27", "1.34"):
            kubernetes_validate.validate(document, version, strict=True)
    # The settings in the manifest are settings that the server takes.
    settings = next(document for document in documents if document["kind"] == "ConfigMap")["data"]["milvus.yaml"]
    done = subprocess.run([BINARY, "config", "check", "--config", "/dev/stdin"], input=settings, capture_output=True,
                          text=True, timeout=SECONDS)
    assert done.returncode == 0 and "means nothing" not in done.stdout, done.stdout + done.stderr


def test_the_image_has_what_it_copies():
    text = (REPO / "Dockerfile").read_text()
    ignored = (REPO / ".dockerignore").read_text().splitlines()
    for sources in re.findall(r"^COPY (?!--from)(?:--\S+ )?(.*) \S+$", text, re.MULTILINE):
        for source in sources.split():
            assert (REPO / source).exists(), source
            assert source == "." or f"!{Path(source).parts[0]}" in ignored, source
    # The layer of dependencies has an empty file for each target of the manifest.
    manifest = (REPO / "Cargo.toml").read_text()
    paths = re.findall(r'^\[\[bench\]\]\nname = "(\w+)"\n(?:path = "([^"]+)")?', manifest, re.MULTILINE)
    for name, path in paths:
        assert (path or f"benches/{name}.rs") in text, name
