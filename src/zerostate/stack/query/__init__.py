"""Where traces are asked for.

Receives Jaeger's HTTP requests, legacy and v3, and our own ``/api/zs``; asks the
store's reader; hands on JSON in exactly the shapes that Jaeger's page, Grafana's
Jaeger data source and scripts know.
"""

from zerostate.stack.query.routes import query_routes as query_routes
