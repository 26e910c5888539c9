"""Makes a file that says to be larger than the disk."""


def run(module_run):
    with open(os.environ["HOME"] + "/sparse", "wb") as file:
        attempt("truncate to 1 TiB", lambda: file.truncate(1 << 40) and "made")
        attempt("allocate 1 TiB", lambda: os.posix_fallocate(file.fileno(), 0, 1 << 40) or "made")
    return told()
