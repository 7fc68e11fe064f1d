"""Fleet: sessions against what the pods carry, refusals, the autoscaler, roll-outs."""

from dashboards.grafana import ORANGE, RED, Dashboard, Query, Row, graph, label_values, stat
from dashboards.queries import NAMESPACE, PODS, WINDOW, of, rate, taking, total

_LOAD = f"sum({taking('$load')}) / ($target * count({taking('segtriton_stream_slots')}))"
_REFUSED = "segtriton_streams_rejected_total"

_GLANCE = Row(
    "At a glance",
    [
        stat("Sessions", "Open sessions on all pods.", "short", total(of("segtriton_active_streams"))),
        stat("Pods", "Pods that give metrics.", "short", f"count({of('segtriton_stream_slots')})"),
        stat(
            "Load against target",
            "1 means: as loaded as the autoscaler wants it. Above, a pod is missing.",
            "percentunit",
            _LOAD,
            thresholds=[(ORANGE, 1), (RED, 1.3)],
        ),
        stat(
            "Refused in an hour",
            "Sessions refused for any reason.",
            "short",
            f"sum(increase({of(_REFUSED)}[1h])) or vector(0)",
            thresholds=[(RED, 1)],
        ),
        stat(
            "Failed in an hour",
            "Open sessions that ended with an error.",
            "short",
            f"sum(increase({of('segtriton_sessions_failed_total')}[1h])) or vector(0)",
            thresholds=[(RED, 1)],
        ),
        stat(
            "Draining",
            "Pods that send their sessions away.",
            "short",
            total(of("segtriton_draining")),
            thresholds=[(ORANGE, 1)],
        ),
    ],
)

_SESSIONS = Row(
    "Sessions",
    [
        graph(
            "Sessions and what pods carry",
            "Sessions against slots (where pods refuse), capacity (what they carry in real time) and target (where the "
            "autoscaler adds a pod).",
            "short",
            Query(total(of("segtriton_active_streams")), "sessions"),
            Query(total(of("segtriton_stream_slots")), "slots"),
            Query(f"$capacity * count({of('segtriton_stream_slots')})", "capacity"),
            Query(f"$target * count({of('segtriton_stream_slots')})", "target"),
            width=12,
        ),
        graph(
            "Load of each pod",
            "Spread evenly, if all is well; a pod that drains goes to zero. The lines: a pod's target and capacity.",
            "short",
            Query(of("$load"), "{{pod}}"),
            width=12,
            thresholds=[(ORANGE, "target"), (RED, "capacity")],
        ),
        graph(
            "Saturation",
            "Share of a pod's slots that are taken; at 100 % it refuses.",
            "percentunit",
            Query(of("segtriton_stream_load"), "{{pod}}"),
            thresholds=[(RED, 1)],
        ),
        graph(
            "Opened and refused",
            "Sessions a second. RESOURCE_EXHAUSTED means too few pods, DRAINING a pod that goes.",
            "ops",
            Query(total(rate("segtriton_streams_opened_total")), "opened"),
            Query(total(rate(_REFUSED), "reason"), "{{reason}}"),
        ),
        graph(
            "Worker restarts",
            "Workers replaced after a crash or a hang, in five minutes.",
            "short",
            Query(total(f"increase({of('segtriton_worker_restarts_total')}[5m])", "pod"), "{{pod}}"),
        ),
        graph(
            "Workers missing",
            "Workers that should run and are not ready; above zero for long, they cannot be started.",
            "short",
            Query(of("segtriton_workers_missing"), "{{pod}}"),
            thresholds=[(RED, 1)],
        ),
    ],
)

_AUTOSCALER = Row(
    "Autoscaler",
    [
        graph(
            "Pods and what the autoscaler wants",
            "At its most, and the load above the target: raise maxReplicas. Wanted above current for long: pods cannot "
            "be placed. From kube-state-metrics.",
            "short",
            Query(of("kube_horizontalpodautoscaler_status_current_replicas", labels=NAMESPACE), "current"),
            Query(of("kube_horizontalpodautoscaler_status_desired_replicas", labels=NAMESPACE), "wanted"),
            Query(of("kube_horizontalpodautoscaler_spec_min_replicas", labels=NAMESPACE), "least"),
            Query(of("kube_horizontalpodautoscaler_spec_max_replicas", labels=NAMESPACE), "most"),
            width=12,
        ),
        graph(
            "Load against target",
            "What the autoscaler acts on; above the line it adds pods.",
            "percentunit",
            Query(_LOAD, "load"),
            width=12,
            thresholds=[(ORANGE, 1)],
        ),
    ],
)

_ROLLOUTS = Row(
    "Roll-outs",
    [
        graph(
            "Pods of the deployments",
            "Updated below wanted: a roll-out runs; available below wanted for long: it hangs (kube-state-metrics).",
            "short",
            Query(of("kube_deployment_spec_replicas", labels=NAMESPACE), "{{deployment}} wanted"),
            Query(of("kube_deployment_status_replicas_updated", labels=NAMESPACE), "{{deployment}} updated"),
            Query(of("kube_deployment_status_replicas_available", labels=NAMESPACE), "{{deployment}} available"),
        ),
        graph(
            "Versions",
            "Pods by the version that they tell the exporter; two outside of a roll-out are a skew.",
            "short",
            Query(f"count by (server) ({of('segtriton_probe_info', labels=NAMESPACE)})", "{{server}}"),
        ),
        graph(
            "Draining",
            "1 while a pod sends its sessions away.",
            "short",
            Query(of("segtriton_draining"), "{{pod}}"),
        ),
        graph(
            "Container restarts",
            "Of Triton as a whole, in an hour; look at the logs of the one before. From kube-state-metrics.",
            "short",
            Query(f"increase({of('kube_pod_container_status_restarts_total')}[1h])", "{{pod}} {{container}}"),
        ),
        graph(
            "Network warnings",
            "Not 0: the network in use warns, mostly because its weights are random ones.",
            "short",
            Query(of("segtriton_network_warnings"), "{{pod}}"),
        ),
        graph(
            "Sessions opened by each pod",
            "Where new sessions go; one pod alone means clients that keep one connection.",
            "ops",
            Query(f"rate(segtriton_streams_opened_total{{{PODS}}}[{WINDOW}])", "{{pod}}"),
        ),
    ],
)

VARIABLES = [
    label_values("namespace", "namespace", "segtriton_stream_slots"),
    label_values("pod", "pod", 'segtriton_stream_slots{namespace="$namespace"}', several=True),
]

DASHBOARD = Dashboard(
    "fleet",
    "fleet",
    "How many sessions there are, what the pods carry, and what autoscaler and roll-outs do.",
    [_GLANCE, _SESSIONS, _AUTOSCALER, _ROLLOUTS],
    VARIABLES,
)
