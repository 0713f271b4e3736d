"""Panels of Milvus' own Grafana dashboard that show data of a datacoord, by the series that they read.

Row, panel, and for each series of the panel: its metric, the labels that the panel selects by, and those that it groups
by. A counter is shown as its increase, a histogram as its mean and a quantile, a gauge as it is. docs/metrics.md lists
the panels.
"""

NODE = ["pod", "node_id"]

PANELS = [
    ("Service Quality", "Successful Requests", [("milvus_proxy_req_count", {"status": "success"}, ["function_name"])]),
    ("Service Quality", "Failed Requests", [("milvus_proxy_req_count", {"status": "fail"}, ["function_name"])]),
    ("Service Quality", "Mutation Latency", [("milvus_proxy_mutation_latency", {}, [*NODE, "msg_type"])]),
    ("Service Quality", "Search Latency", [("milvus_proxy_sq_latency", {"query_type": "search"}, NODE)]),
    ("Service Quality", "Query Latency", [("milvus_proxy_sq_latency", {"query_type": "query"}, NODE)]),
    ("Proxy", "Search Vector Count Rate", [("milvus_proxy_search_vectors_count", {}, NODE)]),
    ("Proxy", "Insert Vector Count Rate", [("milvus_proxy_insert_vectors_count", {}, NODE)]),
    ("Proxy", "Search Latency", [("milvus_proxy_sq_latency", {}, [*NODE, "query_type"])]),
    ("Proxy", "Mutation Latency", [("milvus_proxy_mutation_latency", {}, [*NODE, "msg_type"])]),
    ("Proxy", "Request Latency", [("milvus_proxy_req_latency", {}, [*NODE, "function_name"])]),
    ("Proxy", "Success Request Rate", [("milvus_proxy_req_count", {"status": "success"}, [*NODE, "function_name"])]),
    ("Proxy", "Faild Request Rate", [("milvus_proxy_req_count", {"status": "fail"}, [*NODE, "function_name"])]),
    ("Data Coordinator", "Data Node Num", [("milvus_datacoord_datanode_num", {}, ["app_kubernetes_io_instance"])]),
    ("Data Coordinator", "Stored Rows", [("milvus_datacoord_stored_rows_num", {}, ["app_kubernetes_io_instance"])]),
    ("Data Coordinator", "Stored Rows Rate", [("milvus_datacoord_stored_rows_count", {}, NODE)]),
    ("Data Coordinator", "Segment Num", [("milvus_datacoord_segment_num", {}, ["segment_state"])]),
    ("Data Coordinator", "Stored Binlog Size",
     [("milvus_datacoord_stored_binlog_size", {}, ["app_kubernetes_io_instance"])]),
    ("Data Node", "Flush Operate Rate", [("milvus_datanode_flush_buffer_op_count", {}, ["status", *NODE])]),
    ("Data Node", "Msg Rows Consumed Rate", [("milvus_datanode_msg_rows_count", {}, ["msg_type", *NODE])]),
    ("Data Node", "Compaction Latency", [("milvus_datanode_compaction_latency", {}, NODE)]),
    ("Data Node", "Flush Data Size Rate", [("milvus_datanode_flushed_data_size", {}, ["msg_type", *NODE])]),
    ("Data Node", "Flush Request Rate", [("milvus_datanode_flush_req_count", {}, ["status", *NODE])]),
    ("Data Node", "Save Data Latency", [("milvus_datanode_save_latency", {}, NODE)]),
    ("Runtime", "CPU Usage Total", [("process_cpu_seconds_total", {}, ["namespace"])]),
    ("Runtime", "Memory Total", [("process_resident_memory_bytes", {}, ["namespace"])]),
    ("Runtime", "CPU Usage", [("process_cpu_seconds_total", {}, ["pod"])]),
    ("Runtime", "Memory", [("process_resident_memory_bytes", {}, ["pod"])]),
    ("Runtime", "Process Opened Fds", [("process_open_fds", {}, ["pod"])]),
]

SELECTED = ['namespace="default"', 'app_kubernetes_io_name="milvus"', 'app_kubernetes_io_instance=~"datacoord"']
"""What every panel selects by: the labels that deploy/prometheus/prometheus.yml gives to the target."""


def queries(kind, metric, labels, groups, window):
    """-> what Prometheus is asked for one series of a panel"""
    selector = "{" + ", ".join([*SELECTED, *(f'{name}="{value}"' for name, value in labels.items())]) + "}"
    grouped = ", ".join(groups)
    if kind == "gauge":
        return [f"sum by ({grouped}) ({metric}{selector})"]
    if kind == "counter":
        return [f"sum by ({grouped}) (increase({metric}{selector}[{window}]))"]
    grown = [f"sum by ({grouped}) (increase({metric}_{part}{selector}[{window}]))" for part in ("sum", "count")]
    buckets = f"sum by (le, {grouped}) (rate({metric}_bucket{selector}[{window}]))"
    return [" / ".join(grown), f"histogram_quantile(0.99, {buckets})"]
