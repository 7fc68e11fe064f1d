"""The Grafana dashboards, in code: `python -m dashboards` in `charts/` writes their JSON (`make dashboards`).

`grafana` knows how Grafana spells things, `queries` how the service's series are selected; each other module is one
dashboard. Standard library only.
"""
