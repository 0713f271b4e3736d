#!/bin/sh
# Runs Milvus' own Python tests against a server that runs already, and prints the verdicts, beside earlier ones if given.
#
#   tools/milvus_suite.sh [options] DIR [FILE …]
#
# DIR is a copy of tests/python_client of the Milvus repository, at the release to compare with; it is a user's own, and no
# part of this project. FILE are names below its testcases, such as test_compaction.py; without any, those that need
# nothing that datacoord does not serve.
#
#   --server HOST:PORT   (localhost:19530)
#   --out FILE           where the verdicts go, one test a line (target/milvus-suite/verdicts.tsv)
#   --beside FILE        verdicts of an earlier run, such as one against the real server
#   --level LEVELS       the suite's levels, such as L0,L1 (all)
#   --seconds N          the longest time of one test (120)
#   -k EXPRESSION        only these tests, as in pytest
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)

server=localhost:19530 out=$here/target/milvus-suite/verdicts.tsv beside='' level=all seconds=120 only=''
while [ $# -gt 0 ]; do
    case $1 in
        --server) server=$2; shift 2 ;;
        --out) out=$2; shift 2 ;;
        --beside) beside=$2; shift 2 ;;
        --level) level=$2; shift 2 ;;
        --seconds) seconds=$2; shift 2 ;;
        -k) only=$2; shift 2 ;;
        -*) sed -n '2,17s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
        *) break ;;
    esac
done
[ $# -ge 1 ] || { sed -n '2,17s/^# \{0,1\}//p' "$0" >&2; exit 2; }
suite=$1; shift
[ -d "$suite/testcases" ] || { echo "$suite has no testcases: it should be a copy of tests/python_client" >&2; exit 2; }
[ $# -gt 0 ] || set -- test_compaction.py test_collection.py test_index.py test_partition.py test_query.py \
    test_alias.py test_insert.py test_delete.py test_database.py test_partition_key.py

# The suite's own list of packages asks for old releases that no longer build; its tests import these.
environment=$here/.envs/milvus-suite
if [ ! -f "$environment/.made" ]; then
    python3 -m venv "$environment"
    "$environment/bin/pip" install --quiet 'pymilvus==2.3.7' 'setuptools<70' 'marshmallow<3.20' 'numpy<2' 'pandas<2.3' \
        scikit-learn ujson 'pytest<8' pytest-assume pytest-timeout pytest-repeat pytest-html pytest-level \
        allure-pytest pytest-random-order delayed-assert timeout-decorator requests minio npy-append-array Faker loguru \
        prettytable tenacity PyYAML psutil ml_dtypes python-benedict kubernetes etcd-sdk-python
    touch "$environment/.made"
fi

mkdir -p "$(dirname "$out")"
out=$(cd "$(dirname "$out")" && pwd)/$(basename "$out")
report=$out.xml
rm -f "$report"
cd "$suite"
set -- $(printf 'testcases/%s ' "$@")
status=0
PYTHONPATH=$here/tools "$environment/bin/python" -W ignore -m pytest -o addopts= -q -p no:cacheprovider --tb=no \
    --host "${server%:*}" --port "${server##*:}" -p milvus_suite_levels --levels "$level" ${only:+-k "$only"} --timeout "$seconds" \
    --junit-xml "$report" "$@" >"$out.log" 2>&1 || status=$?
# 1 says that tests failed, and that is the result here.
if [ "$status" -gt 1 ]; then
    tail -n 30 "$out.log" >&2
    exit "$status"
fi

"$environment/bin/python" - "$report" "$out" "$beside" <<'END'
import collections
import sys
import xml.etree.ElementTree as tree

report, out, beside = sys.argv[1:]


def verdict(case):
    kinds = {child.tag for child in case}
    return "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"


def read(path):
    with open(path, encoding="utf-8") as lines:
        return dict(line.rstrip("\n").split("\t") for line in lines)


now = {}
for case in tree.parse(report).iter("testcase"):
    module = case.get("classname").removeprefix("testcases.")
    test = f"{module}.{case.get('name')}".replace("\t", " ").replace("\n", " ")
    # A test of several tries, or with a failing end, has failed.
    now[test] = "failed" if now.get(test) == "failed" else verdict(case)
with open(out, "w", encoding="utf-8") as lines:
    lines.writelines(f"{test}\t{now[test]}\n" for test in sorted(now))

before = read(beside) if beside else {}
table = collections.defaultdict(collections.Counter)
for test in now:
    row = table[test.split(".")[0]]
    row[now[test]] += 1
    if beside:
        row["worse"] += now[test] == "failed" and before.get(test) == "passed"
        row["better"] += now[test] == "passed" and before.get(test) == "failed"
columns = ["passed", "failed", "skipped", *(["worse", "better"] if beside else [])]
print(f"{'':28}" + "".join(f"{column:>9}" for column in columns))
for module in sorted(table):
    print(f"{module:28}" + "".join(f"{table[module][column]:>9}" for column in columns))
total = sum(table.values(), collections.Counter())
print(f"{'all':28}" + "".join(f"{total[column]:>9}" for column in columns))
if beside:
    for kind, was, turned in (("worse", "passed", "failed"), ("better", "failed", "passed")):
        for test in sorted(test for test in now if now[test] == turned and before.get(test) == was):
            print(f"{kind}: {test}")
END
echo "verdicts: $out, output: $out.log"
