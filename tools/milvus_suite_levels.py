"""A plugin of pytest for tools/milvus_suite.sh: keeps the tests whose marker `tags` has one of the levels asked for.

Milvus' suite marks its tests for a plugin that no registry has.
"""


def pytest_addoption(parser):
    parser.addoption("--levels", default="all", help="levels such as L0,L1, or all")


def pytest_collection_modifyitems(config, items):
    levels = config.getoption("--levels")
    if levels == "all":
        return
    wanted = set(levels.split(","))
    kept = [item for item in items if any(wanted & set(marker.args) for marker in item.iter_markers("tags"))]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
    items[:] = kept
