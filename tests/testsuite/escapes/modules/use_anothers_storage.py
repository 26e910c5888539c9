"""Reads and writes what other users store."""


def run(module_run):
    inputs = module_run["inputs"]
    paths = ["diary.txt", "../diary.txt", "..%2f..%2fnode.sqlite", f"{inputs['honest_user']}/diary.txt", "%2e%2e/diary.txt", inputs["data"] + "/identity.key"]
    for path in paths:
        asked(f"read {path}", "GET", f"/storage/fs/read/{path}")
        asked(f"search {path}", "GET", f"/storage/fs/read?path={path}")
    for table in ["diary", "sqlite_master", "main.diary", "x%22%3B%20ATTACH%20DATABASE", "pg_user"]:
        asked(f"table {table}", "GET", f"/storage/db/read/{table}")
        asked(f"drop {table}", "DELETE", f"/storage/db/delete/{table}")
    asked("as another", "GET", "/storage/db/read/diary", headers={"x-user": inputs["honest_user"], "x-consumer-id": inputs["honest_user"]})
    return told()
