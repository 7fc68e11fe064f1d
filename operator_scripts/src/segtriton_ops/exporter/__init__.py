"""`segtriton-exporter`: streams short synthetic sessions to every pod and shows Prometheus how they went."""
