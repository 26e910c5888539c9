"""Asks its node about runs, users and deployments of others, with its own credential."""


def run(module_run):
    inputs = module_run["inputs"]
    for who in ["sibling", "stranger"]:
        run = inputs[who]["run"]
        for method, path in [("GET", f"/v1/runs/{run}"), ("GET", f"/v1/runs/{run}/events?follow=false"), ("POST", f"/v1/runs/{run}/cancel"),
                             ("GET", f"/v1/runs/{run}%2f..%2f{run}"), ("GET", f"/v1/runs/../runs/{run}")]:
            asked(f"{who}: {method} {path}", method, path)
        asked(f"{who}: Naptha's check", "POST", "/agent/check", {"id": run, "consumer_id": inputs["honest_user"]})
    for method, path, body in [
        ("GET", "/v1/runs", None), ("GET", "/v1/runs?all=true", None), ("GET", f"/v1/runs?root={inputs['stranger']['run']}", None),
        ("GET", "/v1/deployments", None), ("GET", "/v1/deployments/house", None), ("DELETE", "/v1/deployments/house", None),
        ("POST", "/v1/deployments", {}), ("POST", "/v1/deployments/house/rollback", {}), ("GET", "/v1/secrets", None),
        ("DELETE", "/v1/secrets/HONEST_SECRET", None), ("POST", "/v1/tokens", {"name": "x", "expires_in": 600}), ("DELETE", "/v1/tokens", None),
        ("PUT", "/v1/archives/" + "0" * 64, {}), ("GET", "/v1/archives/" + "0" * 64, None), ("GET", "/v1/forward/agent/run", None),
        ("GET", "/metrics", None), ("GET", "/debug", None), ("TRACE", "/v1/runs", None), ("CONNECT", "/v1/runs", None),
    ]:
        asked(f"{method} {path}", method, path, body)
    return told()
