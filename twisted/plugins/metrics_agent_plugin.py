"""Makes `twistd metrics-agent` known to Twisted."""

from twisted.application.service import ServiceMaker

metricsAgent = ServiceMaker(  # noqa: N816
    "metrics-agent",
    "metrics_agent.tap",
    "Collects metrics from devices in supervised modules; line protocol on stdout.",
    "metrics-agent",
)
