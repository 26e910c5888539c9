"""Reads what the node stores: runs, users' tables, contents, archives."""
import sqlite3


def rows(path):
    try:
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        return database.execute("SELECT name FROM sqlite_master").fetchall()
    except sqlite3.OperationalError as error:
        raise PermissionError(errno.EACCES, str(error)) from error


def run(module_run):
    data = module_run["inputs"]["data"]
    attempt("open the database", rows, f"{data}/node.sqlite")
    for name in ["node.sqlite", "node.sqlite-wal"]:
        attempt(f"read {name}", read, f"{data}/{name}")
        attempt(f"write {name}", opened, f"{data}/{name}", os.O_RDWR)
    for name in ["storage", "archives", "modules", "views"]:
        attempt(f"list {name}", lambda: os.listdir(f"{data}/{name}"))
    return told()
