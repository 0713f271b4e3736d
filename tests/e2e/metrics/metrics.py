"""Metrics, alerts and dashboards, as the real Prometheus reads them."""

import json
import re

import pytest
from conftest import DEPLOY, promtool, scrape
from helpers import raw, vectors, wait_until
from panels import PANELS, queries
from pymilvus.grpc_gen import milvus_pb2 as pb
from story import DIM, Story

pytestmark = pytest.mark.filterwarnings("ignore")

PAGE = (DEPLOY.parent / "docs" / "metrics.md").read_text()
WINDOW = "1m"

AFTER_A_CALL = {"milvus_proxy_req_latency"}
"""Series that come with their first call, as in Milvus."""

NAMES_OF_MILVUS = ('should have "_total" suffix', 'should not have "_count" suffix')
"""What promtool says about names that are Milvus' own."""


def documented():
    """-> kind of each metric of the page, by name"""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", PAGE, re.MULTILINE)
    assert len(rows) > 100
    return dict(rows)


def test_every_series_is_there_from_the_start():
    text = scrape()
    for name, kind in documented().items():
        first = re.escape(name + ("_count" if kind == "histogram" else ""))
        assert name in AFTER_A_CALL or re.search(rf"^{first}[ {{]", text, re.MULTILINE), name
    for method in ("Insert", "Search", "ManualCompaction"):
        counted = f'datacoord_grpc_requests_total{{code="OK",method="milvus.proto.milvus.MilvusService/{method}"}}'
        assert counted in text, method


def test_names_pass_promtool():
    text = scrape()
    own = [block for block in re.split(r"(?m)^(?=# HELP )", text) if block]
    checked = promtool("check", "metrics", stdin="".join(b for b in own if not b.startswith("# HELP milvus_")))
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    # The text itself is in order, whatever the names.
    for complaint in promtool("check", "metrics", stdin=text).stderr.splitlines():
        assert complaint.startswith("milvus_") and any(known in complaint for known in NAMES_OF_MILVUS), complaint


@pytest.mark.parametrize("kind, file", [("config", "prometheus.yml"), ("rules", "rules.yml")])
def test_files_pass_promtool(kind, file):
    checked = promtool("check", kind, DEPLOY / "prometheus" / file)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_alerts_fire_when_they_should():
    checked = promtool("test", "rules", "rules_test.yml", cwd=DEPLOY / "prometheus")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    alerts = set(re.findall(r"- alert: (\w+)", (DEPLOY / "prometheus" / "rules.yml").read_text()))
    tried = re.findall(r"alertname: (\w+)", (DEPLOY / "prometheus" / "rules_test.yml").read_text())
    assert len(alerts) > 10 and all(tried.count(alert) >= 2 for alert in alerts), "each fires once and is silent once"
    operations = (DEPLOY.parent / "docs" / "operations.md").read_text()
    assert [alert for alert in alerts if f"`{alert}`" not in operations] == [], "each has its advice"


def test_dashboards_and_alerts_have_data(prometheus, book):
    story = Story(book)
    job = raw().ManualCompaction(pb.ManualCompactionRequest(collectionID=story.collection_id)).compactionID
    state = pb.GetCompactionStateRequest(compactionID=job)
    wait_until("the compaction has ended", lambda: raw().GetCompactionState(state).completedPlanNo == 1)
    story.client.search(book, vectors([5], DIM), limit=3)
    assert story.client.query(book, filter="id in [1, 2]")
    story.client.upsert(book, [{"id": 5, "vector": vectors([5], DIM)[0]}])
    assert raw().Query(pb.QueryRequest(collection_name=book, expr="((")).status.code != 0
    merged = 'datacoord_compaction_plans_total{kind="mix",outcome="completed"}'
    wait_until("Prometheus has seen the compaction", lambda: prometheus.value(f"increase({merged}[{WINDOW}])"))

    check_values(prometheus, story)
    check_own_dashboard(prometheus)
    check_panels(prometheus)
    check_alerts(prometheus)
    story.client.close()


def check_values(prometheus, story):
    """Some values that follow from the story: 1200 rows in 3 segments, 120 of them deleted, in one merge."""
    seen = prometheus.value
    assert seen("datacoord_compaction_input_rows_total") == 1200
    assert seen("datacoord_compaction_output_rows_total") == 1080
    wait_until("the upsert was read", lambda: seen("milvus_proxy_upsert_vectors_count") == 1)
    assert seen("milvus_proxy_insert_vectors_count") == 1200
    assert seen("milvus_datacoord_stored_rows_count") == 1200 + 1080
    assert seen('milvus_datacoord_segment_num{segment_state="Flushed"}') == 1
    assert seen('milvus_datanode_flush_req_count{status="success"}') == 3
    assert seen("milvus_datanode_compaction_latency_count") == 1
    assert seen("milvus_datacoord_compacted_segment_size_count") == 1
    assert seen("milvus_datanode_save_latency_count") == 3
    assert seen('milvus_proxy_req_count{function_name="Query",status="fail"}') == 1
    assert seen("datacoord_health_ready") == 1 and seen("sum(datacoord_health_ailments)") == 0


def check_own_dashboard(prometheus):
    dashboard = json.loads((DEPLOY / "grafana" / "datacoord.json").read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert len(panels) > 30 and len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    for panel in panels:
        for target in panel["targets"]:
            expression = target["expr"].replace("$instance", ".*").replace("$__rate_interval", WINDOW)
            assert "$" not in expression, expression
            assert prometheus.query(expression), f"{panel['title']}: {expression}"
    used = set(re.findall(r"(?:datacoord|process)_\w+", json.dumps(dashboard["panels"])))
    assert len(used) > 50


def check_panels(prometheus):
    """The panels of Milvus' dashboard that the page lists."""
    listed = re.findall(r"^\| (\w[\w ]+) \| (\w[^|]*) \|$", PAGE.split("## Milvus' dashboard")[1], re.MULTILINE)
    assert listed[0] == ("row", "panel") and listed[1:] == [(row, panel) for row, panel, _ in PANELS]
    for row, panel, series in PANELS:
        for metric, labels, groups in series:
            for query in queries(documented()[metric], metric, labels, groups, WINDOW):
                found = prometheus.query(query)
                numbers = [float(each["value"][1]) for each in found]
                assert numbers and any(number == number for number in numbers), f"{row}, {panel}: {query}: {found}"
    # Its lists of namespaces and instances.
    wait_until("the rule was evaluated", lambda: prometheus.query("go_info"))
    assert prometheus.ask("label/namespace/values", **{"match[]": "go_info"}) == ["default"]


def check_alerts(prometheus):
    groups = wait_until("the rules were evaluated", lambda: evaluated(prometheus))
    rules = [rule for group in groups for rule in group["rules"]]
    assert [rule for rule in rules if rule["health"] != "ok"] == []
    firing = [rule["name"] for rule in rules if rule["type"] == "alerting" and rule["state"] == "firing"]
    assert firing == [], "of a server that is well"
    for rule in rules:
        for metric in set(re.findall(r"\b(?:datacoord|process)_\w+", rule["query"])):
            assert prometheus.query(f"count({metric})"), f"{rule['name']}: no {metric}"


def evaluated(prometheus):
    groups = prometheus.ask("rules")["groups"]
    return groups if all(rule["health"] != "unknown" for group in groups for rule in group["rules"]) else None
