"""Connecting, versions, health, metrics."""

from scenarios import scenario


@scenario
def questions(run):
    run.Connect()
    run.GetVersion()
    run.CheckHealth()
    run.AllocTimestamp()
    run.GetComponentStates()


@scenario
def metrics(run):
    run.GetMetrics(request='{"metric_type": "system_info"}')
    # A type that is no text ends the real server's process.
    for request in ("", "{}", "[]", "x", '{"metric_type": "other"}'):
        run.GetMetrics(request=request)
